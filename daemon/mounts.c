/* SPDX-License-Identifier: GPL-2.0-only */
/* File systems under a server's tablespaces; see mounts.h. */
#include "daemon/mounts.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/filelist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void sc_mounts_free(struct sc_mounts *mounts)
{
	for (size_t i = 0; i < mounts->n; i++) {
		free(mounts->mounts[i].path);
		close(mounts->mounts[i].dir);
	}
	free(mounts->mounts);
	*mounts = (struct sc_mounts){ 0 };
}

/* The root directory's path is the only one that ends so. */
static bool ends_in_slash(const char *path)
{
	return !strcmp(path, "/");
}

/* What of a path is below `at`, NULL: it is not below that. */
static const char *below(const char *at, const char *path)
{
	size_t len = ends_in_slash(at) ? 0 : strlen(at);

	if ((*at == '/') != (*path == '/') || strncmp(path, at, len) != 0 ||
	    (len && path[len] && path[len] != '/'))
		return NULL;
	return path + len + (path[len] == '/');
}

size_t sc_mounts_of(const struct sc_mounts *mounts, const char *path,
		    const char **ret_rest)
{
	size_t best = mounts->n;

	*ret_rest = path;
	for (size_t i = 0; i < mounts->n; i++) {
		const char *rest = below(mounts->mounts[i].path, path);

		if (!rest || (best < mounts->n && rest <= *ret_rest))
			continue;
		best = i;
		*ret_rest = rest;
	}
	return best;
}

const char *sc_mounts_path(const struct sc_roots *roots, const char *name,
			   char *buf, size_t cap)
{
	unsigned root = *name == '/' ? 0 : sc_roots_find(roots, name);
	const char *at = roots->path[root];

	if (!root)
		return name;
	return (size_t)snprintf(buf, cap, "%s%s%s", at,
				ends_in_slash(at) ? "" : "/", name) < cap
		       ? buf
		       : NULL;
}

/* ---- finding them -------------------------------------------------------- */

struct search {
	const struct sc_roots *roots;
	unsigned root; /* the directory that is walked */
	struct sc_mounts *found;
	struct sc_err *err;
};

static int failed(const struct search *s, const char *path)
{
	return sc_err_sys(s->err, SC_ER_INTERNAL_ERROR, errno,
			  "cannot look for mounts in %s",
			  *path ? path : "the data directory");
}

/* dir: a duplicate of it is kept. */
static int add(const struct search *s, const char *path, int dir)
{
	struct sc_mounts *mounts = s->found;
	struct sc_mount *m;
	struct stat st;

	if (mounts->n == mounts->cap) {
		size_t cap = mounts->cap ? 2 * mounts->cap : 4;

		m = reallocarray(mounts->mounts, cap, sizeof(*m));
		if (!m)
			return failed(s, path);
		mounts->mounts = m;
		mounts->cap = cap;
	}
	if (fstat(dir, &st) < 0)
		return failed(s, path);
	m = &mounts->mounts[mounts->n];
	*m = (struct sc_mount){ .path = strdup(path), .dev = st.st_dev };
	m->dir = m->path ? fcntl(dir, F_DUPFD_CLOEXEC, 0) : -1;
	if (m->dir < 0) {
		free(m->path);
		return failed(s, path);
	}
	mounts->n++;
	return 0;
}

/* Is something mounted there? 1, 0 or -errno. Source: statx(2),
 * STATX_ATTR_MOUNT_ROOT; a kernel that does not know it (before 5.8) could hide
 * one. */
static int is_mount(int at, const char *name, mode_t *ret_type)
{
	struct statx st;

	if (statx(at, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) < 0)
		return -errno;
	*ret_type = st.stx_mode & S_IFMT;
	if (!(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return -ENOSYS;
	return !!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int walk(const struct search *s, int at, const char *path, int depth);

/* Each directory of tablespaces is walked for itself. Other servers' data
 * directories, among external tablespaces, are none of ours: a list of files
 * goes round them, too. */
static int enter(const struct search *s, int at, const char *name,
		 const char *path, int depth, bool mounted)
{
	CLEANUP_CLOSE int dir = openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool ours;

	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : failed(s, path);
	ours = sc_roots_has(s->roots, dir);
	if (!ours && s->roots->external[s->root] && sc_is_data_directory(dir))
		return 0;
	if (mounted && add(s, path, dir) < 0)
		return -1;
	return ours ? 0 : walk(s, dir, path, depth + 1);
}

/* DDL runs: what is gone is no mount. */
static int look(const struct search *s, int at, const char *name,
		const char *path, int depth)
{
	mode_t type = 0;
	int mounted = is_mount(at, name, &type);

	if (mounted == -ENOENT)
		return 0;
	if (mounted < 0) {
		errno = -mounted;
		return failed(s, path);
	}
	if (S_ISDIR(type) && sc_dir_wanted(name, depth))
		return enter(s, at, name, path, depth, mounted);
	if (!S_ISREG(type) || !mounted)
		return 0;
	return sc_err_set(
		s->err, SC_ER_CLONE_SYS_CONFIG,
		"something is mounted over the file %s, which an image would not have",
		path);
}

static int walk(const struct search *s, int at, const char *path, int depth)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	const char *slash = !*path || ends_in_slash(path) ? "" : "/";
	char inner[SC_PATH_MAX];
	struct dirent *de;

	if (!dir)
		return failed(s, path);
	while ((de = sc_dir_next(dir))) {
		int n = snprintf(inner, sizeof(inner), "%s%s%s", path, slash,
				 de->d_name);

		if ((size_t)n >= sizeof(inner) || depth > SC_MAX_DEPTH) {
			errno = ENAMETOOLONG;
			return failed(s, path);
		}
		if (look(s, at, de->d_name, inner, depth) < 0)
			return -1;
	}
	return errno ? failed(s, path) : 0;
}

int sc_mounts_find(const struct sc_roots *roots, struct sc_mounts *ret,
		   struct sc_err *err)
{
	struct search s = { .roots = roots, .found = ret, .err = err };
	int rc = 0;

	*ret = (struct sc_mounts){ 0 };
	for (unsigned i = 0; i < roots->n && rc == 0; i++) {
		rc = add(&s, i ? roots->path[i] : "", roots->fd[i]);
		if (rc == 0)
			ret->mounts[i].later = !sc_roots_in_image(roots, i);
	}
	for (s.root = 0; s.root < roots->n && rc == 0; s.root++) {
		if (ret->mounts[s.root].later)
			continue;
		rc = walk(&s, roots->fd[s.root],
			  s.root ? roots->path[s.root] : "", 0);
	}
	if (rc < 0)
		sc_mounts_free(ret);
	return rc;
}
