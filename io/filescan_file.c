/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of a donor's data directory on their way into the list; see
 * filescan_impl.h. */
#include "io/filescan_impl.h"

#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE0_READ 4096
/* A page is written in milliseconds. */
#define KEY_TRIES 20
#define KEY_WAIT_MS 10
#define LENGTH_TRIES 20
#define LENGTH_WAIT_MS 5
/* Not longer than what another scan looks at again (filescan_known.c). */
#define BEING_WRITTEN_US 1000000

int scan_failed(struct scan *sc, int sys_errno, const char *path)
{
	return sc_err_sys(sc->err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot read %s in the data directory", path);
}

int scan_not_regular(struct scan *sc, const char *path)
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

/* Somebody writes the file: the server, or one who copies it there for IMPORT
 * TABLESPACE. */
static bool is_being_written(const struct stat *st)
{
	int64_t written_us =
		st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;

	return (int64_t)sc_wall_us() - written_us < BEING_WRITTEN_US;
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
	if (sc->list->may_be_short
		    ? sc->list->may_be_short(sc->list->ctx, spec->space_id)
		    : !sc->image->atomic && is_being_written(&st))
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
	if (c->fd >= 0 && c->cold)
		sc_cache_drop(c->fd, 0, c->cold);
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	*c = (struct candidate){ .fd = -1 };
}

static bool is_foreign(struct scan *sc, const char *path)
{
	return sc->list->may_be_foreign &&
	       sc->list->may_be_foreign(sc->list->ctx, path);
}

/* 1; 0: it is not there any more, for DDL runs, or is not the server's; -1. */
static int candidate_open(struct scan *sc, const char *path,
			  enum sc_file_kind kind, struct candidate *c)
{
	*c = (struct candidate){ .kind = kind };
	c->fd = sc->image->open_file(sc->image, path, false);
	if (c->fd == -ENOENT || (c->fd == -EACCES && is_foreign(sc, path)))
		return 0;
	if (c->fd < 0)
		return scan_failed(sc, -c->fd, path);
	c->path = strdup(path);
	if (!c->path || statx(c->fd, "", AT_EMPTY_PATH, SCAN_STATX, &c->st) < 0)
		return scan_failed(sc, errno, path);
	if (!S_ISREG(c->st.stx_mode))
		return scan_not_regular(sc, path);
	/* What the server does not keep in the page cache shall not be there
	 * after us. */
	(void)posix_fadvise(c->fd, 0, 0, POSIX_FADV_RANDOM);
	c->cold = sc_cache_has(c->fd, 0, sc->page_size) ? 0 : sc->page_size;
	return 1;
}

/* 1, or -1. Nothing of it is read. */
static int candidate_known(struct scan *sc, const struct sc_file *known,
			   const struct statx *st, struct candidate *c)
{
	*c = (struct candidate){
		.kind = known->kind, .fd = -1, .known = known, .st = *st
	};
	c->path = strdup(known->path);
	return c->path ? 1 : scan_failed(sc, ENOMEM, known->path);
}

/* inherit: geometry of a system tablespace's first file, for its further ones
 * (they have no page 0 of their own), else NULL. */
static int add_file(struct scan *sc, const struct candidate *c,
		    const struct sc_page_spec *inherit)
{
	struct sc_page_spec spec = { 0 };

	if (c->known)
		spec = c->known->spec;
	else if (inherit)
		spec = *inherit;
	else if (c->kind == SC_FILE_PAGES &&
		 read_spec(sc, c->fd, c->path, &spec) < 0)
		return -1;
	if (sc_filelist_add(sc->list, c->path, c->kind, c->st.stx_size, &spec,
			    sc->err) < 0)
		return -1;
	/* Blocks of 512 bytes: statx(2). */
	sc_filelist_set_stored(sc->list, c->st.stx_blocks * 512);
	sc->list->files[sc->list->n - 1].id = sc_file_id_from(&c->st);
	return 0;
}

int scan_add_first(struct scan *sc)
{
	struct candidate *c = &sc->ahead[sc->first];
	int rc = add_file(sc, c, NULL);

	candidate_free(c);
	sc->first = (sc->first + 1) % SCAN_AHEAD;
	sc->n_ahead--;
	return rc;
}

/* What is new has its page 0 read meanwhile. */
int scan_add_later(struct scan *sc, const char *path, enum sc_file_kind kind,
		   const struct statx *st)
{
	const struct sc_file *known = known_find(&sc->known, path, st);
	struct candidate *c;
	int rc;

	if (sc->n_ahead == SCAN_AHEAD && scan_add_first(sc) < 0)
		return -1;
	c = &sc->ahead[(sc->first + sc->n_ahead) % SCAN_AHEAD];
	rc = known ? candidate_known(sc, known, st, c)
		   : candidate_open(sc, path, kind, c);
	if (rc <= 0) {
		candidate_free(c);
		return rc;
	}
	sc->n_ahead++;
	/* Only a hint. */
	if (!known && kind == SC_FILE_PAGES)
		(void)posix_fadvise(c->fd, 0, sc->page_size,
				    POSIX_FADV_WILLNEED);
	return 0;
}

int scan_add_at_once(struct scan *sc, const char *path,
		     const struct sc_page_spec *inherit)
{
	struct candidate c;
	int rc = candidate_open(sc, path, SC_FILE_PAGES, &c);

	if (rc > 0)
		rc = add_file(sc, &c, inherit);
	else if (rc == 0)
		rc = scan_failed(sc, ENOENT, path);
	candidate_free(&c);
	return rc;
}

void scan_drop_ahead(struct scan *sc)
{
	for (; sc->n_ahead; sc->n_ahead--) {
		candidate_free(&sc->ahead[sc->first]);
		sc->first = (sc->first + 1) % SCAN_AHEAD;
	}
}
