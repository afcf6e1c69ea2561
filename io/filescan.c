/* SPDX-License-Identifier: GPL-2.0-only */
/* Find the files of a donor's data directory; see sc_filelist_scan(). */
#include "io/filelist.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/cache.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Tablespaces lie in schema directories or below; deeper is somebody's mistake.
 */
#define MAX_DEPTH 16
#define PAGE0_READ 4096
/* Files whose page 0 the kernel is asked for before we read it. 3000 tables
 * that were not in the page cache: 0.1 to 0.3 s, one by one 2 to 3 s (XFS and
 * ext4 on a busy virtual disk). */
#define SCAN_AHEAD 64

/* A file on its way into the list. */
struct candidate {
	char *path; /* owned */
	int fd;	    /* owned */
	enum sc_file_kind kind;
	uint32_t cold; /* bytes of page 0 that were not in the page cache */
	struct stat st;
};
/* A page is written in milliseconds. */
#define KEY_TRIES 20
#define KEY_WAIT_MS 10
#define LENGTH_TRIES 20
#define LENGTH_WAIT_MS 5

struct scan {
	struct sc_filelist *list;
	struct sc_err *err;
	struct sc_image *image;
	uint32_t page_size;
	size_t n_system;		    /* files of the system tablespace */
	struct candidate ahead[SCAN_AHEAD]; /* a ring */
	size_t first, n_ahead;
};

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

static int scan_failed(struct scan *sc, int sys_errno, const char *path)
{
	return sc_err_sys(sc->err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot read %s in the data directory", path);
}

static int not_regular(struct scan *sc, const char *path)
{
	return sc_err_set(sc->err, SC_ER_INTERNAL_ERROR,
			  "%s is not a regular file", path);
}

/*
 * The key of a tablespace, from page 0. The one of a tablespace made or
 * encrypted a moment ago may not be there yet: then the redo has it. Page 0 may
 * be written while it is read: another look tells.
 */
static int find_key(struct scan *sc, int fd, const char *path,
		    struct sc_page_spec *spec)
{
	struct sc_key_source *keys = sc->list->keys;
	uint8_t info[SC_KEY_INFO_MAX] = { 0 };
	uint32_t off =
		sc_key_info_offset(spec->logical_size, spec->physical_size);
	struct sc_err err = SC_ERR_INIT;

	for (int i = 0; i < KEY_TRIES; i++) {
		ssize_t n = sc_pread_full(fd, info, sizeof(info), off);

		if (n < 0)
			return scan_failed(sc, (int)-n, path);
		if (n < (ssize_t)sizeof(info))
			return 0;
		err = (struct sc_err)SC_ERR_INIT;
		if (keys && keys->page0(keys, spec->space_id, info, &spec->key,
					&err) == 0)
			return 0;
		sc_sleep_ms(KEY_WAIT_MS);
	}
	return sc_err_set(sc->err, SC_ER_CLONE_ENCRYPTION,
			  "%s is encrypted and cannot be read: %s", path,
			  sc_err_is_set(&err) ? err.msg
					      : "there is no keyring");
}

/*
 * Is the whole tablespace there? InnoDB makes a file longer before page 0 says
 * so, and never shorter: a file that has less was cut. Page 0 may be written
 * while it is read: another look tells. The system tablespace may have several
 * files, and the server compares their sizes itself when it starts.
 */
static int check_length(struct scan *sc, int fd, const char *path,
			const struct sc_page_spec *spec)
{
	uint64_t pages = 0;
	struct stat st;

	for (int i = 0; spec->space_id && i < LENGTH_TRIES; i++) {
		uint8_t page0[SC_PAGE0_NEEDED] = { 0 };
		ssize_t n = sc_pread_full(fd, page0, sizeof(page0), 0);

		if (n < 0 || fstat(fd, &st) < 0)
			return scan_failed(sc, n < 0 ? (int)-n : errno, path);
		pages = sc_page_space_size(page0);
		if (pages * spec->physical_size <= (uint64_t)st.st_size)
			return 0;
		sc_sleep_ms(LENGTH_WAIT_MS);
	}
	if (!pages)
		return 0;
	return sc_err_set(
		sc->err, SC_ER_INTERNAL_ERROR,
		"%s is truncated: it has %lld bytes, and its page 0 says %llu pages of %u; HINT: check the donor with innochecksum and CHECK TABLE; nothing was cloned",
		path, (long long)st.st_size, (unsigned long long)pages,
		spec->physical_size);
}

/* Page geometry from page 0; a space whose page 0 was never written (a crash
 * leftover) is taken to have plain pages. */
static int read_spec(struct scan *sc, int fd, const char *path,
		     struct sc_page_spec *spec)
{
	uint8_t page0[PAGE0_READ];
	ssize_t n = sc_pread_full(fd, page0, sizeof(page0), 0);
	int rc;

	*spec = (struct sc_page_spec){ .physical_size = sc->page_size,
				       .logical_size = sc->page_size };
	if (n < 0)
		return scan_failed(sc, (int)-n, path);
	if (n < PAGE0_READ)
		return 0;
	rc = sc_page_spec_read(page0, (size_t)n, spec, sc->err);
	if (rc < 0)
		return sc_err_context(sc->err, "%s", path);
	if (rc == 1)
		*spec = (struct sc_page_spec){ .physical_size = sc->page_size,
					       .logical_size = sc->page_size };
	if (check_length(sc, fd, path, spec) < 0)
		return -1;
	return spec->encrypted ? find_key(sc, fd, path, spec) : 0;
}

static void candidate_free(struct candidate *c)
{
	if (c->cold)
		sc_cache_drop(c->fd, 0, c->cold);
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	*c = (struct candidate){ .fd = -1 };
}

/* 1; 0: it is not there and need not be; -1. */
static int candidate_open(struct scan *sc, const char *path,
			  enum sc_file_kind kind, struct candidate *c)
{
	*c = (struct candidate){ .kind = kind };
	c->fd = sc->image->open_file(sc->image, path, false);
	if (c->fd == -ENOENT && kind == SC_FILE_OPAQUE)
		return 0;
	if (c->fd < 0)
		return scan_failed(sc, -c->fd, path);
	c->path = strdup(path);
	if (!c->path || fstat(c->fd, &c->st) < 0)
		return scan_failed(sc, errno, path);
	if (!S_ISREG(c->st.st_mode))
		return not_regular(sc, path);
	/* What the server does not keep in the page cache shall not be there
	 * after us. */
	(void)posix_fadvise(c->fd, 0, 0, POSIX_FADV_RANDOM);
	c->cold = sc_cache_has(c->fd, 0, sc->page_size) ? 0 : sc->page_size;
	return 1;
}

/* inherit: geometry of a system tablespace's first file, for its further ones
 * (they have no page 0 of their own), else NULL. */
static int add_file(struct scan *sc, const struct candidate *c,
		    const struct sc_page_spec *inherit)
{
	struct sc_page_spec spec = { 0 };

	if (inherit)
		spec = *inherit;
	else if (c->kind == SC_FILE_PAGES &&
		 read_spec(sc, c->fd, c->path, &spec) < 0)
		return -1;
	if (sc_filelist_add(sc->list, c->path, c->kind, (uint64_t)c->st.st_size,
			    &spec, sc->err) < 0)
		return -1;
	/* Blocks of 512 bytes: stat(2). */
	sc_filelist_set_stored(sc->list, (uint64_t)c->st.st_blocks * 512);
	return 0;
}

/* The file that waited longest goes into the list. */
static int add_first(struct scan *sc)
{
	struct candidate *c = &sc->ahead[sc->first];
	int rc = add_file(sc, c, NULL);

	candidate_free(c);
	sc->first = (sc->first + 1) % SCAN_AHEAD;
	sc->n_ahead--;
	return rc;
}

/* Open a file and have its page 0 read; it is listed later, in order. */
static int add_later(struct scan *sc, const char *path, enum sc_file_kind kind)
{
	struct candidate *c;
	int rc;

	if (sc->n_ahead == SCAN_AHEAD && add_first(sc) < 0)
		return -1;
	c = &sc->ahead[(sc->first + sc->n_ahead) % SCAN_AHEAD];
	rc = candidate_open(sc, path, kind, c);
	if (rc <= 0) {
		candidate_free(c);
		return rc;
	}
	sc->n_ahead++;
	/* Only a hint. */
	if (kind == SC_FILE_PAGES)
		(void)posix_fadvise(c->fd, 0, sc->page_size,
				    POSIX_FADV_WILLNEED);
	return 0;
}

static int add_at_once(struct scan *sc, const char *path,
		       const struct sc_page_spec *inherit)
{
	struct candidate c;
	int rc = candidate_open(sc, path, SC_FILE_PAGES, &c);

	if (rc > 0)
		rc = add_file(sc, &c, inherit);
	candidate_free(&c);
	return rc;
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
		return scan_failed(sc, errno, path);
	return scan_dir(sc, sub, path, depth + 1);
}

/* 0 when it is not there. */
static mode_t type_of(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : st.st_mode & S_IFMT;
}

static int scan_entry(struct scan *sc, int at, const char *name,
		      const char *prefix, int depth)
{
	enum sc_file_kind kind;
	char path[SC_PATH_MAX];
	mode_t type;
	int n;

	if (name[0] == '.' || (depth == 0 && name[0] == '#') ||
	    (depth == 0 && !strcmp(name, "lost+found")))
		return 0;
	n = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "",
		     name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return scan_failed(sc, ENAMETOOLONG, name);
	type = type_of(at, name);
	/* A schema may have the name of one of InnoDB's files. */
	if (S_ISDIR(type) || !sc_file_wanted(name, depth, &kind))
		return scan_subdir(sc, at, name, path, depth);
	/* Before it is opened: that waits for ever on a fifo. */
	if (type && !S_ISREG(type))
		return not_regular(sc, path);
	return is_listed(sc, path) ? 0 : add_later(sc, path, kind);
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
		if (add_at_once(sc, name, first ? NULL : &spec) < 0)
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
		rc = add_first(sc);
	return rc;
}

int sc_filelist_scan(struct sc_image *image, const char *data_file_path,
		     uint32_t page_size, struct sc_filelist *list,
		     struct sc_err *err)
{
	struct scan *sc = calloc(1, sizeof(*sc));
	int rc;

	if (!sc)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	*sc = (struct scan){
		.list = list, .err = err, .image = image, .page_size = page_size
	};
	rc = scan_all(sc, data_file_path);
	while (sc->n_ahead--) {
		candidate_free(&sc->ahead[sc->first]);
		sc->first = (sc->first + 1) % SCAN_AHEAD;
	}
	free(sc);
	return rc;
}
