/* SPDX-License-Identifier: GPL-2.0-only */
/* Find the files of a donor's data directory; see sc_filelist_scan(). */
#include "io/filescan_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/external.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* "undo_NNN" (kind pages) or "undo_N_trunc.log" (opaque). */
static bool is_undo_name(const char *name, enum sc_file_kind *kind)
{
	*kind = strchr(name, '.') ? SC_FILE_OPAQUE : SC_FILE_PAGES;
	return sc_undo_name_implicit(name);
}

bool sc_file_wanted(const char *name, int depth, enum sc_file_kind *kind)
{
	*kind = SC_FILE_PAGES;
	if (sc_is_tablespace_name(name))
		return true;
	if (depth > 0)
		return false;
	if (!strcmp(name, "ib_buffer_pool")) {
		*kind = SC_FILE_OPAQUE;
		return true;
	}
	return is_undo_name(name, kind);
}

/* A file of the system tablespace, which are listed first. */
static bool is_listed(const struct scan *sc, const char *path)
{
	for (size_t i = 0; i < sc->n_system; i++) {
		if (!strcmp(sc->list->files[i].path, path))
			return true;
	}
	return false;
}

static int scan_dir(struct scan *sc, int at, const char *prefix, int depth);

/* Gone, for DDL runs; and what mysqld cannot read, outside its data directory,
 * is not its. */
static bool is_nothing(const struct scan *sc, int sys_errno)
{
	return sys_errno == ENOENT || (sc->root && sys_errno == EACCES);
}

/* A descriptor or -errno. */
static int open_subdir(struct scan *sc, int at, const char *name,
		       const char *path)
{
	int fd;

	if (sc->image->open_dir)
		return sc->image->open_dir(sc->image, path);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool in_external(const struct scan *sc)
{
	return sc->root && sc->image->roots->external[sc->root];
}

/* Is that directory another walk's, or nobody's? Each directory of tablespaces
 * is walked for itself. */
static bool is_elsewhere(const struct scan *sc, int sub)
{
	const struct sc_roots *roots = sc->image->roots;

	return in_external(sc) ? sc_external_skips(roots, sub)
			       : sc_roots_has(roots, sub);
}

/*
 * Symbolic links are refused where they would hide tablespaces. Among external
 * ones they are gone round: that none of the server's lies behind one, the
 * plugin asks the server.
 */
static int scan_subdir(struct scan *sc, int at, const char *name,
		       const char *path, int depth)
{
	CLEANUP_CLOSE int sub = -1;
	struct stat st;

	if (fstatat(at, name, &st, 0) < 0)
		return is_nothing(sc, errno) ? 0 : scan_failed(sc, errno, path);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth >= SC_MAX_DEPTH)
		return sc_err_set(sc->err, SC_ER_INTERNAL_ERROR,
				  "directories nested too deep at %s", path);
	sub = open_subdir(sc, at, name, path);
	if ((sub == -ELOOP || sub == -ENOTDIR) && in_external(sc))
		return 0;
	if (sub == -ELOOP || sub == -ENOTDIR)
		return sc_err_set(
			sc->err, SC_ER_INTERNAL_ERROR,
			"%s is a symbolic link to a directory, which cannot be cloned; HINT: move the directory into the data directory",
			path);
	if (sub < 0 && is_nothing(sc, -sub))
		return 0;
	if (sub < 0)
		return scan_failed(sc, -sub, path);
	return is_elsewhere(sc, sub) ? 0 : scan_dir(sc, sub, path, depth + 1);
}

/* Files outside the data directory have no directory in their names, but for
 * external tablespaces, which have all of it. */
static const char *clone_name(const struct scan *sc, const char *path)
{
	const char *name = sc_base_name(path);

	return !sc->root || (in_external(sc) && !sc_undo_name(name)) ? path
								     : name;
}

/* 0 with *ret_type 0 when it is not there any more, for DDL runs; or -1: what
 * cannot be looked at must not pass for a file that is gone. */
static int look_at(struct scan *sc, int at, const char *name, const char *path,
		   struct statx *st, mode_t *ret_type)
{
	*ret_type = 0;
	if (statx(at, name, AT_SYMLINK_NOFOLLOW, SCAN_STATX, st) < 0)
		return is_nothing(sc, errno) ? 0 : scan_failed(sc, errno, path);
	*ret_type = st->stx_mode & S_IFMT;
	return 0;
}

static bool is_in_place(const struct scan *sc, const char *name, int depth)
{
	const struct sc_roots *roots = sc->image->roots;

	if (sc_undo_name(name))
		return sc->root == roots->undo && (!sc->root || depth == 0);
	return !sc->root || (in_external(sc) && sc_is_table_name(name));
}

/*
 * Undo tablespaces lie in their directory, all others in the data directory or
 * one for external ones. 1: so does this one, 0: it is none of the server's, or
 * -1.
 */
static int check_place(struct scan *sc, const char *path, const char *name,
		       int depth)
{
	const struct sc_roots *roots = sc->image->roots;
	bool undo = sc_undo_name(name);

	if (!roots || roots->n == 1 || is_in_place(sc, name, depth))
		return 1;
	/* Logs of truncations, ib_buffer_pool. */
	if (!sc_is_tablespace_name(name))
		return 0;
	return sc_err_set(
		sc->err, SC_ER_CLONE_SYS_CONFIG,
		undo ? "undo tablespaces outside innodb_undo_directory cannot be cloned by this release of snapclone: %s"
		     : "tablespaces outside the data directory and innodb_directories cannot be cloned by this release of snapclone: %s",
		path);
}

static int scan_entry(struct scan *sc, int at, const char *name,
		      const char *prefix, int depth)
{
	enum sc_file_kind kind;
	char path[SC_PATH_MAX];
	struct statx st;
	mode_t type;
	int n, rc;

	if (!sc_dir_wanted(name, depth))
		return 0;
	n = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "",
		     name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return scan_failed(sc, ENAMETOOLONG, name);
	if (look_at(sc, at, name, path, &st, &type) < 0)
		return -1;
	/* A schema may have the name of one of InnoDB's files. */
	if (S_ISDIR(type) || !sc_file_wanted(name, depth, &kind))
		return scan_subdir(sc, at, name, path, depth);
	if (!type || is_listed(sc, clone_name(sc, path)))
		return 0;
	rc = check_place(sc, path, name, depth);
	if (rc <= 0)
		return rc;
	/* Before it is opened: that waits for ever on a fifo. */
	if (!S_ISREG(type))
		return scan_not_regular(sc, path);
	return scan_add_later(sc, clone_name(sc, path), kind, &st);
}

static int scan_dir(struct scan *sc, int at, const char *prefix, int depth)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	struct dirent *de;

	if (!dir)
		return scan_failed(sc, errno, *prefix ? prefix : ".");
	while ((errno = 0, de = readdir(dir))) {
		if (scan_entry(sc, at, de->d_name, prefix, depth) < 0)
			return -1;
	}
	return errno ? scan_failed(sc, errno, *prefix ? prefix : ".") : 0;
}

/* Pages of the system tablespace are numbered on through its files. */
static void next_spec(const struct sc_file *file, struct sc_page_spec *ret)
{
	*ret = file->spec;
	ret->first_page += (uint32_t)(file->size / ret->physical_size);
}

/* The files of the system tablespace: "ibdata1:12M;ibdata2:10M:autoextend".
 * Source: storage/innobase/fsp/fsp0sysspace.cc, SysTablespace::parse_params. */
static int scan_system(struct scan *sc, const char *data_file_path)
{
	const char *p = data_file_path;
	char path[SC_ROOT_PATH_MAX + 256];
	struct sc_page_spec spec;
	bool first = true;
	int rc;

	while ((rc = sc_data_file_next(&p, path, sizeof(path))) > 0) {
		const char *name = sc_base_name(path);

		if (!*name)
			break;
		if (is_listed(sc, name))
			return sc_err_set(
				sc->err, SC_ER_INTERNAL_ERROR,
				"innodb_data_file_path names %s twice", name);
		if (scan_add_at_once(sc, name, first ? NULL : &spec) < 0)
			return -1;
		sc->n_system = sc->list->n;
		next_spec(&sc->list->files[sc->list->n - 1], &spec);
		first = false;
	}
	if (rc == 0 && !first)
		return 0;
	return sc_err_set(sc->err, SC_ER_INTERNAL_ERROR,
			  "innodb_data_file_path cannot be understood: '%s'",
			  data_file_path);
}

/* Walk the further directories; in messages their files have whole paths. */
static int scan_roots(struct scan *sc)
{
	const struct sc_roots *roots = sc->image->roots;

	for (sc->root = 1; roots && sc->root < roots->n; sc->root++) {
		if (!sc->image->live && !sc_roots_in_image(roots, sc->root))
			continue;
		if (scan_dir(sc, roots->fd[sc->root], roots->path[sc->root],
			     0) < 0)
			return -1;
	}
	return 0;
}

static int scan_all(struct scan *sc, const char *data_file_path)
{
	int rc = scan_system(sc, data_file_path);

	if (rc == 0)
		rc = scan_dir(sc, sc->image->root, "", 0);
	if (rc == 0)
		rc = scan_roots(sc);
	while (rc == 0 && sc->n_ahead)
		rc = scan_add_first(sc);
	return rc;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int sc_filelist_scan(struct sc_image *image, const char *data_file_path,
		     uint32_t page_size, const struct sc_filelist *known,
		     struct sc_filelist *list, struct sc_err *err)
{
	struct scan *sc = calloc(1, sizeof(*sc));
	int rc;

	if (!sc)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	*sc = (struct scan){
		.list = list, .err = err, .image = image, .page_size = page_size
	};
	list->taken_ns = now_ns();
	rc = known_open(&sc->known, known, err);
	if (rc == 0)
		rc = scan_all(sc, data_file_path);
	scan_drop_ahead(sc);
	known_close(&sc->known);
	free(sc);
	return rc;
}
