/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Manifests. First byte 0: the file as it is. 1: the lines of a manifest
 * without the tail, which is made here. 2: one line. What was read is written
 * and read again: the same.
 */
#include "tests/fuzz/fuzz.h"

#include "io/manifest_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void same_lists(const struct sc_manifest *a, const struct sc_manifest *b)
{
	FUZZ_CHECK(a->list.n == b->list.n && a->list.chunks == b->list.chunks);
	for (size_t i = 0; i < a->list.n; i++) {
		const struct sc_file *x = &a->list.files[i];
		const struct sc_file *y = &b->list.files[i];

		FUZZ_CHECK(!strcmp(x->path, y->path) && x->size == y->size &&
			   x->sealed_size == y->sealed_size &&
			   x->stored == y->stored && x->kind == y->kind);
	}
	FUZZ_CHECK(!a->list.chunks || !memcmp(a->digests, b->digests,
					      a->list.chunks * SC_DIGEST_SIZE));
}

static void write_again(const struct sc_manifest *m)
{
	CLEANUP_MANIFEST struct sc_manifest again = { 0 };
	uint64_t *sizes = calloc(m->list.n + 1, sizeof(*sizes));
	struct sc_manifest_files files = {
		.list = &m->list,
		.sizes = sizes,
		.digests = (const uint8_t(*)[SC_DIGEST_SIZE])m->digests
	};
	struct sc_err err = SC_ERR_INIT;
	int fd = fuzz_file("", 0);

	FUZZ_CHECK(sizes);
	for (size_t i = 0; i < m->list.n; i++) {
		FUZZ_CHECK(sc_path_ok(m->list.files[i].path));
		sizes[i] = m->list.files[i].sealed_size;
	}
	FUZZ_CHECK(sc_manifest_write(fd, &m->head, &files, &err) == 0);
	FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
	FUZZ_CHECK(sc_manifest_read(fd, &again, &err) == 0);
	FUZZ_CHECK(m->head.end_lsn == again.head.end_lsn &&
		   m->head.checkpoint_lsn == again.head.checkpoint_lsn &&
		   !strcmp(m->head.gtid_executed, again.head.gtid_executed));
	same_lists(m, &again);
	close(fd);
	free(sizes);
}

static void try_file(const void *text, size_t len)
{
	CLEANUP_MANIFEST struct sc_manifest m = { 0 };
	struct sc_err err = SC_ERR_INIT;
	int fd = fuzz_file(text, len);

	if (sc_manifest_read(fd, &m, &err) == 0)
		write_again(&m);
	else
		FUZZ_CHECK(strstr(err.msg, SC_MANIFEST_NAME));
	close(fd);
}

/* How many files and chunks the lines have, by the reader's own eyes. */
static void count(const char *text, size_t len, struct manifest_tail *ret)
{
	struct manifest_entry *e = malloc(sizeof(*e));
	const char *end = text + len, *p = memchr(text, '\n', len);
	struct sc_err err = SC_ERR_INIT;

	FUZZ_CHECK(e);
	while (p && ++p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		if (!eol ||
		    manifest_get_line(p, (size_t)(eol - p), e, &err) < 0)
			break;
		if (e->line == MANIFEST_FILE) {
			ret->files++;
			ret->chunks += sc_chunks_of(e->file.size);
		}
		p = eol;
	}
	free(e);
}

static void try_lines(const struct fuzz_in *in)
{
	struct manifest_tail tail = { 0 };
	char *text = fuzz_text(in), *last, *whole = NULL;
	int len;

	count(text, in->left, &tail);
	sc_digest(text, in->left, tail.digest);
	last = manifest_put_tail(&tail);
	if (last && !memchr(text, 0, in->left)) {
		len = asprintf(&whole, "%s%s\n", text, last);
		FUZZ_CHECK(len >= 0);
		try_file(whole, (size_t)len);
		free(whole);
	}
	free(last);
	free(text);
}

static void try_line(const struct fuzz_in *in)
{
	struct manifest_entry *e = malloc(sizeof(*e));
	CLEANUP_MANIFEST struct sc_manifest m = { 0 };
	struct sc_err err = SC_ERR_INIT;
	char *text = fuzz_text(in);

	FUZZ_CHECK(e);
	if (manifest_get_line(text, in->left, e, &err) == 0)
		FUZZ_CHECK(e->n <= MANIFEST_LINE_DIGESTS);
	else
		FUZZ_CHECK(sc_err_is_set(&err));
	(void)manifest_get_head(text, in->left, &m.head, &err);
	free(text);
	free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	switch (fuzz_u8(&in)) {
	case 0:
		try_file(in.p, in.left);
		break;
	case 1:
		try_lines(&in);
		break;
	default:
		try_line(&in);
	}
	return 0;
}
