/* SPDX-License-Identifier: GPL-2.0-only */
/* Sharing extents; see reflink.h. */
#include "io/reflink.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Of the trial: a block of any file system. */
#define TRIAL_SIZE (64u << 10)

int sc_reflink_tmpfile(int dir)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/*
 * btrfs shares only between files that both have checksums or both have none,
 * which hangs on their attribute C (nodatacow). Source: btrfs(5), and
 * btrfs_remap_file_range_prep(). Others do not know the attribute.
 */
static void match_nocow(int src, int dst)
{
	int want, have;

	if (ioctl(src, FS_IOC_GETFLAGS, &want) < 0 ||
	    ioctl(dst, FS_IOC_GETFLAGS, &have) < 0 ||
	    !((want ^ have) & FS_NOCOW_FL))
		return;
	have = (have & ~FS_NOCOW_FL) | (want & FS_NOCOW_FL);
	/* A failure shows when the first slice is shared. */
	(void)ioctl(dst, FS_IOC_SETFLAGS, &have);
}

/* Half of it when the last one was slow, twice when it was fast. */
static void adapt(struct sc_reflink *r, uint64_t us)
{
	r->longest_us = SC_MAX(r->longest_us, us);
	if (us > SC_REFLINK_SLOW_US)
		r->slice = SC_MAX(r->slice / 2, SC_REFLINK_SLICE_MIN);
	else if (us < SC_REFLINK_SLOW_US / 4)
		r->slice = SC_MIN(r->slice * 2, SC_REFLINK_SLICE_MAX);
}

/* len 0: to the end of the file, which alone may be no whole block. */
static int share_slice(struct sc_reflink *r, int src, int dst, uint64_t off,
		       uint64_t len)
{
	struct file_clone_range range = { .src_fd = src,
					  .src_offset = off,
					  .src_length = len,
					  .dest_offset = off };
	uint64_t began = sc_clock_us(CLOCK_MONOTONIC);
	int rc;

	do {
		rc = ioctl(dst, FICLONERANGE, &range);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	adapt(r, sc_clock_us(CLOCK_MONOTONIC) - began);
	return 0;
}

int sc_reflink_file(struct sc_reflink *r, int src, int dst,
		    const atomic_bool *stop)
{
	struct stat st;
	uint64_t off = 0;

	if (fstat(src, &st) < 0)
		return -errno;
	if (!r->slice)
		r->slice = SC_REFLINK_SLICE_FIRST;
	match_nocow(src, dst);
	while (off < (uint64_t)st.st_size) {
		uint64_t left = (uint64_t)st.st_size - off;
		uint64_t len = left > r->slice ? r->slice : 0;
		int rc;

		if (stop && *stop)
			return -ECANCELED;
		rc = share_slice(r, src, dst, off, len);
		if (rc < 0)
			return rc;
		off += len ? len : left;
	}
	r->bytes += off;
	return 0;
}

int sc_reflink_try(int from, int to)
{
	CLEANUP_CLOSE int src = sc_reflink_tmpfile(from);
	CLEANUP_CLOSE int dst = src < 0 ? -1 : sc_reflink_tmpfile(to);
	CLEANUP_FREE char *data = calloc(1, TRIAL_SIZE);
	struct sc_reflink r = { 0 };
	int rc;

	if (src < 0)
		return src;
	if (dst < 0)
		return dst;
	if (!data)
		return -ENOMEM;
	rc = sc_pwrite_full(src, data, TRIAL_SIZE, 0);
	return rc < 0 ? rc : sc_reflink_file(&r, src, dst, NULL);
}
