/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changes of the staged files between two passes; see stage.h. Job's thread, no
 * stream is open.
 *
 * Renames go through a name of their own each, so that names may swap. It ends
 * in the suffix of staged files, so that an undo in place finds it.
 */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEMP_NAME_CAP (SC_PATH_MAX + 48)

static const char *path_of(const struct sc_staged *stage, uint32_t file)
{
	return stage->list->files[file].path;
}

static int drop_file(struct sc_staged *stage, uint32_t file, struct sc_err *err)
{
	char name[STAGE_NAME_CAP];
	int dir = stage_name(stage, path_of(stage, file), name);
	int rc = sc_unlink_beneath(dir, name, 0);

	return rc < 0 ? stage_error(-rc, path_of(stage, file), err) : 0;
}

/* ---- renames
 * ----------------------------------------------------------------- */

/* In the directory where the file is: never on another file system. Relative
 * to the returned directory. */
static int temp_name(const struct sc_staged *stage, uint32_t file, char *buf)
{
	struct sc_place place = sc_roots_place(stage->roots, stage->target,
					       path_of(stage, file));

	snprintf(buf, TEMP_NAME_CAP, "%.*s#snapclone_%u" SC_CLONE_SUFFIX,
		 (int)(sc_base_name(place.path) - place.path), place.path,
		 file);
	return place.dir;
}

/* Never over a file: that would be another one of the clone's. */
static int rename_staged(int from_dir, const char *from, int to_dir,
			 const char *to, const char *path, struct sc_err *err)
{
	const char *a, *b;
	CLEANUP_CLOSE int from_fd = sc_open_parent_beneath(from_dir, from, &a);
	CLEANUP_CLOSE int to_fd = sc_open_parent_beneath(to_dir, to, &b);

	if (from_fd < 0 || to_fd < 0)
		return stage_error(-(from_fd < 0 ? from_fd : to_fd), path, err);
	if (faccessat(to_fd, b, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return stage_error(EEXIST, path, err);
	if (renameat(from_fd, a, to_fd, b) < 0)
		return stage_error(errno, path, err);
	return 0;
}

/* A new directory: outside of it, too. */
static int note_temp(struct sc_staged *stage, const char *path,
		     const char *temp, struct sc_err *err)
{
	char name[SC_PATH_MAX + TEMP_NAME_CAP];

	snprintf(name, sizeof(name), "%.*s%s", (int)(sc_base_name(path) - path),
		 path, sc_base_name(temp));
	return stage_note_outside(stage, name, err);
}

static int rename_away(struct sc_staged *stage, const struct sc_file_rename *m,
		       struct sc_err *err)
{
	const char *path = path_of(stage, m->file);
	char name[STAGE_NAME_CAP], temp[TEMP_NAME_CAP];
	int dir = stage_name(stage, path, name);

	temp_name(stage, m->file, temp);
	if (!stage->in_place && sc_is_external(path) &&
	    note_temp(stage, path, temp, err) < 0)
		return -1;
	return rename_staged(dir, name, dir, temp, path, err);
}

static int rename_back(struct sc_staged *stage, const struct sc_file_rename *m,
		       struct sc_err *err)
{
	char name[STAGE_NAME_CAP], temp[TEMP_NAME_CAP];

	if (stage_check_external(stage, m->path, err) < 0 ||
	    stage_note_file(stage, m->path, err) < 0)
		return -1;
	return rename_staged(temp_name(stage, m->file, temp), temp,
			     stage_name(stage, m->path, name), name, m->path,
			     err);
}

static int rename_files(struct sc_staged *stage,
			const struct sc_file_changes *changes,
			struct sc_err *err)
{
	for (size_t i = 0; i < changes->n_renames; i++) {
		if (rename_away(stage, &changes->renames[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < changes->n_renames; i++) {
		if (rename_back(stage, &changes->renames[i], err) < 0)
			return -1;
	}
	return 0;
}

/* ---- directories that became empty
 * ------------------------------------------- */

/* A new directory of a clone: all in it were made for files, but for those of
 * make_server_dirs(). Those outside of it stay: no schema is there. */
static int remove_dirs_of(struct sc_staged *stage, const char *path,
			  struct sc_err *err)
{
	char dir[SC_PATH_MAX];
	char *slash;

	if (sc_is_external(path))
		return 0;
	snprintf(dir, sizeof(dir), "%s", path);
	while ((slash = strrchr(dir, '/'))) {
		int rc;

		*slash = '\0';
		if (!strcmp(dir, "mysql"))
			return 0;
		rc = sc_unlink_beneath(stage->target, dir, AT_REMOVEDIR);
		if (rc == 0 || rc == -ENOENT)
			continue;
		return rc == -ENOTEMPTY ? 0 : stage_error(-rc, dir, err);
	}
	return 0;
}

/* A schema that was dropped must not stand in the way of its name. */
static int remove_empty_dirs(struct sc_staged *stage,
			     const struct sc_file_changes *changes,
			     struct sc_err *err)
{
	if (!changes->n_drops && !changes->n_renames)
		return 0;
	if (stage->in_place)
		return sc_inplace_trim_dirs(stage->target, stage->roots, err);
	for (size_t i = 0; i < changes->n_drops; i++) {
		if (remove_dirs_of(stage, path_of(stage, changes->drops[i]),
				   err) < 0)
			return -1;
	}
	for (size_t i = 0; i < changes->n_renames; i++) {
		if (remove_dirs_of(stage,
				   path_of(stage, changes->renames[i].file),
				   err) < 0)
			return -1;
	}
	return 0;
}

/* ---- all of it
 * --------------------------------------------------------------- */

static int drop_files(struct sc_staged *stage,
		      const struct sc_file_changes *changes, struct sc_err *err)
{
	for (size_t i = 0; i < changes->n_drops; i++) {
		if (drop_file(stage, changes->drops[i], err) < 0)
			return -1;
	}
	/* What comes now may belong to another redo log. */
	if (changes->n_drops &&
	    changes->n_drops == sc_filelist_present(stage->list))
		stage->redo_may_restart = true;
	return 0;
}

static int add_files(struct sc_staged *stage, const struct sc_filelist *adds,
		     struct sc_err *err)
{
	const struct sc_filelist *list = stage->list;

	if (!adds->n)
		return 0;
	if (stage_check_files(stage, adds, err) < 0 ||
	    stage_grow(stage, list->chunks + adds->chunks, list->n + adds->n,
		       err) < 0)
		return -1;
	for (size_t i = 0; i < adds->n; i++) {
		if (stage_create_file(stage, &adds->files[i], err) < 0)
			return -1;
	}
	return 0;
}

int sc_stage_change(struct sc_staged *stage,
		    const struct sc_file_changes *changes, struct sc_err *err)
{
	if (!stage->list)
		return sc_frame_bad(err, "changes before the list of files");
	if (!sc_file_changes_ok(changes, stage->list))
		return sc_frame_bad(err, "changes of files that are not there");
	if (drop_files(stage, changes, err) < 0 ||
	    rename_files(stage, changes, err) < 0 ||
	    add_files(stage, &changes->adds, err) < 0)
		return -1;
	return remove_empty_dirs(stage, changes, err);
}
