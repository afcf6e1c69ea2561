/* SPDX-License-Identifier: GPL-2.0-only */
/* Staged files that share the extents of the donor's; see stage.h. Job's
 * thread. */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int open_staged(struct sc_staged *stage, const struct sc_file *file,
		       struct sc_err *err)
{
	char name[STAGE_NAME_CAP];
	int fd = sc_open_beneath(stage_name(stage, file->path, name), name,
				 O_WRONLY, 0);

	return fd < 0 ? stage_error(-fd, file->path, err) : fd;
}

static bool cannot(int sys_errno)
{
	return sys_errno == EXDEV || sys_errno == EOPNOTSUPP ||
	       sys_errno == EINVAL;
}

int sc_stage_share(struct sc_staged *stage, size_t index, int src,
		   struct sc_reflink *cost, const atomic_bool *stop, int *why,
		   struct sc_err *err)
{
	const struct sc_file *file = &stage->list->files[index];
	CLEANUP_CLOSE int dst = open_staged(stage, file, err);
	uint64_t chunks = sc_chunks_of(file->size);
	int rc;

	if (dst < 0)
		return -1;
	rc = sc_reflink_file(cost, src, dst, stop);
	if (cannot(-rc)) {
		*why = -rc;
		return 1;
	}
	if (rc < 0)
		return stage_error(-rc, file->path, err);
	for (uint64_t i = 0; i < chunks; i++)
		stage->have[file->first_chunk + i] = 1;
	stage->bytes += file->size;
	stage->copied_ms = sc_now_ms();
	return 0;
}

int sc_stage_share_not(struct sc_staged *stage, size_t index,
		       struct sc_err *err)
{
	const struct sc_file *file = &stage->list->files[index];
	CLEANUP_CLOSE int dst = open_staged(stage, file, err);

	/* What a slice may have left there is not of the file any more. */
	if (dst >= 0 && ftruncate(dst, 0) < 0)
		return stage_error(errno, file->path, err);
	return dst < 0 ? -1 : stage_set_size(dst, file, err);
}
