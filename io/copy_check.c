/* SPDX-License-Identifier: GPL-2.0-only */
/* The check of a chunk's pages; see copy_check.h. */
#include "io/copy_check.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/direct.h"
#include "io/page_open.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * A running file's page may be read while the server writes it. It is read
 * again until its checksum holds; the write of one page takes milliseconds, so
 * a page that is bad for this long is damaged on disk.
 */
#define REREAD_TRIES 100
#define REREAD_WAIT_MS 10

#define CACHE_LINE 64

struct sc_copy_checker {
	struct sc_copy *copy;
	struct sc_page_opener *opener;
	uint8_t *page; /* SC_PAGE_SIZE_MAX bytes for direct reads */
	/* Of the file checked last: its spec, which is read again when pages
	 * contradict it, with the key that fitted last. */
	const struct sc_file *file;
	struct sc_page_spec spec;
};

/* A chunk that is being checked. */
struct chunk {
	struct sc_copy_checker *checker;
	const struct sc_file *file;
	int fd;
	uint64_t off; /* of the chunk in the file */
	char *data;
	uint64_t unchecked; /* pages */
};

struct sc_copy_checker *sc_copy_checker_new(struct sc_copy *copy)
{
	struct sc_copy_checker *ck = calloc(1, sizeof(*ck));
	void *page = NULL;

	if (!ck)
		return NULL;
	ck->copy = copy;
	ck->opener = sc_page_opener_new();
	if (posix_memalign(&page, SC_DIRECT_ALIGN, SC_PAGE_SIZE_MAX) == 0)
		ck->page = page;
	if (ck->opener && ck->page)
		return ck;
	sc_copy_checker_free(ck);
	return NULL;
}

void sc_copy_checker_free(struct sc_copy_checker *checker)
{
	if (!checker)
		return;
	sc_page_opener_free(checker->opener);
	free(checker->page);
	free(checker);
}

int sc_copy_read_failed(const struct sc_file *file, uint64_t off, int sys_errno,
			struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot read %s at byte %" PRIu64, file->path, off);
}

int sc_copy_stopped(struct sc_err *err)
{
	return sc_err_set(err, SC_ER_QUERY_INTERRUPTED, "copy stopped");
}

static uint32_t page_no_at(const struct chunk *c, uint32_t at)
{
	const struct sc_page_spec *spec = &c->checker->spec;

	return spec->first_page +
	       (uint32_t)((c->off + at) / spec->physical_size);
}

static int is_wrong(const struct chunk *c, uint32_t at, const void *p,
		    enum sc_page_verdict v, struct sc_err *err)
{
	const char *path = c->file->path;
	uint32_t no = page_no_at(c, at);
	uint64_t off = c->off + at;

	if (v == SC_PAGE_MISPLACED)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"page %u of %s (byte %" PRIu64
			") is not that page but page %u of tablespace %u, expected tablespace %u; HINT: check the donor with innochecksum and CHECK TABLE; nothing was cloned",
			no, path, off, sc_page_no(p), sc_page_space(p),
			c->checker->spec.space_id);
	if (v == SC_PAGE_ENCRYPTED)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"page %u of %s is encrypted and its key is not known, so that it cannot be checked; HINT: see that the donor's keyring is loaded",
			no, path);
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"page %u of %s is corrupted (checksum mismatch, byte %" PRIu64
		"); HINT: check the donor with innochecksum and CHECK TABLE; nothing was cloned",
		no, path, off);
}

/* Read a page into the checker's memory. *ret: the page, NULL when the file
 * ends before. */
static int read_page(const struct chunk *c, uint64_t off, uint32_t size,
		     const uint8_t **ret, struct sc_err *err)
{
	/* Direct reads want whole blocks: small pages come in a 4 KiB block
	 * with their neighbours. */
	uint64_t from = sc_align_down(off, SC_DIRECT_ALIGN);
	ssize_t n = sc_pread_full(c->fd, c->checker->page,
				  SC_MAX(size, SC_DIRECT_ALIGN), from);

	if (n < 0)
		return sc_copy_read_failed(c->file, off, (int)-n, err);
	*ret = (uint64_t)n >= off - from + size
		       ? c->checker->page + (off - from)
		       : NULL;
	return 0;
}

/*
 * Read page 0 again: the file may be encrypted since it was listed, or have
 * been replaced by another of that name. A page 0 that is not sound changes
 * nothing. Returns 1 when the pages' size is another one than before.
 */
static int refresh_spec(const struct chunk *c, struct sc_err *err)
{
	struct sc_copy_checker *ck = c->checker;
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_page_spec now;
	const uint8_t *page0;
	uint32_t size_before = ck->spec.physical_size;

	if (ck->spec.first_page)
		return 0; /* has no page 0 */
	if (read_page(c, 0, SC_DIRECT_ALIGN, &page0, err) < 0)
		return -1;
	if (!page0 || sc_page_spec_read(page0, SC_DIRECT_ALIGN, &now, &ignored))
		return 0;
	if (read_page(c, 0, now.physical_size, &page0, err) < 0)
		return -1;
	if (!page0 || sc_page_check(&now, page0, NULL) != SC_PAGE_OK ||
	    sc_page_spec_read(page0, now.physical_size, &now, &ignored))
		return 0;
	if (now.space_id == ck->spec.space_id && now.flags == ck->spec.flags)
		return 0;
	if (ck->copy->keys &&
	    ck->copy->keys->page0(ck->copy->keys, now.space_id,
				  page0 + sc_key_info_offset(now.logical_size,
							     now.physical_size),
				  &now.key, &ignored) < 0)
		now.key = NULL;
	ck->spec = now;
	return now.physical_size != size_before;
}

/*
 * Check a page, encrypted ones with all keys its tablespace may have: the one
 * of page 0 is unknown while page 0 is not on disk yet, and an old one after a
 * general or undo tablespace was encrypted anew.
 */
static enum sc_page_verdict check_page(const struct chunk *c, uint32_t at,
				       const void *p)
{
	struct sc_copy_checker *ck = c->checker;
	struct sc_key_source *keys = ck->copy->keys;
	struct sc_page_spec spec = ck->spec;
	enum sc_page_verdict v =
		sc_page_check_at(&spec, p, page_no_at(c, at), ck->opener);

	if (!keys || (v != SC_PAGE_ENCRYPTED && v != SC_PAGE_BAD) ||
	    sc_page_type(p) < SC_PAGE_TYPE_ENCRYPTED ||
	    sc_page_type(p) > SC_PAGE_TYPE_ENCRYPTED_RTREE)
		return v;
	for (unsigned n = 0; v >= SC_PAGE_ENCRYPTED; n++) {
		spec.key = keys->known(keys, spec.space_id, n);
		if (!spec.key)
			return v;
		v = sc_page_check_at(&spec, p, page_no_at(c, at), ck->opener);
	}
	ck->spec.key = spec.key;
	return v;
}

/* Read one page again until it is whole. Returns 1 when the whole chunk is to
 * be checked once more. */
static int reread_until_whole(struct chunk *c, uint32_t at, struct sc_err *err)
{
	struct sc_copy_checker *ck = c->checker;
	enum sc_page_verdict v = SC_PAGE_BAD;
	uint32_t size = ck->spec.physical_size;
	const uint8_t *p = NULL;

	for (int i = 0; i < REREAD_TRIES && !ck->copy->stop; i++) {
		int rc = refresh_spec(c, err);

		if (rc)
			return rc;
		if (read_page(c, c->off + at, size, &p, err) < 0)
			return -1;
		if (p) {
			memcpy(c->data + at, p, size);
			v = check_page(c, at, p);
		}
		if (p && v < SC_PAGE_ENCRYPTED) {
			c->unchecked += v == SC_PAGE_UNCHECKED;
			ck->copy->pages_reread++;
			return 0;
		}
		sc_sleep_ms(REREAD_WAIT_MS);
	}
	if (ck->copy->stop)
		return sc_copy_stopped(err);
	if (!p)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "%s was truncated while it was copied: it "
				  "ends before page %u",
				  c->file->path, page_no_at(c, at));
	return is_wrong(c, at, c->data + at, v, err);
}

/*
 * The same; in the running file when the image has another, in which nothing
 * changes any more. RENAME or TRUNCATE may have put another tablespace under
 * its name, whose page 0 would be believed.
 */
static int reread_page(struct chunk *c, uint32_t at, struct sc_err *err)
{
	const struct sc_copy *copy = c->checker->copy;
	struct sc_image *running = copy->running;
	CLEANUP_CLOSE int fd = -1;
	int rc, image_fd = c->fd;

	if (running && running != copy->image)
		fd = running->open_file(running, c->file->path, true);
	if (fd >= 0 && sc_file_has_listed_space(fd, c->file))
		c->fd = fd;
	rc = reread_until_whole(c, at, err);
	c->fd = image_fd;
	return rc;
}

/* Put the doublewrite file's copy in the place of a page of an atomic image. */
static int repair_page(struct chunk *c, uint32_t at, struct sc_err *err)
{
	struct sc_copy_checker *ck = c->checker;
	enum sc_dblwr_result result = SC_DBLWR_NONE;
	uint32_t no = page_no_at(c, at);

	if (ck->copy->dblwr &&
	    sc_dblwr_repair(ck->copy->dblwr, &ck->spec, no, ck->opener,
			    c->data + at, &result, err) < 0)
		return sc_err_context(err, "page %u of %s is torn", no,
				      c->file->path);
	if (result == SC_DBLWR_REPAIRED) {
		ck->copy->pages_repaired++;
		return 0;
	}
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"page %u of %s is corrupted (checksum mismatch, byte %" PRIu64
		"), and the doublewrite files %s; HINT: check the donor with innochecksum and CHECK TABLE, and should they find nothing, the disk that the image is on (dm_cow); nothing was cloned",
		no, c->file->path, c->off + at, sc_dblwr_result_text(result));
}

/* A page that did not pass. 0 when it is right now, 1: check the chunk anew. */
static int look_again(struct chunk *c, uint32_t at, enum sc_page_verdict v,
		      struct sc_err *err)
{
	if (!c->checker->copy->image->atomic)
		return reread_page(c, at, err);
	if (v == SC_PAGE_BAD)
		return repair_page(c, at, err);
	if (v == SC_PAGE_MISPLACED)
		return is_wrong(c, at, c->data + at, v, err);
	/* Encrypted, no key: whether it is torn cannot be told. Should it be,
	 * the server on the clone finds it, which has no copy of it either: no
	 * doublewrite file is in a clone. */
	c->unchecked++;
	return 0;
}

/* Have the CPU fetch what comes next while this page is checked: what was just
 * read by the device is in no cache. */
static void fetch_ahead(const char *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i += CACHE_LINE)
		__builtin_prefetch(p + i);
}

/* Returns 1 when the size of the pages turned out to be another one. */
static int check_pages(struct chunk *c, uint32_t len, struct sc_err *err)
{
	struct sc_copy_checker *ck = c->checker;
	uint32_t size = ck->spec.physical_size, at;

	c->unchecked = 0;
	for (at = 0; at + size <= len; at += size) {
		enum sc_page_verdict v;
		int rc = 0;

		fetch_ahead(c->data + at + size, SC_MIN(len - at - size, size));
		v = check_page(c, at, c->data + at);
		if (v >= SC_PAGE_ENCRYPTED)
			rc = look_again(c, at, v, err);
		else
			c->unchecked += v == SC_PAGE_UNCHECKED;
		if (rc)
			return rc;
	}
	memset(c->data + at, 0, len - at);
	ck->copy->pages_checked += len / size - c->unchecked;
	ck->copy->pages_unchecked += c->unchecked;
	return 0;
}

int sc_copy_check(struct sc_copy_checker *checker, const struct sc_file *file,
		  int fd, uint64_t off, void *data, uint32_t len,
		  struct sc_err *err)
{
	struct chunk chunk = { .checker = checker,
			       .file = file,
			       .fd = fd,
			       .off = off,
			       .data = data };
	int rc;

	if (checker->file != file) {
		checker->file = file;
		checker->spec = file->spec;
	}
	do {
		rc = check_pages(&chunk, len, err);
	} while (rc > 0 && !checker->copy->stop);
	return rc > 0 ? sc_copy_stopped(err) : rc;
}
