/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of sc_filelist_scan(): filescan.c walks the directories,
 * filescan_file.c opens and lists files, filescan_known.c finds those that an
 * earlier scan knows. One thread. */
#ifndef SC_FILESCAN_IMPL_H
#define SC_FILESCAN_IMPL_H

#include "io/filelist.h"

#include <sys/stat.h>

/* Files whose page 0 the kernel is asked for before we read it. 3000 tables
 * that were not in the page cache: 0.1 to 0.3 s, one by one 2 to 3 s (XFS and
 * ext4 on a busy virtual disk). */
#define SCAN_AHEAD 64

/* What statx(2) is asked for. */
#define SCAN_STATX (STATX_TYPE | STATX_SIZE | STATX_BLOCKS | SC_FILE_ID_STATX)

/* A file on its way into the list. */
struct candidate {
	char *path; /* owned */
	int fd;	    /* owned */
	enum sc_file_kind kind;
	uint32_t cold; /* bytes of page 0 that were not in the page cache */
	const struct sc_file *known; /* unchanged since: no fd */
	struct statx st;
};

/* An earlier list by inode. */
struct known {
	const struct sc_filelist *list; /* NULL: none */
	uint32_t *slots;		/* owned; index + 1, 0: free */
	size_t n_slots;			/* a power of two */
};

struct scan {
	struct sc_filelist *list;
	struct sc_err *err;
	struct sc_image *image;
	uint32_t page_size;
	size_t n_system; /* files of the system tablespace */
	unsigned root;	 /* the directory that is walked, of image->roots */
	struct known known;
	struct candidate ahead[SCAN_AHEAD]; /* a ring */
	size_t first, n_ahead;
};

int scan_failed(struct scan *sc, int sys_errno, const char *path);
int scan_not_regular(struct scan *sc, const char *path);

/* 0 or -1 (out of memory). */
int known_open(struct known *known, const struct sc_filelist *list,
	       struct sc_err *err);
void known_close(struct known *known);

/* The file of that name, when nothing was written to it since that list was
 * made, or NULL. */
const struct sc_file *known_find(const struct known *known, const char *path,
				 const struct statx *st);

/* List a file later, in order, once the files before it are listed. st: what
 * was seen of it in its directory. 0 or -1. */
int scan_add_later(struct scan *sc, const char *path, enum sc_file_kind kind,
		   const struct statx *st);

/* List the file that waited longest. 0 or -1. */
int scan_add_first(struct scan *sc);

/* List a file of the system tablespace now. inherit: geometry of its first
 * file for the further ones (they have no page 0 of their own), else NULL. 0
 * or -1. */
int scan_add_at_once(struct scan *sc, const char *path,
		     const struct sc_page_spec *inherit);

/* Forget the files that wait. */
void scan_drop_ahead(struct scan *sc);

#endif
