/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * External tablespaces of a clone; see stage_impl.h. In a new directory, too,
 * they are staged beside their final names, which they get at the commit; what
 * is made for them is noted (io/base/outside.h). Job's thread.
 */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int exists(const char *path, struct sc_err *err)
{
	return sc_err_set(err, SC_ER_FILE_EXISTS, "File '%s' already exists",
			  path);
}

/* As stock: a local clone would have the donor's own file. */
static int nowhere(const struct sc_staged *stage, const char *path,
		   struct sc_err *err)
{
	if (stage->local)
		return exists(path, err);
	return sc_err_set(
		err, SC_ER_WRONG_VALUE,
		"Incorrect file path value: '%s'; HINT: add its directory to innodb_directories of the recipient",
		path);
}

int stage_check_external(const struct sc_staged *stage, const char *path,
			 struct sc_err *err)
{
	struct sc_place place;

	if (!sc_is_external(path))
		return 0;
	place = sc_roots_place(stage->roots, stage->target, path);
	if (place.dir < 0)
		return nowhere(stage, path, err);
	if (!stage->in_place &&
	    faccessat(place.dir, place.path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return exists(path, err);
	return 0;
}

int stage_note_outside(struct sc_staged *stage, const char *name,
		       struct sc_err *err)
{
	if (sc_outside_add(&stage->outside, stage->target, stage->uid,
			   stage->gid, name, err) < 0)
		return -1;
	return sc_outside_sync(&stage->outside, err);
}

/* ---- the commit into a new directory ------------------------------------- */

/* Over nothing: what has that name since is another's. */
static int place_one(struct sc_staged *stage, const char *path,
		     struct sc_err *err)
{
	struct sc_place place =
		sc_roots_place(stage->roots, stage->target, path);
	CLEANUP_CLOSE int dir = -1;
	char name[STAGE_NAME_CAP];
	const char *base;

	dir = sc_open_parent_beneath(place.dir, place.path, &base);
	if (dir < 0)
		return stage_error(-dir, path, err);
	sc_inplace_name(base, name, sizeof(name));
	if (renameat2(dir, name, dir, base, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EEXIST ? exists(path, err)
			       : stage_error(errno, path, err);
}

/* Whoever undoes it must find the file under either name, and must not take
 * another's for it. */
static int note_final(struct sc_staged *stage, const char *path,
		      struct sc_err *err)
{
	char name[STAGE_NAME_CAP];
	int dir = stage_name(stage, path, name);
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return stage_error(errno, path, err);
	return sc_outside_add_final(&stage->outside, stage->target, stage->uid,
				    stage->gid, &st, path, err);
}

static int for_each(struct sc_staged *stage,
		    int (*one)(struct sc_staged *stage, const char *path,
			       struct sc_err *err),
		    struct sc_err *err)
{
	for (size_t i = 0; i < stage->list->n; i++) {
		const struct sc_file *file = &stage->list->files[i];

		if (!file->gone && sc_is_external(file->path) &&
		    one(stage, file->path, err) < 0)
			return -1;
	}
	return 0;
}

static int sync_at(int dir, const char *name, struct sc_err *err)
{
	CLEANUP_CLOSE int fd =
		sc_open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return stage_error(-fd, name, err);
	return fsync(fd) < 0 ? stage_error(errno, name, err) : 0;
}

/* The directories that a file's name leads through. */
static int sync_dirs_of(const struct sc_place *place, struct sc_err *err)
{
	char dir[SC_PATH_MAX];

	for (const char *p = strchr(place->path, '/'); p;
	     p = strchr(p + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(p - place->path),
			 place->path);
		if (sync_at(place->dir, dir, err) < 0)
			return -1;
	}
	return fsync(place->dir) < 0 ? stage_error(errno, place->path, err) : 0;
}

static bool same_directory(const char *a, const char *b)
{
	size_t len = (size_t)(sc_base_name(a) - a);

	return len == (size_t)(sc_base_name(b) - b) && !memcmp(a, b, len);
}

int stage_sync_external(const struct sc_staged *stage, struct sc_err *err)
{
	const char *last = "";

	for (size_t i = 0; i < stage->list->n; i++) {
		const struct sc_file *file = &stage->list->files[i];
		struct sc_place place;

		if (file->gone || !sc_is_external(file->path) ||
		    same_directory(file->path, last))
			continue;
		last = file->path;
		place = sc_roots_place(stage->roots, stage->target, last);
		if (sync_dirs_of(&place, err) < 0)
			return -1;
	}
	return 0;
}

int stage_place_external(struct sc_staged *stage, struct sc_err *err)
{
	if (for_each(stage, note_final, err) < 0 ||
	    sc_outside_sync(&stage->outside, err) < 0 ||
	    for_each(stage, place_one, err) < 0)
		return -1;
	return stage_sync_external(stage, err);
}

void stage_remove_external(struct sc_staged *stage)
{
	struct sc_err err = SC_ERR_INIT;

	if (sc_outside_remove(stage->target, &err) < 0)
		sc_error("files of the failed clone are not removed: %s",
			 err.msg);
}
