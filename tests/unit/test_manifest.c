/* SPDX-License-Identifier: GPL-2.0-only */
/* The manifest: what is written is read, and nothing else is taken for one. */
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/manifest.h"
#include "tests/unit/dir_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* More digests than one line holds. */
enum { BIG = 2500, FUZZ_RUNS = 4000 };

static struct dir_fixture dir;
static struct sc_filelist list;
static uint64_t sizes[8];
static uint8_t digests[BIG + 64][SC_DIGEST_SIZE];
static struct sc_err err;
static unsigned fds_before;

static const struct sc_manifest_head head = {
	.checkpoint_lsn = 1,
	.end_lsn = INT64_MAX,
	.seal_begin_us = 2,
	.binlog_position = 157,
	.began_us = 3,
	.create_ms = 4,
	.copy_ms = 5,
	.redo_ms = 6,
	.seal_ms = 7,
	.swap_us = 11,
	.undo_us = 12,
	.streams = 8,
	.redo_bytes = 9,
	.wire_bytes = 10,
	.page_size = 16384,
	.redo_encrypted = true,
	.binlog_file = "bin\"log.000001",
	.gtid_flushed = NULL,
	.gtid_executed = "a:1-5,\nb:7",
	.donor_uuid = "uu\xff\xfeid",
	.donor_version = "MySQL 9.7.4",
	.provider = "live",
	.engine = "uring",
	.snapclone = "0.1.0",
};

static void add_file(const char *path, enum sc_file_kind kind, uint64_t size,
		     uint64_t grown)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);

	sizes[list.n] = size + grown;
	assert_int_equal(sc_filelist_add(&list, path, kind, size,
					 kind == SC_FILE_PAGES ? &spec : NULL,
					 &err),
			 0);
}

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	err = (struct sc_err)SC_ERR_INIT;
	dir_fixture_open(&dir);
	add_file("ibdata1", SC_FILE_PAGES, 150 * 16384, 16384);
	add_file("db/empty.ibd", SC_FILE_PAGES, 0, 114688);
	add_file("db/big.ibd", SC_FILE_PAGES, BIG * (uint64_t)SC_CHUNK_SIZE, 0);
	add_file("db/not\xff utf.ibd", SC_FILE_PAGES, 16384, 0);
	add_file("db/t\xc3\xa4 \"#1\\.ibd", SC_FILE_PAGES, 16384, 0);
	add_file("ib_buffer_pool", SC_FILE_OPAQUE, 100, 0);
	sc_filelist_set_stored(&list, 50);
	for (size_t i = 0; i < sizeof(digests); i++)
		((uint8_t *)digests)[i] = (uint8_t)(i * 7 + i / 256);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_filelist_free(&list);
	dir_fixture_close(&dir);
	return fx_count_fds() == fds_before ? 0 : -1;
}

static int write_it(const struct sc_manifest_head *h)
{
	const struct sc_manifest_files files = {
		.list = &list,
		.sizes = sizes,
		.digests = (const uint8_t(*)[SC_DIGEST_SIZE])digests
	};
	int fd = openat(dir.fd, "m", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0640);
	int rc = sc_manifest_write(fd, h, &files, &err);

	close(fd);
	return rc;
}

static int read_it(struct sc_manifest *m)
{
	int fd = openat(dir.fd, "m", O_RDONLY | O_CLOEXEC), rc;

	*m = (struct sc_manifest){ 0 };
	err = (struct sc_err)SC_ERR_INIT;
	rc = sc_manifest_read(fd, m, &err);
	close(fd);
	return rc;
}

static void put_text(const char *text, size_t len)
{
	int fd = openat(dir.fd, "m", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0640);

	assert_int_equal(sc_pwrite_full(fd, text, len, 0), 0);
	close(fd);
}

static void expect_same_files(const struct sc_manifest *m)
{
	assert_int_equal(m->list.n, list.n);
	assert_int_equal(m->list.chunks, list.chunks);
	for (size_t i = 0; i < list.n; i++) {
		const struct sc_file *got = &m->list.files[i];
		const struct sc_file *want = &list.files[i];

		assert_string_equal(got->path, want->path);
		assert_int_equal(got->kind, want->kind);
		assert_int_equal(got->size, want->size);
		assert_int_equal(got->sealed_size, sizes[i]);
		assert_int_equal(got->stored, want->stored);
		assert_int_equal(got->spec.space_id, want->spec.space_id);
		assert_int_equal(got->spec.flags, want->spec.flags);
		assert_int_equal(got->spec.physical_size,
				 want->spec.physical_size);
	}
	assert_memory_equal(m->digests, digests, list.chunks * SC_DIGEST_SIZE);
}

static void expect_same_head(const struct sc_manifest_head *got)
{
	assert_int_equal(got->checkpoint_lsn, 1);
	assert_int_equal(got->image_lsn, 0);
	assert_true(got->end_lsn == INT64_MAX);
	assert_int_equal(got->wire_bytes, 10);
	assert_int_equal(got->swap_us, 11);
	assert_int_equal(got->undo_us, 12);
	assert_true(got->redo_encrypted);
	assert_string_equal(got->binlog_file, "bin\"log.000001");
	assert_string_equal(got->gtid_flushed, "");
	assert_string_equal(got->gtid_executed, "a:1-5,b:7");
	assert_string_equal(got->donor_uuid, "uu??id");
	assert_string_equal(got->provider, "live");
	assert_string_equal(got->engine, "uring");
}

static void what_is_written_is_read(void **state)
{
	struct sc_manifest m;

	(void)state;
	assert_int_equal(write_it(&head), 0);
	if (read_it(&m) < 0)
		fail_msg("%s", err.msg);
	expect_same_files(&m);
	expect_same_head(&m.head);
	sc_manifest_free(&m);
}

static void with_an_image(void **state)
{
	struct sc_manifest_head h = head;
	struct sc_manifest m;

	(void)state;
	h.image_lsn = 77;
	assert_int_equal(write_it(&h), 0);
	assert_int_equal(read_it(&m), 0);
	assert_int_equal(m.head.image_lsn, 77);
	assert_null(m.head.redo_lost);
	sc_manifest_free(&m);
	h.redo_lost = "why";
	assert_int_equal(write_it(&h), 0);
	assert_int_equal(read_it(&m), 0);
	assert_string_equal(m.head.redo_lost, "why");
	sc_manifest_free(&m);
}

/* No digests of it, those of the others where they belong. */
static void with_a_shared_file(void **state)
{
	const struct sc_file *big = &list.files[2];
	struct sc_manifest m;

	(void)state;
	list.files[2].shared = true;
	assert_int_equal(write_it(&head), 0);
	if (read_it(&m) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(m.list.chunks, list.chunks - BIG);
	assert_true(m.list.files[2].shared);
	assert_int_equal(m.list.files[2].size, 0);
	assert_int_equal(m.list.files[2].sealed_size, big->size);
	assert_false(m.list.files[3].shared);
	assert_memory_equal(m.digests[m.list.files[3].first_chunk],
			    digests[list.files[3].first_chunk], SC_DIGEST_SIZE);
	sc_manifest_free(&m);
}

static void expect_bad(const char *text)
{
	struct sc_manifest m;

	assert_int_equal(read_it(&m), -1);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
	sc_manifest_free(&m);
}

static void numbers_json_cannot_hold(void **state)
{
	struct sc_manifest_head h = head;

	(void)state;
	h.end_lsn = (uint64_t)INT64_MAX + 1;
	assert_int_equal(write_it(&h), -1);
}

static void a_path_twice(void **state)
{
	(void)state;
	add_file("ibdata1", SC_FILE_OPAQUE, 1, 0);
	assert_int_equal(write_it(&head), 0);
	expect_bad("ibdata1 is in it twice");
}

static void writes_that_fail(void **state)
{
	const struct sc_manifest_files files = {
		.list = &list,
		.sizes = sizes,
		.digests = (const uint8_t(*)[SC_DIGEST_SIZE])digests
	};
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(sc_manifest_write(full, &head, &files, &err), -1);
	assert_int_equal(err.code, SC_ER_CLONE_DISK_SPACE);
	close(full);
}

/* What may be wrong: `from` becomes `to`. */
static const struct {
	const char *from, *to, *why;
} malformed[] = {
	{ "\"snapclone_manifest\":1", "\"snapclone_manifest\":2",
	  "line 1: this format is of another release" },
	{ "\"snapclone_manifest\":1", "\"snapclone_manifest\":\"1\"",
	  "\"snapclone_manifest\"" },
	{ "\"end_lsn\":9223372036854775807", "\"end_lsn\":-1", "\"end_lsn\"" },
	{ "\"end_lsn\":9223372036854775807", "\"end_lsn\":9223372036854775808",
	  "line 1" },
	{ "\"end_lsn\"", "\"checkpoint_lsn\"", "line 1" },
	{ "\"provider\":\"live\"", "\"provider\":7", "\"provider\"" },
	{ "\"redo_encrypted\":true", "\"redo_encrypted\":1", "flag" },
	{ "\"page_size\":16384,\"redo", "\"page_size\":0,\"redo", "page size" },
	{ "\"page_size\":16384,\"redo", "\"page_size\":131072,\"redo",
	  "page size" },
	{ "{\"path\":\"ibdata1\"", "[\"path\",\"ibdata1\"", "line 2" },
	{ "\"path\":\"ibdata1\"", "\"path\":\"../ibdata1\"",
	  "line 2: \"path\"" },
	{ "\"path\":\"ibdata1\"", "\"path\":\"/etc/shadow\"", "\"path\"" },
	{ "\"path\":\"ibdata1\"", "\"path\":\"#clone/x\"", "\"path\"" },
	{ "\"path\":\"ibdata1\"", "\"path\":\"a\\u0000b\"", "line 2" },
	{ "\"path\":\"ibdata1\"", "\"path\":\"a\\nb\"", "\"path\"" },
	{ "\"path\":\"ibdata1\"", "\"path_hex\":\"2e2e2f61\"", "\"path\"" },
	{ "\"path\":\"ibdata1\"", "\"path_hex\":\"610062\"", "\"path\"" },
	{ "\"path\":\"ibdata1\"", "\"path_hex\":\"616\"", "\"path\"" },
	{ "\"kind\":\"pages\"", "\"kind\":\"other\"", "\"kind\"" },
	{ "\"kind\":\"pages\"", "\"sort\":\"pages\"", "more digests" },
	{ "\"size\":2473984", "\"size\":2457599", "\"digested\"" },
	{ "\"size\":2473984", "\"size\":-5", "\"size\"" },
	{ "\"digested\":2457600,\"stored\":2457600",
	  "\"digested\":1048576,\"stored\":1048576", "more digests" },
	{ "\"digested\":2457600,\"stored\":2457600",
	  "\"digested\":2457600,\"stored\":2457601", "\"stored\"" },
	{ "\"size\":2473984,\"digested\":2457600",
	  "\"size\":9223372036854775807,\"digested\":9223372036854775807",
	  "beyond all measure" },
	{ "\"size\":2473984,\"digested\":2457600",
	  "\"size\":1152921504606846976,\"digested\":1152921504606846976",
	  "fewer digests" },
	{ "\"stored\":2457600", "\"stored\":0,\"shared\":true",
	  "\"digested\"" },
	{ "\"stored\":2457600", "\"stored\":0,\"shared\":false",
	  "\"shared\" is not true" },
	{ "\"page_size\":16384,\"flags\"", "\"page_size\":0,\"flags\"",
	  "page size" },
	{ "\"page_size\":16384,\"flags\"", "\"page_size\":12288,\"flags\"",
	  "page size" },
	{ "\"space_id\":3", "\"space_id\":4294967296", "\"space_id\"" },
	{ "\"xxh3_128\":\"0", "\"xxh3_128\":\"g0", "digests" },
	{ "\"xxh3_128\":\"0", "\"xxh3_128\":\"", "digests" },
	{ "\"xxh3_128\":\"0", "\"xxh3_128\":\"00", "digests" },
	{ "\"xxh3_128\":\"00", "\"xxh3_128\":\"01", "were changed" },
	{ "\"files\":6", "\"files\":5", "were changed" },
	{ "\"manifest_xxh3_128\":\"", "\"manifest_xxh3_128\":\"zz",
	  "no digest" },
	{ "{\"files\":6", "{}\n{\"files\":6", "digests" },
};

/* The text with one replacement; to be freed. */
static char *replaced(const char *text, const char *from, const char *to,
		      size_t *ret_len)
{
	const char *at = strstr(text, from);
	char *out;
	int n;

	assert_non_null(at);
	n = asprintf(&out, "%.*s%s%s", (int)(at - text), text, to,
		     at + strlen(from));
	assert_true(n > 0);
	*ret_len = (size_t)n;
	return out;
}

static char *good_text(size_t *len)
{
	uint8_t *got;
	char *text;

	assert_int_equal(write_it(&head), 0);
	assert_int_equal(dir_fixture_get(dir.fd, "m", &got, len), 0);
	text = strndup((char *)got, *len);
	free(got);
	return text;
}

static void malformed_ones(void **state)
{
	size_t len;
	char *text = good_text(&len);

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(malformed); i++) {
		char *bad = replaced(text, malformed[i].from, malformed[i].to,
				     &len);

		put_text(bad, len);
		expect_bad(malformed[i].why);
		free(bad);
	}
	free(text);
}

static void cut_off_and_too_long(void **state)
{
	size_t len;
	char *text = good_text(&len), *more = calloc(1, len + 100000);

	(void)state;
	put_text("", 0);
	expect_bad("empty");
	put_text(text, len - 1);
	expect_bad("the line has no end");
	*strstr(text, "{\"files\"") = '\0';
	put_text(text, strlen(text));
	expect_bad("the end is missing");
	free(text);
	text = good_text(&len);
	memcpy(more, text, len);
	memcpy(more + len, "{}\n", 3);
	put_text(more, len + 3);
	expect_bad("behind the end");
	memset(strchr(more, '\n') + 1, ' ', 90000);
	put_text(more, len + 90000);
	expect_bad("line 2: the line is too long");
	free(more);
	free(text);
}

/* Any change is found, and none does harm. The small list makes it fast. */
static void any_change_is_found(void **state)
{
	size_t len;
	char *good, *bad;

	(void)state;
	sc_filelist_free(&list);
	add_file("ibdata1", SC_FILE_PAGES, 150 * 16384, 16384);
	add_file("db/t.ibd", SC_FILE_PAGES, 16384, 0);
	add_file("ib_buffer_pool", SC_FILE_OPAQUE, 100, 0);
	good = good_text(&len);
	bad = malloc(len + 64);
	srand(20);
	for (int i = 0; i < FUZZ_RUNS; i++) {
		size_t n = len, at = (size_t)rand() % len;
		size_t span = 1 + (size_t)rand() % 40;
		struct sc_manifest m;

		span = SC_MIN(span, len - at);
		memcpy(bad, good, len);
		switch (rand() % 4) {
		case 0:
			bad[at] ^= (char)(1 << rand() % 8);
			break;
		case 1:
			memmove(bad + at, bad + at + span, len - at - span);
			n -= span;
			break;
		case 2:
			memmove(bad + at + span, bad + at, len - at);
			n += span;
			break;
		default:
			bad[at] = "\"\\{}[],:0-\n"[rand() % 11];
		}
		put_text(bad, n);
		if (read_it(&m) == 0) /* e.g. a character by itself */
			assert_true(m.list.n == list.n &&
				    !memcmp(m.digests, digests,
					    list.chunks * SC_DIGEST_SIZE));
		sc_manifest_free(&m);
	}
	free(good);
	free(bad);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(with_an_image),
		TEST(with_a_shared_file),
		TEST(numbers_json_cannot_hold),
		TEST(a_path_twice),
		TEST(writes_that_fail),
		TEST(malformed_ones),
		TEST(cut_off_and_too_long),
		TEST(any_change_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
