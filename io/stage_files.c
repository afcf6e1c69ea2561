/* SPDX-License-Identifier: GPL-2.0-only */
/* The files of a stage: room for them, their directories, empty files; see
 * stage.h. Job's thread. */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* What a clone needs besides the files: redo, InnoDB's temporary files. */
#define SPACE_MARGIN (64 * SC_MIB)

/* margin: what is needed besides the files. */
static int check_space_in(int dir, const char *name, uint64_t bytes,
			  uint64_t margin, struct sc_err *err)
{
	struct statvfs vfs;
	uint64_t avail;

	if (fstatvfs(dir, &vfs) < 0)
		return stage_error(errno, "statvfs", err);
	avail = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (avail >= bytes + margin)
		return 0;
	return sc_err_set(err, SC_ER_CLONE_DISK_SPACE,
			  "the clone needs %" PRIu64 " MiB, %" PRIu64
			  " MiB are free for %s",
			  (bytes + margin) / SC_MIB, avail / SC_MIB, name);
}

/* What of them comes into the directories on that file system. */
static uint64_t bytes_on(const struct sc_staged *stage,
			 const struct sc_filelist *list, const dev_t *devs,
			 dev_t dev)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct sc_file *file = &list->files[i];

		if (devs[sc_roots_find(stage->roots, file->path)] == dev)
			bytes += file->stored;
	}
	return bytes;
}

static int check_space(struct sc_staged *stage, const struct sc_filelist *list,
		       struct sc_err *err)
{
	static const char target[] = "the target directory";
	const struct sc_roots *roots = stage->roots;
	dev_t devs[SC_MAX_ROOTS];
	struct stat st;

	if (!roots || roots->n == 1)
		return check_space_in(stage->target, target,
				      stage->share ? 0 : list->stored,
				      SPACE_MARGIN, err);
	for (unsigned i = 0; i < roots->n; i++) {
		if (fstat(roots->fd[i], &st) < 0)
			return stage_error(errno, "fstat", err);
		devs[i] = st.st_dev;
	}
	for (unsigned i = 0; i < roots->n; i++) {
		if (check_space_in(roots->fd[i], i ? roots->path[i] : target,
				   bytes_on(stage, list, devs, devs[i]),
				   i ? 0 : SPACE_MARGIN, err) < 0)
			return -1;
	}
	return 0;
}

int stage_check_files(struct sc_staged *stage, const struct sc_filelist *list,
		      struct sc_err *err)
{
	for (size_t i = 0; i < list->n; i++) {
		if (stage_check_external(stage, list->files[i].path, err) < 0)
			return -1;
	}
	return check_space(stage, list, err);
}

/* dir: as in the clone's names, with '/' at the end. */
static int note_dir(struct sc_staged *stage, char *dir, struct sc_err *err)
{
	if (!stage->in_place)
		return stage_note_outside(stage, dir, err);
	dir[strlen(dir) - 1] = '\0';
	return sc_inplace_note_dir(stage->lock_fd, dir, err);
}

/* Note the directories that a file needs and that are not there, so that an
 * undo removes them and no others. */
static int note_dirs(struct sc_staged *stage, const char *path,
		     const struct sc_place *place, struct sc_err *err)
{
	char dir[SC_PATH_MAX + 1], below[SC_PATH_MAX];

	for (const char *p = strchr(place->path, '/'); p;
	     p = strchr(p + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s/", (int)(p - path), path);
		snprintf(below, sizeof(below), "%.*s", (int)(p - place->path),
			 place->path);
		if (faccessat(place->dir, below, F_OK, AT_SYMLINK_NOFOLLOW) !=
			    0 &&
		    note_dir(stage, dir, err) < 0)
			return -1;
	}
	return 0;
}

/*
 * Its whole size first, so that writes need not wait for each other to extend
 * it, and a dense file in as few extents as there can be: fallocate(2). Where
 * the file system has no such thing, the writes allocate.
 */
int stage_set_size(int fd, const struct sc_file *file, struct sc_err *err)
{
	if (file->size && !sc_file_is_sparse(file)) {
		if (fallocate(fd, 0, 0, (off_t)file->size) == 0)
			return 0;
		if (errno != EOPNOTSUPP)
			return stage_error(errno, file->path, err);
	}
	if (ftruncate(fd, (off_t)file->size) < 0)
		return stage_error(errno, file->path, err);
	return 0;
}

/* place.path points into path: of an external one it is the end. */
static int make_dirs_for(struct sc_staged *stage, const char *path,
			 struct sc_err *err)
{
	struct sc_place place =
		sc_roots_place(stage->roots, stage->target, path);
	int rc;

	if ((stage->in_place || sc_is_external(path)) &&
	    note_dirs(stage, path, &place, err) < 0)
		return -1;
	rc = sc_mkdirs_for(place.dir, place.path, stage->uid, stage->gid);
	return rc < 0 ? stage_error(-rc, path, err) : 0;
}

int stage_note_file(struct sc_staged *stage, const char *path,
		    struct sc_err *err)
{
	char name[STAGE_NAME_CAP];

	if (make_dirs_for(stage, path, err) < 0)
		return -1;
	if (stage->in_place || !sc_is_external(path))
		return 0;
	return stage_note_outside(
		stage, sc_inplace_name(path, name, sizeof(name)), err);
}

int stage_create_file(struct sc_staged *stage, const struct sc_file *file,
		      struct sc_err *err)
{
	CLEANUP_CLOSE int fd = -1;
	char name[STAGE_NAME_CAP];

	if (stage_note_file(stage, file->path, err) < 0)
		return -1;
	fd = sc_open_beneath(stage_name(stage, file->path, name), name,
			     O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (fd < 0)
		return stage_error(-fd, file->path, err);
	if (geteuid() == 0 && fchown(fd, stage->uid, stage->gid) < 0)
		return stage_error(errno, file->path, err);
	return stage->share ? 0 : stage_set_size(fd, file, err);
}

/* calloc(), because pages of zeroes cost nothing until a chunk comes. */
static int grow_array(void **array, size_t have, uint64_t want, size_t size,
		      struct sc_err *err)
{
	void *grown = calloc(want + 1, size);

	if (!grown)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for %" PRIu64 " entries",
				  want);
	if (*array)
		memcpy(grown, *array, have * size);
	free(*array);
	*array = grown;
	return 0;
}

int stage_grow(struct sc_staged *stage, uint64_t chunks, size_t files,
	       struct sc_err *err)
{
	if (grow_array((void **)&stage->have, stage->n_chunks, chunks,
		       sizeof(*stage->have), err) < 0 ||
	    grow_array((void **)&stage->digests, stage->n_chunks, chunks,
		       sizeof(*stage->digests), err) < 0 ||
	    grow_array((void **)&stage->newest, stage->n_files, files,
		       sizeof(*stage->newest), err) < 0)
		return -1;
	stage->n_chunks = chunks;
	stage->n_files = files;
	return 0;
}

int sc_stage_files(struct sc_staged *stage, const struct sc_filelist *list,
		   struct sc_err *err)
{
	if (stage_check_files(stage, list, err) < 0 ||
	    stage_grow(stage, list->chunks, list->n, err) < 0)
		return -1;
	stage->list = list;
	for (size_t i = 0; i < list->n; i++) {
		if (stage_create_file(stage, &list->files[i], err) < 0)
			return -1;
	}
	stage->created_ms = sc_now_ms();
	stage->copied_ms = stage->created_ms;
	return 0;
}
