/* SPDX-License-Identifier: GPL-2.0-only */
/* Find the files of a donor's data directory; see sc_filelist_scan(). */
#include "io/filescan_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Tablespaces lie in schema directories or below; deeper is somebody's mistake.
 */
#define MAX_DEPTH 16

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && !strcmp(name + n - s, suffix);
}

/* "undo_NNN" (kind pages) or "undo_N_trunc.log" (opaque).
 * Source: storage/innobase/include/fsp0types.h, undo::Tablespace names. */
static bool is_undo_name(const char *name, enum sc_file_kind *kind)
{
	const char *p = name + 5;

	if (strncmp(name, "undo_", 5) != 0 || !isdigit((unsigned char)*p))
		return false;
	while (isdigit((unsigned char)*p))
		p++;
	*kind = *p ? SC_FILE_OPAQUE : SC_FILE_PAGES;
	return !*p || !strcmp(p, "_trunc.log");
}

bool sc_file_wanted(const char *name, int depth, enum sc_file_kind *kind)
{
	*kind = SC_FILE_PAGES;
	if (ends_with(name, ".ibd") || ends_with(name, ".ibu"))
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

/* Symbolic links are refused where they would hide tablespaces. */
static int scan_subdir(struct scan *sc, int at, const char *name,
		       const char *path, int depth)
{
	CLEANUP_CLOSE int sub = -1;
	struct stat st;

	if (fstatat(at, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : scan_failed(sc, errno, path);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth >= MAX_DEPTH)
		return sc_err_set(sc->err, SC_ER_INTERNAL_ERROR,
				  "directories nested too deep at %s", path);
	sub = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0 && (errno == ELOOP || errno == ENOTDIR))
		return sc_err_set(
			sc->err, SC_ER_INTERNAL_ERROR,
			"%s is a symbolic link to a directory, which cannot be cloned; HINT: move the directory into the data directory",
			path);
	if (sub < 0)
		return errno == ENOENT ? 0 : scan_failed(sc, errno, path);
	return scan_dir(sc, sub, path, depth + 1);
}

/* Mode 0 when it is not there. */
static mode_t look_at(int at, const char *name, struct statx *st)
{
	return statx(at, name, AT_SYMLINK_NOFOLLOW, SCAN_STATX, st) < 0
		       ? 0
		       : st->stx_mode & S_IFMT;
}

static int scan_entry(struct scan *sc, int at, const char *name,
		      const char *prefix, int depth)
{
	enum sc_file_kind kind;
	char path[SC_PATH_MAX];
	struct statx st;
	mode_t type;
	int n;

	if (name[0] == '.' || (depth == 0 && name[0] == '#') ||
	    (depth == 0 && !strcmp(name, "lost+found")))
		return 0;
	n = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "",
		     name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return scan_failed(sc, ENAMETOOLONG, name);
	type = look_at(at, name, &st);
	/* A schema may have the name of one of InnoDB's files. */
	if (S_ISDIR(type) || !sc_file_wanted(name, depth, &kind))
		return scan_subdir(sc, at, name, path, depth);
	/* DDL runs. */
	if (!type)
		return 0;
	/* Before it is opened: that waits for ever on a fifo. */
	if (!S_ISREG(type))
		return scan_not_regular(sc, path);
	return is_listed(sc, path) ? 0 : scan_add_later(sc, path, kind, &st);
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
	struct sc_page_spec spec;
	bool first = true;

	while (*p) {
		char name[256];
		size_t len = strcspn(p, ":;");

		if (len == 0 || len >= sizeof(name) || memchr(p, '/', len))
			return sc_err_set(
				sc->err, SC_ER_INTERNAL_ERROR,
				"innodb_data_file_path names files outside the data directory (%s), which this release cannot clone",
				data_file_path);
		memcpy(name, p, len);
		name[len] = '\0';
		if (is_listed(sc, name))
			return sc_err_set(
				sc->err, SC_ER_INTERNAL_ERROR,
				"innodb_data_file_path names %s twice", name);
		if (scan_add_at_once(sc, name, first ? NULL : &spec) < 0)
			return -1;
		sc->n_system = sc->list->n;
		next_spec(&sc->list->files[sc->list->n - 1], &spec);
		first = false;
		p += strcspn(p, ";");
		p += *p == ';';
	}
	return first ? sc_err_set(sc->err, SC_ER_INTERNAL_ERROR,
				  "innodb_data_file_path is empty")
		     : 0;
}

static int scan_all(struct scan *sc, const char *data_file_path)
{
	int rc = scan_system(sc, data_file_path);

	if (rc == 0)
		rc = scan_dir(sc, sc->image->root, "", 0);
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
