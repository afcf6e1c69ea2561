/* SPDX-License-Identifier: GPL-2.0-only */
/* Opening the directories of tablespaces; see roots.h. */
#include "plugin/roots.h"

#include "io/base/cleanup.h"
#include "plugin/services.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int failed(int sys_errno, const char *path, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot open the directory %s", path);
}

static bool same_dir(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static int set_path(struct sc_own_roots *roots, const char *path,
		    struct sc_err *err)
{
	CLEANUP_FREE char *real = realpath(path, NULL);

	if (!real || strlen(real) >= SC_ROOT_PATH_MAX)
		return failed(real ? ENAMETOOLONG : errno, path, err);
	snprintf(roots->m.path[roots->m.n], SC_ROOT_PATH_MAX, "%s", real);
	return 0;
}

/* Its index; it is added when it is none of those that are there. */
static int add(struct sc_own_roots *roots, const char *path, struct sc_err *err)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return failed(errno, path, err);
	for (int i = 0; i < roots->m.n; i++) {
		if (same_dir(fd, roots->fd[i]))
			return i;
	}
	if (roots->m.n == SC_MAX_ROOTS)
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"tablespaces lie in more than %d directories, which this release of snapclone cannot clone",
			SC_MAX_ROOTS);
	if (set_path(roots, path, err) < 0)
		return -1;
	roots->fd[roots->m.n] = fd;
	fd = -1;
	return roots->m.n++;
}

static const char *or_here(const char *value)
{
	return value && *value ? value : ".";
}

/* Where a file of the system tablespace lies. An absolute name counts by
 * itself. */
static int add_system(struct sc_own_roots *roots, const char *home,
		      const char *name, struct sc_err *err)
{
	char path[2048];
	char *base;
	int rc;

	snprintf(path, sizeof(path), "%.1000s%s%.1000s",
		 *name == '/' ? "" : home, *name == '/' ? "" : "/", name);
	base = strrchr(path, '/');
	/* The root directory keeps its slash. */
	base[base == path] = '\0';
	rc = add(roots, path, err);
	if (rc >= 0)
		roots->m.system[roots->m.n_system++] = (uint8_t)rc;
	return rc < 0 ? -1 : 0;
}

static int add_systems(struct sc_own_roots *roots,
		       const struct sc_root_settings *settings,
		       struct sc_err *err)
{
	const char *at =
		settings->data_file_path ? settings->data_file_path : "";
	char name[1000];
	int rc;

	while ((rc = sc_data_file_next(&at, name, sizeof(name))) > 0) {
		if (roots->m.n_system == SC_MAX_SYSTEM_FILES)
			break;
		if (add_system(roots, or_here(settings->data_home_dir), name,
			       err) < 0)
			return -1;
	}
	if (rc == 0)
		return 0;
	return sc_err_set(err, SC_ER_CLONE_SYS_CONFIG,
			  "innodb_data_file_path cannot be understood: %.200s",
			  settings->data_file_path);
}

/* Is it below the data directory? What lies there is no external tablespace. */
static bool is_below_here(const char *path)
{
	CLEANUP_FREE char *real = realpath(path, NULL);
	CLEANUP_FREE char *here = realpath(".", NULL);
	size_t len = here ? strlen(here) : 0;

	return real && here && !strncmp(real, here, len) &&
	       (real[len] == '/' || !real[len]);
}

/* An absolute path, as it stands, without '/' at the end: names of external
 * tablespaces begin like this. Others as the kernel finds them. False: it is
 * not there, or too long. */
static bool to_prefix(const char *path, char *ret)
{
	CLEANUP_FREE char *real = NULL;
	size_t len;

	if (*path != '/' || strstr(path, "//") || strstr(path, "/.")) {
		real = realpath(path, NULL);
		if (!real)
			return false;
		path = real;
	}
	len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	if (len >= SC_ROOT_PATH_MAX)
		return false;
	memcpy(ret, path, len);
	ret[len] = '\0';
	return true;
}

/*
 * A directory that may not be there, as the server takes it. One that mysqld
 * cannot read has none of its tablespaces. The root directory is not walked,
 * nor are more than there is room for: what lies there is refused by name
 * (plugin/outside.h).
 */
static int add_external(struct sc_own_roots *roots, const char *path,
			struct sc_err *err)
{
	char prefix[SC_ROOT_PATH_MAX];
	int i;

	if (roots->m.n == SC_MAX_ROOTS || !to_prefix(path, prefix) ||
	    !*prefix || access(prefix, R_OK | X_OK) < 0 ||
	    is_below_here(prefix))
		return 0;
	i = add(roots, prefix, err);
	/* Of two names for one directory the first counts. */
	if (i <= 0 || roots->m.external[i])
		return i;
	roots->m.external[i] = SC_EXTERNAL_YES;
	memcpy(roots->m.path[i], prefix, sizeof(prefix));
	return 0;
}

/* "dir1;dir2". Source: Tablespace_dirs::set_scan_dirs() in fil/fil0fil.cc. */
static int add_directories(struct sc_own_roots *roots, const char *list,
			   struct sc_err *err)
{
	CLEANUP_FREE char *copy = strdup(list ? list : "");
	char *at = copy, *dir;

	if (!copy)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	while ((dir = strsep(&at, ";"))) {
		if (*dir && add_external(roots, dir, err) < 0)
			return -1;
	}
	return 0;
}

int sc_own_roots_open(struct sc_own_roots *ret,
		      const struct sc_root_settings *settings,
		      struct sc_err *err)
{
	int undo;

	*ret = (struct sc_own_roots){ 0 };
	if (add(ret, ".", err) < 0)
		return -1;
	undo = add(ret, or_here(settings->undo_directory), err);
	if (undo < 0)
		return -1;
	ret->m.undo = (uint8_t)undo;
	return add_systems(ret, settings, err) < 0
		       ? -1
		       : add_directories(ret, settings->directories, err);
}

/* Cut off, it would name another directory. */
static int read_directories(char *ret, struct sc_err *err)
{
	ret[0] = '\0';
	(void)sc_server_variable("innodb_directories", ret, SC_DIRECTORIES_MAX);
	if (strlen(ret) < SC_DIRECTORIES_MAX - 1)
		return 0;
	return sc_err_set(err, SC_ER_CLONE_SYS_CONFIG,
			  "innodb_directories has more than %d characters",
			  SC_DIRECTORIES_MAX - 2);
}

int sc_external_places_open(struct sc_own_roots *ret,
			    struct sc_ctl_places *places, struct sc_err *err)
{
	char directories[SC_DIRECTORIES_MAX];
	const struct sc_root_settings settings = { .directories = directories };

	*ret = (struct sc_own_roots){ 0 };
	*places = (struct sc_ctl_places){ 0 };
	if (read_directories(directories, err) < 0 ||
	    sc_own_roots_open(ret, &settings, err) < 0)
		return -1;
	places->roots = ret->m;
	return 0;
}

int sc_own_places_open(struct sc_own_roots *ret, struct sc_ctl_places *places,
		       struct sc_err *err)
{
	char undo[SC_ROOT_PATH_MAX] = "", home[SC_ROOT_PATH_MAX] = "";
	char directories[SC_DIRECTORIES_MAX];
	char *files = places->data_file_path;
	const struct sc_root_settings settings = { undo, home, files,
						   directories };

	*ret = (struct sc_own_roots){ 0 };
	*places = (struct sc_ctl_places){ 0 };
	/* The last two are empty by default. */
	if (sc_server_variable("innodb_data_file_path", files,
			       sizeof(places->data_file_path)) < 0)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the server does not tell innodb_data_file_path");
	(void)sc_server_variable("innodb_undo_directory", undo, sizeof(undo));
	(void)sc_server_variable("innodb_data_home_dir", home, sizeof(home));
	if (read_directories(directories, err) < 0 ||
	    sc_own_roots_open(ret, &settings, err) < 0)
		return -1;
	places->roots = ret->m;
	return 0;
}

void sc_own_roots_close(struct sc_own_roots *roots)
{
	for (int i = 0; i < roots->m.n; i++)
		close(roots->fd[i]);
	*roots = (struct sc_own_roots){ 0 };
}
