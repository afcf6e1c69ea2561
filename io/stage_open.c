/* SPDX-License-Identifier: GPL-2.0-only */
/* The beginning of a stage and its end; see stage.h. Job's thread. */
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

int stage_error(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "directory of the clone: %s", what);
}

int stage_make_dir(struct sc_staged *stage, const char *name,
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
		CLEANUP_CLOSE int fd = stage_make_dir(stage, names[i], err);

		if (fd < 0)
			return -1;
	}
	return 0;
}

static int mark_in_progress(struct sc_staged *stage, struct sc_err *err)
{
	CLEANUP_CLOSE int clone = stage_make_dir(stage, SC_CLONE_DIR, err);

	if (clone < 0 || sc_write_file(clone, SC_IN_PROGRESS, "", 0, stage->uid,
				       stage->gid, err) < 0)
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
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(stage->target);
	struct dirent *de;

	if (!dir)
		return stage_error(errno, "opendir", err);
	de = sc_dir_next(dir);
	if (de)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "target directory %s is not empty",
				  stage->name);
	return errno ? stage_error(errno, "readdir", err) : 0;
}

/*
 * In place: alone in the data directory, and without what an earlier job may
 * have left there.
 */
static int enter_data_directory(struct sc_staged *stage, struct sc_err *err)
{
	if (sc_inplace_lock(stage->target, stage->uid, stage->gid,
			    &stage->lock_fd, err) < 0 ||
	    sc_inplace_undo(stage->target, stage->roots, err) < 0)
		return -1;
	if (ftruncate(stage->lock_fd, 0) < 0)
		return stage_error(errno, SC_STAGE_MARK, err);
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
	stage->roots = params->roots;
	stage->in_place = params->in_place;
	stage->local = params->local;
	stage->share = params->share;
	stage->lock_fd = -1;
	stage->outside = (struct sc_outside)SC_OUTSIDE_INIT;
	stage->began_us = sc_wall_us();
	stage->begin_ms = sc_now_ms();
	stage->streams = params->streams;
	snprintf(stage->name, sizeof(stage->name), "%s",
		 params->name ? params->name : "");
	stage->per_stream =
		calloc(params->streams + 1, sizeof(*stage->per_stream));
	if (stage->per_stream)
		return stage;
	sc_stage_free(stage);
	return NULL;
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
	if (!stage->in_place && check_empty(stage, err) < 0)
		goto fail;
	if (stage->in_place ? enter_data_directory(stage, err) < 0
			    : mark_in_progress(stage, err) < 0) {
		/* Without the lock the mark is another one's. */
		if (!stage->in_place || stage->lock_fd >= 0)
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
	if (stage->lock_fd >= 0)
		close(stage->lock_fd);
	sc_outside_close(&stage->outside);
	sc_redo_build_free(stage->redo);
	pthread_mutex_destroy(&stage->lock);
	free(stage->per_stream);
	free((void *)stage->have);
	free(stage->digests);
	free(stage->newest);
	free(stage->end_text);
	explicit_bzero(&stage->redo_key, sizeof(stage->redo_key));
	free(stage);
}
