/* SPDX-License-Identifier: GPL-2.0-only */
/* The stage while data arrives; see stage.h. */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
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

static int stage_error(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "target directory: %s", what);
}

/* A directory of the target, owned like it. Returns its descriptor. */
static int make_dir(struct sc_staged *stage, const char *name,
		    struct sc_err *err)
{
	int fd;

	if (mkdirat(stage->target, name, 0750) < 0)
		return stage_error(errno, name, err);
	fd = openat(stage->target, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return stage_error(errno, name, err);
	if (geteuid() == 0 && fchown(fd, stage->uid, stage->gid) < 0) {
		close(fd);
		return stage_error(errno, name, err);
	}
	return fd;
}

/* Directories that the server insists on: mysql even when no tablespace lies
 * in it. It makes those of other schemas itself when it finds #status_fix.
 * Source: Clone_Handle::create_clone_directory() in clone/clone0clone.cc. */
static int make_server_dirs(struct sc_staged *stage, struct sc_err *err)
{
	static const char *const names[] = { "#innodb_temp", "mysql" };

	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++) {
		CLEANUP_CLOSE int fd = make_dir(stage, names[i], err);

		if (fd < 0)
			return -1;
	}
	return 0;
}

static int mark_in_progress(struct sc_staged *stage, struct sc_err *err)
{
	CLEANUP_CLOSE int clone = make_dir(stage, SC_CLONE_DIR, err);

	if (clone < 0 || sc_write_file(clone, strchr(SC_IN_PROGRESS, '/') + 1,
				       "", 0, stage->uid, stage->gid, err) < 0)
		return -1;
	if (make_server_dirs(stage, err) < 0)
		return -1;
	if (fsync(clone) < 0 || fsync(stage->target) < 0)
		return stage_error(errno, "fsync", err);
	return 0;
}

/* Someone else's files must never be taken for a stage that failed. */
static int check_empty(struct sc_staged *stage, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = NULL;
	struct dirent *de;
	int fd = openat(stage->target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		dir = fdopendir(fd);
	if (!dir) {
		stage_error(errno, "opendir", err);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((de = readdir(dir))) {
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			return sc_err_set(err, SC_ER_INTERNAL_ERROR,
					  "target directory %s is not empty",
					  stage->name);
	}
	return 0;
}

static struct sc_staged *stage_new(const struct sc_stage_params *params)
{
	struct sc_staged *stage = calloc(1, sizeof(*stage));

	if (!stage)
		return NULL;
	pthread_mutex_init(&stage->lock, NULL);
	stage->target = params->target;
	stage->parent = params->parent;
	stage->page_size = params->page_size;
	stage->streams = params->streams;
	snprintf(stage->name, sizeof(stage->name), "%s", params->name);
	stage->open = calloc(params->streams + 1, sizeof(*stage->open));
	if (!stage->open) {
		sc_stage_free(stage);
		return NULL;
	}
	for (unsigned i = 0; i <= params->streams; i++)
		stage->open[i].fd = -1;
	return stage;
}

int sc_stage_open(const struct sc_stage_params *params, struct sc_staged **ret,
		  struct sc_err *err)
{
	struct sc_staged *stage = stage_new(params);
	struct stat st;

	if (!stage)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (fstat(stage->target, &st) < 0) {
		stage_error(errno, "fstat", err);
		goto fail;
	}
	stage->uid = st.st_uid;
	stage->gid = st.st_gid;
	if (check_empty(stage, err) < 0)
		goto fail;
	if (mark_in_progress(stage, err) < 0) {
		sc_stage_abort(stage);
		goto fail;
	}
	*ret = stage;
	return 0;
fail:
	sc_stage_free(stage);
	return -1;
}

void sc_stage_free(struct sc_staged *stage)
{
	if (!stage)
		return;
	for (unsigned i = 0; stage->open && i <= stage->streams; i++) {
		if (stage->open[i].fd >= 0)
			close(stage->open[i].fd);
	}
	sc_redo_build_free(stage->redo);
	pthread_mutex_destroy(&stage->lock);
	free(stage->open);
	free((void *)stage->have);
	free(stage);
}

static int check_space(struct sc_staged *stage, uint64_t bytes,
		       struct sc_err *err)
{
	struct statvfs vfs;
	uint64_t avail;

	if (fstatvfs(stage->target, &vfs) < 0)
		return stage_error(errno, "statvfs", err);
	avail = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (avail >= bytes + SPACE_MARGIN)
		return 0;
	return sc_err_set(err, SC_ER_CLONE_DISK_SPACE,
			  "the clone needs %" PRIu64 " MiB, %" PRIu64
			  " MiB are free for the target directory",
			  (bytes + SPACE_MARGIN) / SC_MIB, avail / SC_MIB);
}

static int create_file(struct sc_staged *stage, const struct sc_file *file,
		       struct sc_err *err)
{
	CLEANUP_CLOSE int fd = -1;
	int rc = sc_mkdirs_for(stage->target, file->path, stage->uid,
			       stage->gid);

	if (rc < 0)
		return stage_error(-rc, file->path, err);
	fd = sc_open_beneath(stage->target, file->path,
			     O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (fd < 0)
		return stage_error(-fd, file->path, err);
	if (geteuid() == 0 && fchown(fd, stage->uid, stage->gid) < 0)
		return stage_error(errno, file->path, err);
	if (ftruncate(fd, (off_t)file->size) < 0)
		return stage_error(errno, file->path, err);
	return 0;
}

int sc_stage_files(struct sc_staged *stage, const struct sc_filelist *list,
		   struct sc_err *err)
{
	if (check_space(stage, list->bytes, err) < 0)
		return -1;
	stage->have = calloc(list->chunks + 1, sizeof(*stage->have));
	if (!stage->have)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for %" PRIu64 " chunks",
				  list->chunks);
	stage->list = list;
	for (size_t i = 0; i < list->n; i++) {
		if (create_file(stage, &list->files[i], err) < 0)
			return -1;
	}
	return 0;
}

/* Exactly one chunk of the list, and not one that we have. */
static int check_range(struct sc_staged *stage, const struct sc_chunk *chunk,
		       struct sc_err *err)
{
	const struct sc_file *file;
	uint64_t left;

	if (!stage->list || chunk->file >= stage->list->n)
		return sc_frame_bad(err, "chunk of an unknown file");
	file = &stage->list->files[chunk->file];
	if (chunk->off >= file->size)
		return sc_frame_bad(err, "chunk beyond the end of its file");
	if (chunk->off % SC_CHUNK_SIZE)
		return sc_frame_bad(err, "chunk at a wrong offset");
	left = file->size - chunk->off;
	if (chunk->len != SC_MIN(left, SC_CHUNK_SIZE))
		return sc_frame_bad(err, "chunk of a wrong length");
	if (atomic_exchange(&stage->have[file->first_chunk +
					 chunk->off / SC_CHUNK_SIZE],
			    1))
		return sc_frame_bad(err, "chunk sent twice");
	return 0;
}

static int check_digest(const struct sc_file *file,
			const struct sc_chunk *chunk, const void *data,
			struct sc_err *err)
{
	uint8_t digest[SC_DIGEST_SIZE];

	/* Zeroes are made here, nothing travelled that could be damaged. */
	if (!data)
		return 0;
	sc_digest(data, chunk->len, digest);
	if (!memcmp(digest, chunk->digest, SC_DIGEST_SIZE))
		return 0;
	return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
			  "%s: bytes %" PRIu64 " to %" PRIu64
			  " were damaged on their way (digest mismatch)",
			  file->path, chunk->off, chunk->off + chunk->len);
}

/* Remember the newest page, for the check against E. */
static void note_lsns(struct sc_staged *stage, const struct sc_file *file,
		      const struct sc_chunk *chunk, const char *data)
{
	uint32_t size = file->spec.physical_size;
	uint64_t max = 0, page = 0;

	for (uint32_t at = 0; at + size <= chunk->len; at += size) {
		uint64_t lsn = sc_page_lsn(data + at);

		if (lsn > max) {
			max = lsn;
			page = (chunk->off + at) / size;
		}
	}
	SC_LOCK_SCOPE(&stage->lock);
	if (max > stage->max_lsn) {
		stage->max_lsn = max;
		stage->max_file = chunk->file;
		stage->max_page = page;
	}
}

static int stream_fd(struct sc_staged *stage, unsigned stream, uint32_t index,
		     struct sc_err *err)
{
	struct stage_stream *open = &stage->open[stream];
	const char *path = stage->list->files[index].path;

	if (open->fd >= 0 && open->file == index)
		return open->fd;
	if (open->fd >= 0)
		close(open->fd);
	open->file = index;
	open->fd = sc_open_beneath(stage->target, path, O_WRONLY, 0);
	if (open->fd < 0) {
		int rc = open->fd;

		open->fd = -1;
		return stage_error(-rc, path, err);
	}
	return open->fd;
}

int sc_stage_chunk(struct sc_staged *stage, unsigned stream,
		   const struct sc_chunk *chunk, const void *data,
		   struct sc_err *err)
{
	const struct sc_file *file;
	int fd, rc;

	if (stream < 1 || stream > stage->streams)
		return sc_frame_bad(err, "unknown stream");
	if (check_range(stage, chunk, err) < 0)
		return -1;
	file = &stage->list->files[chunk->file];
	if (check_digest(file, chunk, data, err) < 0)
		return -1;
	stage->bytes += chunk->len;
	if (!data)
		return 0;
	if (file->kind == SC_FILE_PAGES)
		note_lsns(stage, file, chunk, data);
	fd = stream_fd(stage, stream, chunk->file, err);
	if (fd < 0)
		return -1;
	rc = sc_pwrite_full(fd, data, chunk->len, chunk->off);
	if (rc < 0)
		return stage_error(-rc, file->path, err);
	/* Start writing back now so that the fsync at the end is short. Only a
	 * hint: what it cannot do, the fsync reports. */
	(void)sync_file_range(fd, (off64_t)chunk->off, chunk->len,
			      SYNC_FILE_RANGE_WRITE);
	return 0;
}

int sc_stage_redo_begin(struct sc_staged *stage, const struct sc_redo_begin *m,
			struct sc_err *err)
{
	CLEANUP_CLOSE int dir = -1;
	struct sc_redo_build_params params = {
		.uuid = m->uuid,
		.creator = m->creator,
		.checkpoint_lsn = m->checkpoint_lsn,
		.page_size = stage->page_size,
		.uid = stage->uid,
		.gid = stage->gid,
		.mode = 0640,
	};

	if (stage->redo)
		return sc_frame_bad(err, "redo began twice");
	stage->checkpoint_lsn = m->checkpoint_lsn;
	dir = make_dir(stage, SC_REDO_DIR, err);
	if (dir < 0)
		return -1;
	return sc_redo_build_open(dir, &params, &stage->redo, err);
}

int sc_stage_redo(struct sc_staged *stage, uint64_t lsn, const void *data,
		  size_t len, struct sc_err *err)
{
	if (!stage->redo)
		return sc_frame_bad(err, "redo before its beginning");
	if (!len)
		return 0;
	stage->redo_bytes += len;
	return sc_redo_build_append(stage->redo, lsn, data, len, err);
}

uint64_t sc_stage_bytes(const struct sc_staged *stage)
{
	return stage->bytes;
}

uint64_t sc_stage_redo_bytes(const struct sc_staged *stage)
{
	return stage->redo_bytes;
}
