/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that share their extents with others (FICLONERANGE: XFS, btrfs,
 * bcachefs). The kernel waits for writes under way to the source, writes back
 * its dirty pages and lets no write begin while it shares a range: a page of a
 * tablespace, which the server writes with one call, is in the copy as it was
 * before or after a write, never half. (Linux generic_remap_file_range_prep()
 * and what calls it: xfs_file_remap_range(), btrfs_remap_file_range().) Files
 * are shared in slices, so that a write waits for one slice at most.
 *
 * No state but the caller's; any thread; all block.
 */
#ifndef SC_REFLINK_H
#define SC_REFLINK_H

#include <stdatomic.h>
#include <stdint.h>

/* Slices, bytes: multiples of the largest page, so that none is cut. Sharing
 * 8 MiB took 0.4 ms of a file in one piece, and 142 ms of one in 35000 pieces
 * (XFS). The first is of SC_REFLINK_SLICE_FIRST; one that takes longer than
 * SC_REFLINK_SLOW_US halves the next ones, one that takes less than a quarter
 * of that doubles them. */
#define SC_REFLINK_SLICE_MIN (64u << 10)
#define SC_REFLINK_SLICE_FIRST (1u << 20)
#define SC_REFLINK_SLICE_MAX (8u << 20)
#define SC_REFLINK_SLOW_US 5000

/* What sharing has cost so far; zero-initialise. One thread. */
struct sc_reflink {
	uint32_t slice;	     /* bytes, of the next one; 0 = not begun */
	uint64_t longest_us; /* the longest slice */
	uint64_t bytes;	     /* shared */
};

/* A new file without a name on the directory's file system, for reading and
 * writing. Returns a descriptor or -errno. */
int sc_reflink_tmpfile(int dir);

/*
 * Let the empty regular file dst share all that src has, which may grow
 * meanwhile: dst is not shorter than src was at the call. src: open for
 * reading, dst for writing. stop: NULL, or another thread ends it (-ECANCELED).
 * 0 or -errno: EXDEV, EOPNOTSUPP and EINVAL when the file systems cannot.
 */
int sc_reflink_file(struct sc_reflink *r, int src, int dst,
		    const atomic_bool *stop);

/* Can files of directory `from` be shared by files of directory `to`? Tried
 * with files that have no name. 0 or -errno. */
int sc_reflink_try(int from, int to);

#endif
