/* SPDX-License-Identifier: GPL-2.0-only */
/* The way back to the old data; see inplace.h. */
#include "io/inplace_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/external.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "data directory: %s", what);
}

static int sync_directory(void *arg, int dir, struct sc_err *err)
{
	(void)arg;
	return fsync(dir) < 0 ? failed(errno, "fsync", err) : 0;
}

int inplace_sync(int datadir, const struct sc_roots *roots, struct sc_err *err)
{
	const struct sc_external_walk walk = { .roots = roots,
					       .directory = sync_directory };

	for (unsigned i = 1; roots && i < roots->n; i++) {
		if (roots->external[i] ? sc_external_walk(&walk, i, err) < 0
				       : fsync(roots->fd[i]) < 0)
			return failed(errno, roots->path[i], err);
	}
	return sc_tree_sync_dirs(datadir, err);
}

/*
 * Remove a new file that has its final name. While it is still staged, what has
 * that name is another's. A directory waits for remove_made_dirs().
 */
static void remove_new(int dir, const char *path, struct sc_err *err)
{
	char staged[INPLACE_NAME_CAP];
	int rc;

	if (inplace_has(dir, sc_inplace_name(path, staged, sizeof(staged))))
		return;
	rc = sc_unlink_beneath(dir, path, 0);
	if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR && rc != -EISDIR)
		failed(-rc, path, err);
}

/* A line of the list: "./NAME", or of another directory its path and NAME. */
static void remove_line(int datadir, const struct sc_roots *roots,
			const char *line, struct sc_err *err)
{
	if (strstr(line, "../"))
		return;
	if (!strncmp(line, "./", 2))
		remove_new(datadir, line + 2, err);
	for (unsigned i = 1; roots && i < roots->n; i++) {
		const char *name = sc_path_below(roots->path[i], line);

		if (name && (roots->external[i] || !strchr(name, '/')))
			remove_new(roots->fd[i], name, err);
	}
}

/* All that our list of new files names. */
static int remove_listed(int datadir, const struct sc_roots *roots, int dir,
			 struct sc_err *err)
{
	CLEANUP_FREE char *line = NULL;
	int fd = openat(dir, SC_NEW_FILES, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	size_t cap = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (!f) {
		failed(errno, SC_NEW_FILES, err);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		remove_line(datadir, roots, line, err);
	}
	if (ferror(f))
		failed(EIO, SC_NEW_FILES, err);
	fclose(f);
	return sc_err_is_set(err) ? -1 : 0;
}

static void remove_status(int dir, const char *name, struct sc_err *err)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		failed(errno, name, err);
}

static bool is_staged(const char *name)
{
	size_t n = strlen(name), s = strlen(SC_CLONE_SUFFIX);

	return n > s && !strcmp(name + n - s, SC_CLONE_SUFFIX);
}

static void remove_dir(int at, const char *name, struct sc_err *err)
{
	CLEANUP_CLOSE int sub = openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (sub < 0 || sc_tree_remove(sub, err) < 0 ||
	    unlinkat(at, name, AT_REMOVEDIR) < 0)
		failed(errno, name, err);
}

static void remove_staged(int at, bool top, struct sc_err *err);

static void visit(int at, const char *name, bool top, struct sc_err *err)
{
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			failed(errno, name, err);
		return;
	}
	if (is_staged(name) && S_ISDIR(st.st_mode)) {
		remove_dir(at, name, err);
	} else if (is_staged(name)) {
		if (unlinkat(at, name, 0) < 0)
			failed(errno, name, err);
	} else if (S_ISDIR(st.st_mode) && sc_dir_wanted(name, top ? 0 : 1)) {
		CLEANUP_CLOSE int sub =
			openat(at, name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		/* What is not ours to read (lost+found) was not staged into. */
		if (sub >= 0)
			remove_staged(sub, false, err);
		else if (errno != ENOENT && errno != EACCES)
			failed(errno, name, err);
	}
}

/* All X.#clone below a directory. */
static void remove_staged(int at, bool top, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *stream = sc_dir_open(at);
	struct dirent *de;

	if (!stream) {
		failed(errno, "opendir", err);
		return;
	}
	while ((de = sc_dir_next(stream)))
		visit(at, de->d_name, top, err);
	if (errno)
		failed(errno, "readdir", err);
}

/* Of another directory's X.#clone those that staging makes there: files of the
 * clone, emptied doublewrite files, what a pass was renaming. */
static void remove_staged_in(const struct sc_roots *roots, unsigned root,
			     struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *stream = sc_dir_open(roots->fd[root]);
	struct dirent *de;
	char name[256];

	if (!stream) {
		failed(errno, roots->path[root], err);
		return;
	}
	while ((de = sc_dir_next(stream))) {
		if (!is_staged(de->d_name))
			continue;
		snprintf(name, sizeof(name), "%.*s",
			 (int)(strlen(de->d_name) - strlen(SC_CLONE_SUFFIX)),
			 de->d_name);
		if ((sc_roots_find(roots, name) == root ||
		     inplace_is_doublewrite(name) ||
		     !strncmp(name, "#snapclone_", 11)) &&
		    unlinkat(roots->fd[root], de->d_name, 0) < 0)
			failed(errno, de->d_name, err);
	}
	if (errno)
		failed(errno, roots->path[root], err);
}

/* The same of external tablespaces, at any depth. */
static int remove_external(void *arg, int dir, const char *name,
			   const char *path, struct sc_err *err)
{
	(void)arg;
	if (is_staged(name) &&
	    (strstr(name, ".ibd" SC_CLONE_SUFFIX) ||
	     !strncmp(name, "#snapclone_", 11)) &&
	    unlinkat(dir, name, 0) < 0)
		failed(errno, path, err);
	return 0;
}

static void remove_staged_external(const struct sc_roots *roots, unsigned root,
				   struct sc_err *err)
{
	const struct sc_external_walk walk = { .roots = roots,
					       .file = remove_external };

	if (roots->external[root])
		(void)sc_external_walk(&walk, root, err);
}

/* One that has got content since stays. */
static void remove_made_dir(int datadir, const struct sc_roots *roots,
			    const char *line, struct sc_err *err)
{
	struct sc_place place = sc_roots_place(roots, datadir, line);
	int rc = 0;

	if (place.dir >= 0 && sc_path_ok(place.path))
		rc = sc_unlink_beneath(place.dir, place.path, AT_REMOVEDIR);
	if (rc < 0 && rc != -ENOENT && rc != -ENOTEMPTY)
		failed(-rc, line, err);
}

/* Directories that staging made, the last one first. */
static void remove_made_dirs(int datadir, const struct sc_roots *roots,
			     char *made, struct sc_err *err)
{
	char *line;

	for (char *end = made + strlen(made); end > made; end = line) {
		end[-1] = '\0';
		line = memrchr(made, '\n', (size_t)(end - 1 - made));
		line = line ? line + 1 : made;
		remove_made_dir(datadir, roots, line, err);
	}
}

int sc_inplace_trim_dirs(int datadir, const struct sc_roots *roots,
			 struct sc_err *err)
{
	CLEANUP_CLOSE int dir = inplace_open_dir(datadir);
	CLEANUP_FREE char *made = NULL;

	if (dir < 0)
		return failed(errno, SC_CLONE_DIR, err);
	made = inplace_made_dirs(dir, err);
	if (!made)
		return -1;
	remove_made_dirs(datadir, roots, made, err);
	return sc_err_is_set(err) ? -1 : 0;
}

/* The staged manifest, and what a write of a small file leaves when it is cut
 * off. */
static void remove_temps(int dir, struct sc_err *err)
{
	static const char *const names[] = { SC_STATUS_ERROR ".tmp",
					     SC_NEW_FILES ".tmp",
					     SC_REPLACE_FILES ".tmp",
					     SC_OLD_FILES ".tmp",
					     SC_END_NAME ".tmp",
					     SC_STATUS_FIX ".tmp",
					     SC_MANIFEST_NAME SC_CLONE_SUFFIX };

	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		remove_status(dir, names[i], err);
}

/*
 * Final names, then the lists, and what they made count; only a commit under
 * way has them. Final names go first and durably: without the list nobody
 * would know them. While the lists are there, #status_error must be too.
 */
static int remove_commit(int datadir, const struct sc_roots *roots, int dir,
			 struct sc_err *err)
{
	static const char *const names[] = { SC_NEW_FILES, SC_REPLACE_FILES,
					     SC_OLD_FILES, SC_END_NAME,
					     SC_STATUS_FIX };

	if (!inplace_has(dir, SC_STATUS_ERROR))
		return 0;
	if (inplace_reopen_mark(dir, err) < 0 ||
	    remove_listed(datadir, roots, dir, err) < 0 ||
	    inplace_sync(datadir, roots, err) < 0)
		return -1;
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		remove_status(dir, names[i], err);
	return sc_err_is_set(err) ? -1 : 0;
}

static int undo(int datadir, const struct sc_roots *roots, int dir,
		struct sc_err *err)
{
	CLEANUP_FREE char *made = inplace_made_dirs(dir, err);

	if (!made || remove_commit(datadir, roots, dir, err) < 0)
		return -1;
	remove_staged(datadir, true, err);
	for (unsigned i = 1; roots && i < roots->n; i++) {
		remove_staged_in(roots, i, err);
		remove_staged_external(roots, i, err);
	}
	remove_made_dirs(datadir, roots, made, err);
	remove_temps(dir, err);
	if (sc_err_is_set(err) || inplace_sync(datadir, roots, err) < 0)
		return -1;
	remove_status(dir, SC_STATUS_ERROR, err);
	if (sc_err_is_set(err))
		return -1;
	return fsync(dir) < 0 ? failed(errno, "fsync " SC_CLONE_DIR, err) : 0;
}

int sc_inplace_undo(int datadir, const struct sc_roots *roots,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int dir = inplace_open_dir(datadir);

	if (dir < 0)
		return errno == ENOENT ? 0 : failed(errno, SC_CLONE_DIR, err);
	if (inplace_check_not_committed(dir, err) < 0)
		return -1;
	return undo(datadir, roots, dir, err);
}

int sc_inplace_clean(int datadir, const struct sc_roots *roots,
		     struct sc_err *err)
{
	CLEANUP_CLOSE int lock = -1;
	struct stat st;

	if (fstat(datadir, &st) < 0)
		return failed(errno, "fstat", err);
	if (sc_inplace_lock(datadir, st.st_uid, st.st_gid, &lock, err) < 0 ||
	    sc_inplace_undo(datadir, roots, err) < 0)
		return -1;
	if (unlinkat(datadir, SC_CLONE_DIR "/" SC_STAGE_MARK, 0) < 0)
		return failed(errno, SC_STAGE_MARK, err);
	return 0;
}
