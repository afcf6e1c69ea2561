/* SPDX-License-Identifier: GPL-2.0-only */
/* The check of a chunk's pages; see copy_check.h. */
#include "io/copy_check.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

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

/* A chunk that is being checked. */
struct check {
	struct sc_copy *copy;
	const struct sc_file *file;
	int fd;
	uint64_t off; /* of the chunk in the file */
	char *data;
};

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

/* Read one page again until it is whole. */
static int reread_page(const struct check *c, uint32_t at, struct sc_err *err)
{
	uint32_t size = c->file->spec.physical_size;
	uint64_t off = c->off + at;
	CLEANUP_FREE void *page = NULL;

	if (posix_memalign(&page, SC_COPY_ALIGN, SC_MAX(size, SC_COPY_ALIGN)))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	for (int i = 0; i < REREAD_TRIES && !c->copy->stop; i++) {
		/* Direct reads want whole blocks: small pages come in a 4 KiB
		 * block with their neighbours. */
		uint64_t from = sc_align_down(off, SC_COPY_ALIGN);
		uint32_t len = SC_MAX(size, SC_COPY_ALIGN);
		ssize_t n = sc_pread_full(c->fd, page, len, from);
		const char *p = (char *)page + (off - from);

		if (n < 0)
			return sc_copy_read_failed(c->file, off, (int)-n, err);
		if ((uint64_t)n >= off - from + size &&
		    sc_page_check(&c->file->spec, p) != SC_PAGE_BAD) {
			memcpy(c->data + at, p, size);
			c->copy->pages_reread++;
			return 0;
		}
		sc_sleep_ms(REREAD_WAIT_MS);
	}
	if (c->copy->stop)
		return sc_copy_stopped(err);
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"page %" PRIu64
		" of %s is corrupted (checksum mismatch, byte %" PRIu64
		"); HINT: check the donor with innochecksum and CHECK TABLE; nothing was cloned",
		off / size, c->file->path, off);
}

/* Check every page of a chunk that was read. */
int sc_copy_check(struct sc_copy *copy, const struct sc_file *file, int fd,
		  uint64_t off, void *data, uint32_t len, struct sc_err *err)
{
	const struct check check = { copy, file, fd, off, data };
	uint32_t size = file->spec.physical_size;
	uint64_t unchecked = 0;
	uint32_t at;

	for (at = 0; at + size <= len; at += size) {
		enum sc_page_verdict v =
			sc_page_check(&file->spec, check.data + at);

		if (v == SC_PAGE_BAD && reread_page(&check, at, err) < 0)
			return -1;
		unchecked += v == SC_PAGE_UNCHECKED;
		if (v == SC_PAGE_ENCRYPTED)
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"page %" PRIu64
				" of %s is encrypted, which this release cannot clone",
				(off + at) / size, file->path);
	}
	copy->pages_checked += len / size - unchecked;
	copy->pages_unchecked += unchecked;
	return 0;
}
