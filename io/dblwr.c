/* SPDX-License-Identifier: GPL-2.0-only */
/* Index of the copies in doublewrite files; see dblwr.h. */
#include "io/dblwr.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/crc32c.h"
#include "io/page_open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A page of a .bdblwr file (innodb_doublewrite=DETECT_ONLY): which pages a
 * batch wrote, without their contents. Source: REDUCED_BATCH_PAGE_SIZE and
 * following in buf0dblwr.h, Reduced_batch_deserializer in buf0dblwr.cc.
 */
enum {
	BATCH_SIZE = 8192,
	BATCH_CHECKSUM = 4,
	BATCH_DATA_LEN = 8,
	BATCH_DATA = 20,
	ENTRY_SIZE = 16, /* space, page number, LSN */
};

/* A slot is innodb_page_size, whatever the page's own size. Read ahead: */
#define READ_SIZE (1u << 20)
/* Highest number of a doublewrite file: innodb_doublewrite_files' maximum is
 * 256. Source: handler/ha_innodb.cc. Numbers beyond are no server's. */
#define MAX_FILE_NO 9999

struct copy {
	uint32_t space, page_no;
	uint64_t lsn;
	uint64_t off;
	uint32_t file; /* number in the file's name */
	bool contents; /* false: of a .bdblwr file */
};

struct sc_dblwr {
	int dir;
	uint32_t page_size;
	uint64_t checkpoint;
	struct copy *copies; /* sorted, see compare() */
	size_t n, cap;
};

/* By page; then the newest first, and what has no contents before what has:
 * such an entry rules out the copies that are older. */
static int compare(const void *a, const void *b)
{
	const struct copy *x = a, *y = b;

	if (x->space != y->space)
		return x->space < y->space ? -1 : 1;
	if (x->page_no != y->page_no)
		return x->page_no < y->page_no ? -1 : 1;
	if (x->lsn != y->lsn)
		return x->lsn > y->lsn ? -1 : 1;
	return (int)y->contents - (int)x->contents;
}

static int append(struct sc_dblwr *d, struct copy copy, struct sc_err *err)
{
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 1024;
		struct copy *more = reallocarray(d->copies, cap, sizeof(*more));

		if (!more)
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"out of memory for %zu doublewrite pages", cap);
		d->copies = more;
		d->cap = cap;
	}
	d->copies[d->n++] = copy;
	return 0;
}

static int add_page(struct sc_dblwr *d, uint32_t file, const uint8_t *p,
		    uint64_t off, struct sc_err *err)
{
	struct copy copy = { .space = sc_page_space(p),
			     .page_no = sc_page_no(p),
			     .lsn = sc_page_lsn(p),
			     .off = off,
			     .file = file,
			     .contents = true };

	/* A slot that was never used. */
	return copy.lsn ? append(d, copy, err) : 0;
}

/*
 * A batch whose checksum does not hold was being written itself, so none of
 * its pages was yet: no entry. The server refuses to start over it, though:
 * the clone gets empty doublewrite files.
 */
static int add_batch(struct sc_dblwr *d, uint32_t file, const uint8_t *p,
		     uint64_t off, struct sc_err *err)
{
	uint32_t len = sc_load_be16(p + BATCH_DATA_LEN);

	if (len > BATCH_SIZE - BATCH_DATA || len % ENTRY_SIZE ||
	    sc_load_be32(p + BATCH_CHECKSUM) !=
		    sc_crc32c(0, p + BATCH_DATA, len))
		return 0;
	for (uint32_t at = BATCH_DATA; at < BATCH_DATA + len;
	     at += ENTRY_SIZE) {
		struct copy copy = { .space = sc_load_be32(p + at),
				     .page_no = sc_load_be32(p + at + 4),
				     .lsn = sc_load_be64(p + at + 8),
				     .off = off,
				     .file = file };

		if (append(d, copy, err) < 0)
			return -1;
	}
	return 0;
}

static int read_failed(const char *name, int sys_errno, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot read doublewrite file %s", name);
}

/* Index one file; batch: a .bdblwr file. */
static int load_file(struct sc_dblwr *d, const char *name, uint32_t file,
		     bool batch, struct sc_err *err)
{
	CLEANUP_CLOSE int fd =
		sc_open_beneath(d->dir, name, O_RDONLY | O_NONBLOCK, 0);
	CLEANUP_FREE uint8_t *buf = malloc(READ_SIZE);
	uint32_t size = batch ? BATCH_SIZE : d->page_size;
	uint64_t off = 0;
	ssize_t n;

	if (fd < 0)
		return read_failed(name, -fd, err);
	if (!buf)
		return read_failed(name, ENOMEM, err);
	while ((n = sc_pread_full(fd, buf, READ_SIZE, off)) > 0) {
		for (size_t at = 0; at + size <= (size_t)n; at += size) {
			int rc = (batch ? add_batch : add_page)(
				d, file, buf + at, off + at, err);

			if (rc < 0)
				return -1;
		}
		off += (uint64_t)n;
	}
	return n < 0 ? read_failed(name, (int)-n, err) : 0;
}

static void file_name(const struct sc_dblwr *d, uint32_t file, bool batch,
		      char ret[static 48])
{
	snprintf(ret, 48, "#ib_%u_%u%s", d->page_size, file,
		 batch ? ".bdblwr" : ".dblwr");
}

/* Is that one of ours? Files of another page size are ignored, as the server
 * ignores them. */
static bool parse_name(const struct sc_dblwr *d, const char *name,
		       uint32_t *file, bool *batch)
{
	unsigned page_size, no;
	char again[48];

	if (sscanf(name, "#ib_%9u_%9u", &page_size, &no) != 2 ||
	    page_size != d->page_size || no > MAX_FILE_NO)
		return false;
	*file = no;
	for (int b = 0; b < 2; b++) {
		*batch = b;
		file_name(d, no, b, again);
		if (!strcmp(name, again))
			return true;
	}
	return false;
}

static int load_dir(struct sc_dblwr *d, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(d->dir);
	struct dirent *de;

	if (!dir)
		return read_failed("directory", errno, err);
	while ((errno = 0, de = readdir(dir))) {
		uint32_t file;
		bool batch;

		if (parse_name(d, de->d_name, &file, &batch) &&
		    load_file(d, de->d_name, file, batch, err) < 0)
			return -1;
	}
	if (errno)
		return read_failed("directory", errno, err);
	if (d->n)
		qsort(d->copies, d->n, sizeof(*d->copies), compare);
	return 0;
}

int sc_dblwr_load(int dir, uint32_t page_size, uint64_t checkpoint,
		  struct sc_dblwr **ret, struct sc_err *err)
{
	struct sc_dblwr *d = calloc(1, sizeof(*d));

	if (!d)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	d->page_size = page_size;
	d->checkpoint = checkpoint;
	d->dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (d->dir < 0)
		read_failed("directory", errno, err);
	else if (load_dir(d, err) == 0) {
		*ret = d;
		return 0;
	}
	sc_dblwr_free(d);
	return -1;
}

void sc_dblwr_free(struct sc_dblwr *dblwr)
{
	if (!dblwr)
		return;
	if (dblwr->dir >= 0)
		close(dblwr->dir);
	free(dblwr->copies);
	free(dblwr);
}

size_t sc_dblwr_count(const struct sc_dblwr *dblwr)
{
	return dblwr->n;
}

/* The first, thus newest, copy of a page, or where it would be. */
static size_t lower_bound(const struct sc_dblwr *d, uint32_t space,
			  uint32_t page_no)
{
	struct copy want = { .space = space,
			     .page_no = page_no,
			     .lsn = UINT64_MAX,
			     .contents = true };
	size_t lo = 0, hi = d->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&d->copies[mid], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Read one copy into buf; *ret: it is sound. */
static int read_copy(const struct sc_dblwr *d, const struct copy *copy,
		     const struct sc_page_spec *spec,
		     struct sc_page_opener *opener, uint8_t *buf, bool *ret,
		     struct sc_err *err)
{
	uint32_t size = spec->physical_size;
	char name[48];
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;

	file_name(d, copy->file, false, name);
	fd = sc_open_beneath(d->dir, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return read_failed(name, -fd, err);
	n = sc_pread_full(fd, buf, size, copy->off);
	if (n < 0)
		return read_failed(name, (int)-n, err);
	*ret = n == (ssize_t)size &&
	       sc_page_check_at(spec, buf, copy->page_no, opener) == SC_PAGE_OK;
	return 0;
}

/* Of a copy that is compressed and encrypted, the rest of the slot is what
 * was there before. */
static void place(const struct sc_page_spec *spec, const uint8_t *copy,
		  void *page)
{
	uint32_t used = sc_page_used_len(spec, copy);

	memcpy(page, copy, used);
	memset((uint8_t *)page + used, 0, spec->physical_size - used);
}

int sc_dblwr_repair(const struct sc_dblwr *dblwr,
		    const struct sc_page_spec *spec, uint32_t page_no,
		    struct sc_page_opener *opener, void *page,
		    enum sc_dblwr_result *ret, struct sc_err *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(spec->physical_size);
	size_t i = lower_bound(dblwr, spec->space_id, page_no);

	if (!buf)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	*ret = SC_DBLWR_NONE;
	for (; i < dblwr->n; i++) {
		const struct copy *c = &dblwr->copies[i];
		bool sound = false;

		if (c->space != spec->space_id || c->page_no != page_no)
			break;
		if (c->lsn < dblwr->checkpoint)
			*ret = SC_DBLWR_STALE;
		else if (!c->contents)
			*ret = SC_DBLWR_NOT_KEPT;
		else if (read_copy(dblwr, c, spec, opener, buf, &sound, err) <
			 0)
			return -1;
		if (*ret != SC_DBLWR_NONE)
			break;
		if (sound) {
			place(spec, buf, page);
			*ret = SC_DBLWR_REPAIRED;
			break;
		}
	}
	return 0;
}

const char *sc_dblwr_result_text(enum sc_dblwr_result result)
{
	static const char *const texts[] = {
		[SC_DBLWR_REPAIRED] = "held a sound copy of it",
		[SC_DBLWR_NONE] = "hold no sound copy of it",
		[SC_DBLWR_STALE] =
			"hold only a copy of it that is older than the checkpoint",
		[SC_DBLWR_NOT_KEPT] =
			"only tell that it was written (innodb_doublewrite=DETECT_ONLY)",
	};

	return (unsigned)result < SC_ARRAY_SIZE(texts) ? texts[result] : "?";
}
