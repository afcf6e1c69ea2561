/* SPDX-License-Identifier: GPL-2.0-only */
/* File systems mounted below a data directory; see mounts.h. */
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

size_t sc_mounts_of(const struct sc_mounts *mounts, const char *path,
		    const char **ret_rest)
{
	size_t best = 0, best_len = 0;

	*ret_rest = path;
	for (size_t i = 1; i < mounts->n; i++) {
		const char *at = mounts->mounts[i].path;
		size_t len = strlen(at);

		if (len <= best_len || strncmp(path, at, len) != 0 ||
		    (path[len] && path[len] != '/'))
			continue;
		best = i;
		best_len = len;
		*ret_rest = path[len] ? path + len + 1 : path + len;
	}
	return best;
}

static int failed(const char *path, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			  "cannot look for mounts at %s in the data directory",
			  *path ? path : ".");
}

/* dir: a duplicate of it is kept. */
static int add(struct sc_mounts *mounts, const char *path, int dir,
	       struct sc_err *err)
{
	struct sc_mount *m;
	struct stat st;

	if (mounts->n == mounts->cap) {
		size_t cap = mounts->cap ? 2 * mounts->cap : 4;

		m = reallocarray(mounts->mounts, cap, sizeof(*m));
		if (!m)
			return failed(path, err);
		mounts->mounts = m;
		mounts->cap = cap;
	}
	if (fstat(dir, &st) < 0)
		return failed(path, err);
	m = &mounts->mounts[mounts->n];
	*m = (struct sc_mount){ .path = strdup(path), .dev = st.st_dev };
	m->dir = m->path ? fcntl(dir, F_DUPFD_CLOEXEC, 0) : -1;
	if (m->dir < 0) {
		free(m->path);
		return failed(path, err);
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

static int walk(struct sc_mounts *mounts, int at, const char *path, int depth,
		struct sc_err *err);

static int enter(struct sc_mounts *mounts, int at, const char *name,
		 const char *path, int depth, bool mounted, struct sc_err *err)
{
	CLEANUP_CLOSE int dir = openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : failed(path, err);
	if (mounted && add(mounts, path, dir, err) < 0)
		return -1;
	return walk(mounts, dir, path, depth + 1, err);
}

/* DDL runs: what is gone is no mount. */
static int look(struct sc_mounts *mounts, int at, const char *name,
		const char *path, int depth, struct sc_err *err)
{
	mode_t type = 0;
	int mounted = is_mount(at, name, &type);

	if (mounted == -ENOENT)
		return 0;
	if (mounted < 0) {
		errno = -mounted;
		return failed(path, err);
	}
	if (S_ISDIR(type) && sc_dir_wanted(name, depth))
		return enter(mounts, at, name, path, depth, mounted, err);
	if (!S_ISREG(type) || !mounted)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"something is mounted over the file %s, which an image would not have",
		path);
}

static int walk(struct sc_mounts *mounts, int at, const char *path, int depth,
		struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	char below[SC_PATH_MAX];
	struct dirent *de;

	if (!dir)
		return failed(path, err);
	while ((de = sc_dir_next(dir))) {
		int n = snprintf(below, sizeof(below), "%s%s%s", path,
				 *path ? "/" : "", de->d_name);

		if ((size_t)n >= sizeof(below) || depth > SC_MAX_DEPTH) {
			errno = ENAMETOOLONG;
			return failed(path, err);
		}
		if (look(mounts, at, de->d_name, below, depth, err) < 0)
			return -1;
	}
	return errno ? failed(path, err) : 0;
}

int sc_mounts_find(int datadir, struct sc_mounts *ret, struct sc_err *err)
{
	*ret = (struct sc_mounts){ 0 };
	if (add(ret, "", datadir, err) == 0 &&
	    walk(ret, datadir, "", 0, err) == 0)
		return 0;
	sc_mounts_free(ret);
	return -1;
}
