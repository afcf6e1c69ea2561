/* SPDX-License-Identifier: GPL-2.0-only */
/* What O_DIRECT asks for on a file. No state, any thread. */
#ifndef SC_DIRECT_H
#define SC_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Memory aligned to this does for every file with a usable sc_direct; of the
 * kernels that do not report it (before 6.1) it is what we assume for offsets
 * too. The largest logical block of a device that those know is 4 KiB.
 * Source: open(2), statx(2) STATX_DIOALIGN.
 */
#define SC_DIRECT_ALIGN 4096u

/* Largest alignment of offsets that we use O_DIRECT with; a file that wants
 * more (devices of 16 KiB blocks and above) is read and written buffered. */
#define SC_DIRECT_MAX_ALIGN 4096u

struct sc_direct {
	bool usable;	     /* O_DIRECT works, with the alignment below */
	bool reported;	     /* by the kernel; else assumed */
	uint32_t mem_align;  /* of buffers: bytes, 1..SC_DIRECT_ALIGN */
	uint32_t file_align; /* of offsets and lengths: bytes, a power of two,
				512..SC_DIRECT_MAX_ALIGN */
};

/* Ask for an open regular file, whatever its flags; they stay. Both sizes are
 * SC_DIRECT_ALIGN when it is not usable. 0 or -errno of statx or fcntl. */
int sc_direct_query(int fd, struct sc_direct *ret);

/* The descriptor as it is, or without O_DIRECT when the file wants a larger
 * alignment than SC_DIRECT_MAX_ALIGN; a negative fd is passed on. */
int sc_direct_or_buffered(int fd);

/*
 * Open a file beneath dirfd (sc_open_beneath()), with O_DIRECT when that is
 * asked for and the file system can, else without. flags: O_RDONLY or O_WRONLY.
 * A descriptor or -errno.
 */
int sc_direct_open_beneath(int dirfd, const char *path, int flags, bool direct);

/* Switch O_DIRECT of an open file on or off, for it and its duplicates, with
 * none of its requests running. 0 or -errno; EINVAL: not on this file. */
int sc_direct_set(int fd, bool on);

#endif
