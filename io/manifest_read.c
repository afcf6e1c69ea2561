/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading a manifest; see manifest.h. What is in it may be anybody's: nothing
 * is believed before it was checked. */
#include "io/manifest_impl.h"

#include "io/base/ctl.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE (256u << 10)

/* Two GTID sets of a message each, every character escaped at worst. */
#define HEAD_MAX (12u * SC_CTL_MAX_BODY)

struct reader {
	struct sc_manifest *m;
	int fd;
	char *buf; /* READ_SIZE */
	size_t at, used;
	char *line; /* without its end */
	size_t len, cap;
	uint64_t number; /* of the line, from 1 */
	uint64_t n_digests, cap_digests;
	struct sc_digest_state digest; /* of the lines before this one */
	struct manifest_entry entry;
};

static int out_of_memory(struct sc_err *err)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
}

static int bad(struct sc_err *err, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", what);
}

/* More of the file in buf; 0 at its end. */
static ssize_t fill(struct reader *r, struct sc_err *err)
{
	ssize_t n;

	do {
		n = read(r->fd, r->buf, READ_SIZE);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot be read");
	r->at = 0;
	r->used = (size_t)n;
	return n;
}

static int append(struct reader *r, size_t n, size_t max, struct sc_err *err)
{
	if (!n)
		return 0;
	if (r->len + n > max)
		return bad(err, "the line is too long");
	if (r->len + n > r->cap) {
		size_t cap = SC_MIN(2 * (r->len + n), max);
		char *line = realloc(r->line, cap);

		if (!line)
			return out_of_memory(err);
		r->line = line;
		r->cap = cap;
	}
	memcpy(r->line + r->len, r->buf + r->at, n);
	r->len += n;
	r->at += n;
	return 0;
}

/* The next line of at most max bytes. 1, 0 at the end of the file, -1. */
static int next_line(struct reader *r, size_t max, struct sc_err *err)
{
	r->len = 0;
	r->number++;
	for (;;) {
		const char *end = memchr(r->buf + r->at, '\n', r->used - r->at);
		size_t n =
			end ? (size_t)(end - r->buf) - r->at : r->used - r->at;
		ssize_t more;

		if (append(r, n, max, err) < 0)
			return -1;
		if (end) {
			r->at++;
			return 1;
		}
		more = fill(r, err);
		if (more <= 0)
			return more < 0 ? -1
			       : r->len ? bad(err, "the line has no end")
					: 0;
	}
}

static void add_line(struct reader *r)
{
	sc_digest_add(&r->digest, r->line, r->len);
	sc_digest_add(&r->digest, "\n", 1);
}

/* The digests of the entry, of the file read last. */
static int take_digests(struct reader *r, struct sc_err *err)
{
	struct sc_manifest *m = r->m;

	if (!m->list.n || r->n_digests + r->entry.n > m->list.chunks)
		return bad(err, "there are more digests than the file has "
				"chunks");
	if (r->n_digests + r->entry.n > r->cap_digests) {
		uint64_t cap = 2 * (r->n_digests + r->entry.n) + 1024;
		void *digests = realloc(m->digests, cap * SC_DIGEST_SIZE);

		if (!digests)
			return out_of_memory(err);
		m->digests = digests;
		r->cap_digests = cap;
	}
	if (r->entry.n)
		memcpy(m->digests + r->n_digests, r->entry.digests,
		       r->entry.n * SC_DIGEST_SIZE);
	r->n_digests += r->entry.n;
	return 0;
}

static int check_digests(const struct reader *r, struct sc_err *err)
{
	if (r->n_digests == r->m->list.chunks)
		return 0;
	return bad(err, "the file before has fewer digests than chunks");
}

static int take_file(struct reader *r, struct sc_err *err)
{
	const struct sc_file *file = &r->entry.file;
	struct sc_filelist *list = &r->m->list;

	if (check_digests(r, err) < 0)
		return -1;
	if (file->size > UINT64_MAX / 4 - list->bytes)
		return bad(err, "file sizes beyond all measure");
	if (sc_filelist_add(list, r->entry.path, file->kind, file->size,
			    &file->spec, err) < 0)
		return -1;
	sc_filelist_set_stored(list, file->stored);
	list->files[list->n - 1].sealed_size = file->sealed_size;
	list->files[list->n - 1].shared = file->shared;
	return take_digests(r, err);
}

static int take_tail(struct reader *r, struct sc_err *err)
{
	const struct manifest_tail *tail = &r->entry.tail;
	uint8_t digest[SC_DIGEST_SIZE];
	int rc;

	sc_digest_end(&r->digest, digest);
	if (check_digests(r, err) < 0)
		return -1;
	if (tail->files != r->m->list.n || tail->chunks != r->m->list.chunks ||
	    memcmp(tail->digest, digest, SC_DIGEST_SIZE) != 0)
		return bad(err, "the lines before were changed since they were "
				"written");
	rc = next_line(r, MANIFEST_LINE_MAX, err);
	return rc > 0 ? bad(err, "there is something behind the end") : rc;
}

/* 1: go on; 0: that was the end. */
static int take_line(struct reader *r, struct sc_err *err)
{
	int rc = next_line(r, MANIFEST_LINE_MAX, err);

	if (rc == 0)
		return bad(err, "the end is missing");
	if (rc < 0 || manifest_get_line(r->line, r->len, &r->entry, err) < 0)
		return -1;
	if (r->entry.line == MANIFEST_TAIL)
		return take_tail(r, err);
	add_line(r);
	rc = r->entry.line == MANIFEST_FILE ? take_file(r, err)
					    : take_digests(r, err);
	return rc < 0 ? -1 : 1;
}

static int read_all(struct reader *r, struct sc_err *err)
{
	int rc = next_line(r, HEAD_MAX, err);

	sc_digest_begin(&r->digest);
	if (rc <= 0)
		return rc < 0 ? -1 : bad(err, "the file is empty");
	if (manifest_get_head(r->line, r->len, &r->m->head, err) < 0)
		return -1;
	add_line(r);
	do {
		rc = take_line(r, err);
	} while (rc > 0);
	return rc;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_paths(const struct sc_filelist *list, struct sc_err *err)
{
	const char **paths = malloc((list->n + 1) * sizeof(*paths));
	int rc = paths ? 0 : out_of_memory(err);

	for (size_t i = 0; paths && i < list->n; i++)
		paths[i] = list->files[i].path;
	if (paths)
		qsort(paths, list->n, sizeof(*paths), by_path);
	for (size_t i = 1; rc == 0 && i < list->n; i++) {
		if (!strcmp(paths[i - 1], paths[i]))
			rc = sc_err_set(err, SC_ER_INTERNAL_ERROR,
					"%.300s is in it twice", paths[i]);
	}
	free(paths);
	return rc;
}

int sc_manifest_read(int fd, struct sc_manifest *m, struct sc_err *err)
{
	struct reader r = { .m = m, .fd = fd, .buf = malloc(READ_SIZE) };
	int rc = -1;

	if (!r.buf)
		out_of_memory(err);
	else if (read_all(&r, err) < 0)
		sc_err_context(err, "line %" PRIu64, r.number);
	else
		rc = check_paths(&m->list, err);
	if (rc < 0)
		sc_err_context(err, SC_MANIFEST_NAME);
	free(r.buf);
	free(r.line);
	return rc;
}

void sc_manifest_free(struct sc_manifest *m)
{
	struct sc_manifest_head *h = &m->head;
	const char *const texts[] = { h->binlog_file,	h->gtid_flushed,
				      h->gtid_executed, h->redo_lost,
				      h->donor_uuid,	h->donor_version,
				      h->provider,	h->engine,
				      h->snapclone };

	for (size_t i = 0; i < SC_ARRAY_SIZE(texts); i++)
		free((void *)(uintptr_t)texts[i]);
	sc_filelist_free(&m->list);
	free(m->digests);
	*m = (struct sc_manifest){ 0 };
}
