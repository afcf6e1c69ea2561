/* SPDX-License-Identifier: GPL-2.0-only */
/* The lock of a stage in place, and the way back to the old data; see
 * inplace.h. */
#include "io/inplace.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "data directory: %s", what);
}

static int open_clone_dir(int datadir)
{
	return openat(datadir, SC_CLONE_DIR,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool has(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- lock ----------------------------------------------------------------------- */

/* A commit that counts and waits for the restart must not be disturbed. */
static int check_not_committed(int dir, struct sc_err *err)
{
	if (has(dir, SC_STATUS_ERROR) || (!has(dir, SC_REPLACE_FILES) &&
					  !has(dir, SC_NEW_FILES)))
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"a finished clone waits in the data directory for the restart of the server; HINT: restart mysqld");
}

static int lock_mark(int dir, uid_t uid, gid_t gid, struct sc_err *err)
{
	int fd = openat(dir, SC_STAGE_MARK,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd < 0)
		return failed(errno, SC_STAGE_MARK, err);
	if (geteuid() == 0 && fchown(fd, uid, gid) < 0)
		failed(errno, SC_STAGE_MARK, err);
	else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	else if (errno == EWOULDBLOCK)
		sc_err_set(
			err, SC_ER_CLONE_TOO_MANY,
			"another snapcloned still works in the data directory (lock of " SC_CLONE_DIR
			"/" SC_STAGE_MARK "); HINT: wait for its end");
	else
		failed(errno, "lock of " SC_STAGE_MARK, err);
	close(fd);
	return -1;
}

int sc_inplace_lock(int datadir, uid_t uid, gid_t gid, int *ret_fd,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int dir = -1;

	if (mkdirat(datadir, SC_CLONE_DIR, 0750) == 0) {
		if (geteuid() == 0 && fchownat(datadir, SC_CLONE_DIR, uid, gid,
					       AT_SYMLINK_NOFOLLOW) < 0)
			return failed(errno, SC_CLONE_DIR, err);
	} else if (errno != EEXIST) {
		return failed(errno, SC_CLONE_DIR, err);
	}
	dir = open_clone_dir(datadir);
	if (dir < 0)
		return failed(errno, SC_CLONE_DIR, err);
	if (check_not_committed(dir, err) < 0)
		return -1;
	*ret_fd = lock_mark(dir, uid, gid, err);
	if (*ret_fd < 0)
		return -1;
	return fsync(dir) < 0 ? failed(errno, "fsync " SC_CLONE_DIR, err) : 0;
}

/* ---- undo ----------------------------------------------------------------------- */

/* Remove what a list of ours names, final names of new files. */
static void remove_listed(int datadir, int dir, const char *list,
			  struct sc_err *err)
{
	CLEANUP_FREE char *line = NULL;
	int fd = openat(dir, list, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	size_t cap = 0;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "./", 2) && !strstr(line, "../") &&
		    unlinkat(datadir, line + 2, 0) < 0 && errno != ENOENT)
			failed(errno, line, err);
	}
	fclose(f);
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

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (is_staged(name) && S_ISDIR(st.st_mode)) {
		remove_dir(at, name, err);
	} else if (is_staged(name)) {
		if (unlinkat(at, name, 0) < 0)
			failed(errno, name, err);
	} else if (S_ISDIR(st.st_mode) && !(top && name[0] == '#')) {
		CLEANUP_CLOSE int sub =
			openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
						 O_CLOEXEC);

		if (sub >= 0)
			remove_staged(sub, false, err);
	}
}

/* All X.#clone below a directory. */
static void remove_staged(int at, bool top, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *stream = NULL;
	struct dirent *de;
	int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		failed(errno, "opendir", err);
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(stream))) {
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			visit(at, de->d_name, top, err);
	}
}

/* Directories that staging made, as the mark lists them: the last one first,
 * since parents come before children. One that has got content since stays. */
static void remove_made_dirs(int datadir, int dir, struct sc_err *err)
{
	CLEANUP_FREE char *text = malloc(SC_MADE_DIRS_MAX);
	CLEANUP_CLOSE int fd =
		openat(dir, SC_STAGE_MARK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = text && fd >= 0 ?
			    sc_pread_full(fd, text, SC_MADE_DIRS_MAX, 0) :
			    0;
	char *end, *line;

	for (end = text + SC_MAX(n, 0); end > text; end = line) {
		end[-1] = '\0';
		line = memrchr(text, '\n', (size_t)(end - 1 - text));
		line = line ? line + 1 : text;
		if (sc_path_ok(line) &&
		    unlinkat(datadir, line, AT_REMOVEDIR) < 0 &&
		    errno != ENOENT && errno != ENOTEMPTY)
			failed(errno, line, err);
	}
}

/* Lists, and what they made count; only a commit under way has them. */
static void remove_commit(int datadir, int dir, struct sc_err *err)
{
	static const char *const names[] = { SC_NEW_FILES, SC_REPLACE_FILES,
					     SC_OLD_FILES, SC_END_NAME,
					     SC_STATUS_FIX };

	if (!has(dir, SC_STATUS_ERROR))
		return;
	/* Final names go first: without the list nobody would know them. */
	remove_listed(datadir, dir, SC_NEW_FILES, err);
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		remove_status(dir, names[i], err);
}

int sc_inplace_undo(int datadir, struct sc_err *err)
{
	CLEANUP_CLOSE int dir = open_clone_dir(datadir);

	if (dir < 0)
		return errno == ENOENT ? 0 : failed(errno, SC_CLONE_DIR, err);
	if (check_not_committed(dir, err) < 0)
		return -1;
	remove_commit(datadir, dir, err);
	remove_staged(datadir, true, err);
	remove_made_dirs(datadir, dir, err);
	if (sc_err_is_set(err))
		return -1;
	remove_status(dir, SC_STATUS_ERROR, err);
	if (sc_err_is_set(err) || fsync(dir) < 0 || fsync(datadir) < 0)
		return failed(errno, "fsync", err);
	return 0;
}

int sc_inplace_clean(int datadir, struct sc_err *err)
{
	CLEANUP_CLOSE int lock = -1;
	struct stat st;

	if (fstat(datadir, &st) < 0)
		return failed(errno, "fstat", err);
	if (sc_inplace_lock(datadir, st.st_uid, st.st_gid, &lock, err) < 0 ||
	    sc_inplace_undo(datadir, err) < 0)
		return -1;
	if (unlinkat(datadir, SC_CLONE_DIR "/" SC_STAGE_MARK, 0) < 0)
		return failed(errno, SC_STAGE_MARK, err);
	return 0;
}
