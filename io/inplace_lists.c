/* SPDX-License-Identifier: GPL-2.0-only */
/* The lists of a commit in place, by which the next start swaps; see
 * inplace.h. */
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
			  "commit in the data directory: %s", what);
}

/* A list under way: names relative to the data directory, or absolute, one per
 * line. */
struct names {
	const struct sc_roots *roots;
	char *text;
	size_t len;
	FILE *f;
};

static int names_open(struct names *names, const struct sc_inplace *ip,
		      struct sc_err *err)
{
	names->roots = ip->roots;
	names->text = NULL;
	names->f = open_memstream(&names->text, &names->len);
	return names->f ? 0 : failed(errno, "list", err);
}

/* root: the directory that path is relative to. */
static void names_add(struct names *names, unsigned root, const char *path)
{
	fprintf(names->f, "%s/%s\n", root ? names->roots->path[root] : ".",
		path);
}

/* A file of the clone by its name. */
static void names_add_file(struct names *names, const char *path)
{
	if (sc_is_external(path))
		fprintf(names->f, "%s\n", path);
	else
		names_add(names,
			  names->roots ? sc_roots_find(names->roots, path) : 0,
			  path);
}

/* Lines that are names of directories each, as in the clone. */
static void names_add_lines(struct names *names, const char *text)
{
	for (size_t n; (n = strcspn(text, "\n")); text += n + 1)
		fprintf(names->f, "%s%.*s\n", sc_is_external(text) ? "" : "./",
			(int)n, text);
}

/* Close the list and, if all went well, write it into #clone. */
static int names_put(struct sc_inplace *ip, struct names *names,
		     const char *list, int rc, struct sc_err *err)
{
	bool bad = ferror(names->f);

	if (fclose(names->f) || bad)
		rc = failed(ENOMEM, list, err);
	if (rc == 0)
		rc = inplace_put_file(ip, list, names->text, names->len, err);
	free(names->text);
	return rc;
}

typedef int visit_fn(struct sc_inplace *ip, unsigned root, const char *path,
		     struct names *names, struct sc_err *err);

static int fd_of(const struct sc_inplace *ip, unsigned root)
{
	return root ? ip->roots->fd[root] : ip->datadir;
}

/* Is a file of the clone's name there, in its directory? */
static bool is_there(const struct sc_inplace *ip, const char *path)
{
	struct sc_place place = inplace_place(ip, path);

	return inplace_has(place.dir, place.path);
}

static int visit_dir(struct sc_inplace *ip, int at, const char *prefix,
		     visit_fn *visit, struct names *names, struct sc_err *err);

static int visit_entry(struct sc_inplace *ip, int at, const char *name,
		       const char *prefix, visit_fn *visit, struct names *names,
		       struct sc_err *err)
{
	CLEANUP_CLOSE int sub = -1;
	char path[INPLACE_NAME_CAP];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s%s%s", prefix,
			 *prefix ? "/" : "", name);

	/* No server has so long a path. */
	if (n < 0 || n >= SC_PATH_MAX)
		return 0;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(errno, path, err);
	if (S_ISREG(st.st_mode))
		return visit(ip, 0, path, names, err);
	/* What no scan of a donor looks into is nobody's old data. */
	if (!S_ISDIR(st.st_mode) || !sc_dir_wanted(name, *prefix ? 1 : 0))
		return 0;
	sub = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0)
		return failed(errno, path, err);
	if (sc_roots_has(ip->roots, sub))
		return 0;
	return visit_dir(ip, sub, path, visit, names, err);
}

static int visit_dir(struct sc_inplace *ip, int at, const char *prefix,
		     visit_fn *visit, struct names *names, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	struct dirent *de;

	if (!dir)
		return failed(errno, *prefix ? prefix : ".", err);
	while ((errno = 0, de = readdir(dir))) {
		if (sc_is_dot(de->d_name))
			continue;
		if (visit_entry(ip, at, de->d_name, prefix, visit, names, err) <
		    0)
			return -1;
	}
	return errno ? failed(errno, *prefix ? prefix : ".", err) : 0;
}

/* In another directory only what its setting puts there: what else it has is
 * not looked at. */
static int visit_root(struct sc_inplace *ip, unsigned root, visit_fn *visit,
		      struct names *names, struct sc_err *err)
{
	const char *path = ip->roots->path[root];
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(ip->roots->fd[root]);
	struct dirent *de;
	struct stat st;

	if (!dir)
		return failed(errno, path, err);
	while ((errno = 0, de = readdir(dir))) {
		if (sc_roots_find(ip->roots, de->d_name) != root &&
		    !inplace_is_doublewrite(de->d_name))
			continue;
		if (fstatat(ip->roots->fd[root], de->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) < 0)
			return failed(errno, de->d_name, err);
		if (S_ISREG(st.st_mode) &&
		    visit(ip, root, de->d_name, names, err) < 0)
			return -1;
	}
	return errno ? failed(errno, path, err) : 0;
}

static int visit_all(struct sc_inplace *ip, visit_fn *visit,
		     struct names *names, struct sc_err *err)
{
	if (visit_dir(ip, ip->datadir, "", visit, names, err) < 0)
		return -1;
	for (unsigned i = 1; ip->roots && i < ip->roots->n; i++) {
		if (visit_root(ip, i, visit, names, err) < 0)
			return -1;
	}
	return 0;
}

struct external {
	unsigned root;
	struct names *names;
};

/* External tablespaces of the old data that the clone has not. */
static int visit_external(void *arg, int dir, const char *name,
			  const char *path, struct sc_err *err)
{
	const struct external *ex = arg;
	char staged[INPLACE_NAME_CAP];

	(void)err;
	if (sc_is_table_name(name) && !strchr(path, '\n') &&
	    !inplace_has(dir, sc_inplace_name(name, staged, sizeof(staged))))
		names_add(ex->names, ex->root, path);
	return 0;
}

static int list_old_external(struct sc_inplace *ip, struct names *names,
			     struct sc_err *err)
{
	struct external ex = { .names = names };
	const struct sc_external_walk walk = { .roots = ip->roots,
					       .file = visit_external,
					       .arg = &ex };

	for (ex.root = 1; ip->roots && ex.root < ip->roots->n; ex.root++) {
		if (ip->roots->external[ex.root] &&
		    sc_external_walk(&walk, ex.root, err) < 0)
			return -1;
	}
	return 0;
}

static int visit_old(struct sc_inplace *ip, unsigned root, const char *path,
		     struct names *names, struct sc_err *err)
{
	char staged[INPLACE_NAME_CAP];

	(void)err;
	if (inplace_is_old_data(path) &&
	    !inplace_has(fd_of(ip, root),
			 sc_inplace_name(path, staged, sizeof(staged))))
		names_add(names, root, path);
	return 0;
}

int inplace_list_old(struct sc_inplace *ip, struct sc_err *err)
{
	struct names names;
	int rc;

	if (names_open(&names, ip, err) < 0)
		return -1;
	rc = visit_all(ip, visit_old, &names, err);
	if (rc == 0)
		rc = list_old_external(ip, &names, err);
	return names_put(ip, &names, SC_OLD_FILES, rc, err);
}

/*
 * A doublewrite file of the old data would overwrite pages of the clone that
 * it takes for torn (zero pages: seen): an empty one takes its place.
 */
static int visit_doublewrite(struct sc_inplace *ip, unsigned root,
			     const char *path, struct names *names,
			     struct sc_err *err)
{
	CLEANUP_CLOSE int fd = -1;
	char staged[INPLACE_NAME_CAP];

	if (!inplace_is_doublewrite(path) || strstr(path, SC_CLONE_SUFFIX))
		return 0;
	fd = openat(
		fd_of(ip, root), sc_inplace_name(path, staged, sizeof(staged)),
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 || (geteuid() == 0 && fchown(fd, ip->uid, ip->gid) < 0) ||
	    fsync(fd) < 0)
		return failed(errno, staged, err);
	names_add(names, root, path);
	return 0;
}

/* Not of a file that was dropped while the clone was made. */
static bool in_clone(const struct sc_inplace *ip, size_t file)
{
	return !ip->list->files[file].gone;
}

/* The clone's files whose names exist in the old data. */
static int list_replaced(struct sc_inplace *ip, struct names *names,
			 struct sc_err *err)
{
	for (size_t i = 0; i < ip->list->n; i++) {
		const char *path = ip->list->files[i].path;

		if (in_clone(ip, i) && is_there(ip, path))
			names_add_file(names, path);
	}
	if (inplace_has(ip->datadir, INPLACE_MANIFEST))
		names_add(names, 0, INPLACE_MANIFEST);
	if (visit_all(ip, visit_doublewrite, names, err) < 0)
		return -1;
	/* The start calls an entry fatal that has nothing to replace. */
	if (!inplace_has(ip->datadir, SC_REDO_DIR))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the redo log is not in " SC_REDO_DIR
			" of the data directory (innodb_log_group_home_dir), which this release cannot replace");
	/* Last: InnoDB takes the state of the last entry for that of all. */
	names_add(names, 0, SC_REDO_DIR);
	return 0;
}

int inplace_list_replaced(struct sc_inplace *ip, struct sc_err *err)
{
	struct names names;

	if (names_open(&names, ip, err) < 0)
		return -1;
	return names_put(ip, &names, SC_REPLACE_FILES,
			 list_replaced(ip, &names, err), err);
}

/*
 * New files, and among them two of #clone that a rollback must remove:
 * #snapclone_end, so that it is there after a start exactly when the clone was
 * swapped in, and #status_fix, which would empty the old data's MyISAM tables.
 * Directories last: the rollback of a start removes all that is in them.
 */
static int list_new(struct sc_inplace *ip, struct names *names,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int dir = inplace_clone_dir(ip, err);
	CLEANUP_FREE char *made = dir < 0 ? NULL : inplace_made_dirs(dir, err);

	if (!made)
		return -1;
	for (size_t i = 0; i < ip->list->n; i++) {
		const char *path = ip->list->files[i].path;

		if (in_clone(ip, i) && !is_there(ip, path))
			names_add_file(names, path);
	}
	if (!inplace_has(ip->datadir, INPLACE_MANIFEST))
		names_add(names, 0, INPLACE_MANIFEST);
	names_add(names, 0, SC_CLONE_DIR "/" SC_END_NAME);
	names_add(names, 0, SC_CLONE_DIR "/" SC_STATUS_FIX);
	names_add_lines(names, made);
	return 0;
}

int inplace_list_new(struct sc_inplace *ip, struct sc_err *err)
{
	struct names names;

	if (names_open(&names, ip, err) < 0)
		return -1;
	return names_put(ip, &names, SC_NEW_FILES, list_new(ip, &names, err),
			 err);
}
