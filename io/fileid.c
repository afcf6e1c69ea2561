/* SPDX-License-Identifier: GPL-2.0-only */
/* Which file an open one is; see filelist.h. */
#include "io/filelist.h"

#include "io/base/fdio.h"
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t ns_of(const struct statx_timestamp *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

struct sc_file_id sc_file_id_from(const struct statx *st)
{
	return (struct sc_file_id){
		.inode = st->stx_ino,
		.birth_ns =
			st->stx_mask & STATX_BTIME ? ns_of(&st->stx_btime) : 0,
		.mtime_ns = ns_of(&st->stx_mtime),
	};
}

int sc_file_id_of(int fd, struct sc_file_id *ret)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, SC_FILE_ID_STATX, &st) < 0)
		return -errno;
	*ret = sc_file_id_from(&st);
	return 0;
}

int sc_file_open_listed(struct sc_image *image, const struct sc_file *file,
			bool direct)
{
	int fd = image->open_file(image, file->path, direct);
	struct sc_file_id id;
	int rc = fd < 0 ? fd : sc_file_id_of(fd, &id);

	if (rc >= 0 && !sc_file_id_same(&id, &file->id))
		rc = -ESTALE;
	if (rc >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return rc;
}

bool sc_file_has_listed_space(int fd, const struct sc_file *file)
{
	alignas(SC_DIRECT_ALIGN) uint8_t page0[SC_DIRECT_ALIGN];

	if (file->spec.first_page)
		return true;
	return sc_pread_full(fd, page0, sizeof(page0), 0) ==
		       (ssize_t)sizeof(page0) &&
	       sc_page_space(page0) == file->spec.space_id;
}
