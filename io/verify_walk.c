/* SPDX-License-Identifier: GPL-2.0-only */
/* Which files are there; see verify_impl.h. */
#include "io/verify_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Most bytes of #old_files: all names that there can be. */
#define OLD_FILES_MAX (1u << 30)

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot read %s", what);
}

struct walk {
	struct verify *v;
	const char **known; /* paths of the manifest, sorted */
	size_t n_known;
	size_t n_system;      /* files of the work list from the manifest */
	struct sc_file plain; /* what is assumed of a file at first */
	struct sc_err *err;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool contains(const void *sorted, size_t n, const char *path)
{
	return n && bsearch(&path, sorted, n, sizeof(char *), by_text);
}

/* A file that a server would take for a tablespace. */
static int visit_file(struct walk *w, const char *path, enum sc_file_kind kind)
{
	struct verify *v = w->v;
	int64_t size;

	if (v->before_start) {
		if (!contains(w->known, w->n_known, path) &&
		    !contains(v->old, v->n_old, path))
			verify_found(v, "%s was not cloned, but is there",
				     path);
		return 0;
	}
	if (kind != SC_FILE_PAGES)
		return 0;
	for (size_t i = 0; i < w->n_system; i++) {
		if (!strcmp(v->work.files[i].path, path))
			return 0;
	}
	size = verify_size_of(v, path);
	return size < 0 ? 0
			: verify_add_work(v, &w->plain, path, (uint64_t)size,
					  false, w->err);
}

/* A clone has no doublewrite file with content: the start would overwrite
 * pages with what it has. */
static void visit_doublewrite(struct walk *w, const char *name,
			      const struct stat *st)
{
	if (w->v->before_start && !w->v->waiting && S_ISREG(st->st_mode) &&
	    st->st_size && !strncmp(name, "#ib_", 4) && strstr(name, "dblwr"))
		verify_found(w->v, "%s was not cloned, but is there", name);
}

static int walk_dir(struct walk *w, int at, const char *prefix, int depth);

static int walk_sub(struct walk *w, int at, const char *name, const char *path,
		    int depth)
{
	CLEANUP_CLOSE int sub = openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (sub < 0)
		verify_found(w->v, "%s cannot be opened: %s", path,
			     strerrordesc_np(errno));
	else if (depth >= SC_MAX_DEPTH)
		verify_found(w->v, "%s: directories are nested too deep", path);
	else if (!sc_roots_has(&w->v->roots, sub))
		return walk_dir(w, sub, path, depth + 1);
	return 0;
}

static int walk_entry(struct walk *w, int at, const char *name,
		      const char *prefix, int depth)
{
	enum sc_file_kind kind;
	char path[SC_PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s%s%s", prefix,
			 *prefix ? "/" : "", name);

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(errno, name, w->err);
	if (depth == 0 && name[0] == '#') {
		visit_doublewrite(w, name, &st);
		return 0;
	}
	if (name[0] == '.' || (depth == 0 && !strcmp(name, "lost+found")))
		return 0;
	/* No server has so long a path. */
	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	if (S_ISDIR(st.st_mode))
		return walk_sub(w, at, name, path, depth);
	return sc_file_wanted(name, depth, &kind) ? visit_file(w, path, kind)
						  : 0;
}

static int walk_dir(struct walk *w, int at, const char *prefix, int depth)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	const char *what = *prefix ? prefix : "the directory";
	struct dirent *de;

	if (!dir)
		return failed(errno, what, w->err);
	while ((errno = 0, de = readdir(dir))) {
		if (!sc_is_dot(de->d_name) &&
		    walk_entry(w, at, de->d_name, prefix, depth) < 0)
			return -1;
	}
	return errno ? failed(errno, what, w->err) : 0;
}

/* Another directory: only files that belong there. Of external tablespaces
 * nobody says where there might be more. */
static int walk_root(struct walk *w, unsigned root)
{
	const struct sc_roots *roots = &w->v->roots;
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(roots->fd[root]);
	enum sc_file_kind kind;
	struct dirent *de;
	int rc = 0;

	if (roots->external[root])
		return 0;
	if (!dir)
		return failed(errno, "another directory", w->err);
	while (rc == 0 && (errno = 0, de = readdir(dir))) {
		if (sc_roots_find(roots, de->d_name) == root &&
		    sc_file_wanted(de->d_name, 0, &kind))
			rc = visit_file(w, de->d_name, kind);
	}
	return rc == 0 && errno ? failed(errno, "another directory", w->err)
				: rc;
}

static int walk_all(struct walk *w)
{
	int rc = walk_dir(w, w->v->params->dir, "", 0);

	for (unsigned i = 1; rc == 0 && i < w->v->roots.n; i++)
		rc = walk_root(w, i);
	return rc;
}

/* In place, the old data is still there beside the clone: those of its files
 * that the clone has not are in a list, one "./NAME" per line, or "/DIR/NAME"
 * in another directory. */
static int read_old(struct verify *v, struct sc_err *err)
{
	static const char name[] = SC_CLONE_DIR "/" SC_OLD_FILES;
	CLEANUP_CLOSE int fd =
		sc_open_beneath(v->params->dir, name, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	ssize_t n;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(fd < 0 ? -fd : errno, name, err);
	if (st.st_size > OLD_FILES_MAX)
		return failed(EFBIG, name, err);
	v->old_text = calloc(1, (size_t)st.st_size + 1);
	v->old = calloc((size_t)st.st_size / 3 + 1, sizeof(*v->old));
	if (!v->old_text || !v->old)
		return failed(ENOMEM, name, err);
	n = sc_pread_full(fd, v->old_text, (size_t)st.st_size, 0);
	if (n < 0)
		return failed((int)-n, name, err);
	for (char *line = v->old_text, *end; (end = strchr(line, '\n'));
	     line = end + 1) {
		*end = '\0';
		if (!strncmp(line, "./", 2))
			v->old[v->n_old++] = line + 2;
		else if (*line == '/' && !sc_is_table_name(line))
			v->old[v->n_old++] = (char *)sc_base_name(line);
	}
	qsort(v->old, v->n_old, sizeof(*v->old), by_text);
	return 0;
}

int verify_list(struct verify *v, struct sc_err *err)
{
	const struct sc_filelist *list = &v->m.list;
	uint32_t page_size = (uint32_t)v->m.head.page_size;
	CLEANUP_FREE const char **known =
		malloc((list->n + 1) * sizeof(*known));
	struct walk w = { .v = v, .known = known, .err = err };

	if (!known)
		return failed(ENOMEM, "the list of files", err);
	if ((v->waiting && read_old(v, err) < 0) ||
	    verify_list_known(v, err) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++)
		known[i] = list->files[i].path;
	qsort(known, list->n, sizeof(*known), by_text);
	w.n_known = list->n;
	w.n_system = v->work.n;
	w.plain = (struct sc_file){ .kind = SC_FILE_PAGES,
				    .spec = { .physical_size = page_size,
					      .logical_size = page_size } };
	return verify_list_external(v, &w.plain, err) < 0 ? -1 : walk_all(&w);
}
