/* SPDX-License-Identifier: GPL-2.0-only */
/* Tablespaces elsewhere; see outside.h. */
#include "plugin/outside.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "plugin/config.h"
#include "plugin/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_SHOWN 3

/* ---- undo tablespaces ---------------------------------------------------- */

/* A name without directory is one in innodb_undo_directory. Source:
 * undo::Tablespace::set_file_name() in include/trx0purge.h. */
static bool lies_in(const char *path, int dir)
{
	char parent[2048];
	struct stat a, b;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (!slash)
		return true;
	slash[slash == parent] = '\0';
	return stat(parent, &a) == 0 && fstat(dir, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int sc_undo_elsewhere(struct sc_sql *sql, char *ret, size_t cap,
		      struct sc_err *err)
{
	CLEANUP_ROOTS struct sc_own_roots roots = { 0 };
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	struct sc_ctl_places places;

	ret[0] = '\0';
	if (sc_own_places_open(&roots, &places, err) < 0 ||
	    sc_sql_query(
		    sql, &rows,
		    "SELECT path FROM information_schema.innodb_datafiles WHERE space IN (SELECT space FROM information_schema.innodb_tablespaces WHERE space_type = 'Undo')",
		    err) < 0)
		return -1;
	for (size_t i = 0; i < rows.count && !ret[0]; i++) {
		const char *path = sc_rows_get(&rows, i, 0) ?: "";

		if (!lies_in(path, roots.fd[roots.m.undo]))
			snprintf(ret, cap, "%s", path);
	}
	return 0;
}

/* ---- all others ---------------------------------------------------------- */

/* Its path below one of the directories for external tablespaces, or NULL. */
static const char *path_in(const struct sc_ctl_roots *roots, int root,
			   const char *path)
{
	return roots->external[root] ? sc_path_below(roots->path[root], path)
				     : NULL;
}

static bool is_looked_at(const struct sc_ctl_roots *roots, const char *path)
{
	for (int i = 1; i < roots->n; i++) {
		const char *rest = path_in(roots, i, path);
		CLEANUP_CLOSE int dir = -1;

		if (!rest)
			continue;
		dir = open(roots->path[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && sc_external_reaches(dir, rest))
			return true;
	}
	return false;
}

int sc_tables_elsewhere(struct sc_sql *sql, const struct sc_ctl_roots *roots,
			char *ret, size_t cap, struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	size_t len = 0, found = 0;

	ret[0] = '\0';
	if (sc_sql_query(sql, &rows, "SELECT path " SC_OUTSIDE_FROM, err) < 0)
		return -1;
	for (size_t i = 0; i < rows.count; i++) {
		const char *path = sc_rows_get(&rows, i, 0) ?: "?";

		if (is_looked_at(roots, path) || found++ >= NAMES_SHOWN ||
		    len >= cap)
			continue;
		len += (size_t)snprintf(ret + len, cap - len, "%s%.100s",
					len ? ", " : "", path);
	}
	if (found > NAMES_SHOWN && len < cap)
		snprintf(ret + len, cap - len, " and %zu more",
			 found - NAMES_SHOWN);
	return 0;
}

int sc_external_mark(struct sc_sql *sql, struct sc_ctl_roots *roots,
		     struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	if (sc_sql_query(sql, &rows, "SELECT path " SC_OUTSIDE_FROM, err) < 0)
		return -1;
	for (int i = 1; i < roots->n; i++) {
		bool found = !roots->external[i];

		for (size_t k = 0; k < rows.count && !found; k++)
			found = path_in(roots, i,
					sc_rows_get(&rows, k, 0) ?: "") != NULL;
		if (!found)
			roots->external[i] = SC_EXTERNAL_LATER;
	}
	return 0;
}

/* ---- schemas behind symbolic links ----------------------------------------
 */

static bool has_table(const char *dir_name)
{
	CLEANUP_CLOSE int fd =
		open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSEDIR DIR *dir = fd < 0 ? NULL : sc_dir_open(fd);
	struct dirent *de;

	while (dir && (de = sc_dir_next(dir))) {
		if (sc_is_table_name(de->d_name))
			return true;
	}
	return false;
}

int sc_linked_schema(char *ret, size_t cap, struct sc_err *err)
{
	CLEANUP_CLOSE int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSEDIR DIR *dir = here < 0 ? NULL : sc_dir_open(here);
	struct dirent *de;
	struct stat st;

	ret[0] = '\0';
	while (dir && (de = sc_dir_next(dir)) && !ret[0]) {
		if (lstat(de->d_name, &st) == 0 && S_ISLNK(st.st_mode) &&
		    has_table(de->d_name))
			snprintf(ret, cap, "%s", de->d_name);
	}
	if (dir && (ret[0] || !errno))
		return 0;
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			  "cannot read the data directory");
}
