/* SPDX-License-Identifier: GPL-2.0-only */
/* Walking directories of external tablespaces; see external.h. */
#include "io/external.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/filelist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool sc_external_skips(const struct sc_roots *roots, int dir)
{
	return sc_roots_has(roots, dir) || sc_is_data_directory(dir);
}

static int failed(const char *path, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			  "directory of tablespaces: cannot read %s",
			  *path ? path : ".");
}

/* Nothing of ours is there, or not any more. */
static bool is_nothing(int sys_errno)
{
	return sys_errno == ENOENT || sys_errno == EACCES ||
	       sys_errno == ELOOP || sys_errno == ENOTDIR;
}

static int walk_dir(const struct sc_external_walk *walk, int at,
		    const char *prefix, int depth, struct sc_err *err);

static int walk_sub(const struct sc_external_walk *walk, int at,
		    const char *name, const char *path, int depth,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int sub = openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (sub < 0)
		return is_nothing(errno) ? 0 : failed(path, err);
	if (depth >= SC_MAX_DEPTH || sc_external_skips(walk->roots, sub))
		return 0;
	return walk_dir(walk, sub, path, depth + 1, err);
}

static int walk_entry(const struct sc_external_walk *walk, int at,
		      const char *name, const char *prefix, int depth,
		      struct sc_err *err)
{
	char path[SC_PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s%s%s", prefix,
			 *prefix ? "/" : "", name);

	/* No server has so long a path. */
	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return is_nothing(errno) ? 0 : failed(path, err);
	if (S_ISREG(st.st_mode))
		return walk->file ? walk->file(walk->arg, at, name, path, err)
				  : 0;
	return S_ISDIR(st.st_mode) && sc_dir_wanted(name, depth)
		       ? walk_sub(walk, at, name, path, depth, err)
		       : 0;
}

static int walk_dir(const struct sc_external_walk *walk, int at,
		    const char *prefix, int depth, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	struct dirent *de;

	if (!dir)
		return failed(prefix, err);
	while ((de = sc_dir_next(dir))) {
		if (walk_entry(walk, at, de->d_name, prefix, depth, err) < 0)
			return -1;
	}
	if (errno)
		return failed(prefix, err);
	return walk->directory ? walk->directory(walk->arg, at, err) : 0;
}

int sc_external_walk(const struct sc_external_walk *walk, unsigned root,
		     struct sc_err *err)
{
	return walk_dir(walk, walk->roots->fd[root], "", 0, err);
}
