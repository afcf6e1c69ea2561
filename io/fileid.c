/* SPDX-License-Identifier: GPL-2.0-only */
/* Which file an open one is; see filelist.h. */
#include "io/filelist.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int64_t nanoseconds(const struct statx_timestamp *t)
{
	return t->tv_sec * 1000000000 + t->tv_nsec;
}

int sc_file_id_of(int fd, struct sc_file_id *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME | STATX_MTIME,
		  &stx) < 0)
		return -errno;
	*ret = (struct sc_file_id){ .inode = stx.stx_ino,
				    .mtime_ns = nanoseconds(&stx.stx_mtime) };
	if (stx.stx_mask & STATX_BTIME)
		ret->birth_ns = nanoseconds(&stx.stx_btime);
	return 0;
}
