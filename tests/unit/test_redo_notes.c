/* SPDX-License-Identifier: GPL-2.0-only */
/* Notes of DDL in hand-made redo: each record, wherever blocks end. */
#include "io/redo/notes.h"
#include "io/redo/notes_set.h"
#include "io/redo/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAYLOAD = 496, BLOCKS = 24, START = 1 << 20, GIB = 1 << 30 };

static struct sc_redo_notes *notes;
/* Where a test writes nothing: types, spaces and pages 1. */
static uint8_t stream[BLOCKS * PAYLOAD];

static int setup(void **state)
{
	(void)state;
	notes = sc_redo_notes_new();
	assert_non_null(notes);
	memset(stream, 1, sizeof(stream));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_redo_notes_free(notes);
	return 0;
}

static void again(void)
{
	sc_redo_notes_free(notes);
	notes = sc_redo_notes_new();
	assert_non_null(notes);
}

/* ---- records, as the server writes them ------------------------------------
 */

struct record {
	uint8_t bytes[9000];
	size_t len;
};

static void put(struct record *r, const void *p, size_t len)
{
	memcpy(r->bytes + r->len, p, len);
	r->len += len;
}

static void put_be(struct record *r, uint64_t v, size_t len)
{
	while (len--)
		r->bytes[r->len++] = (uint8_t)(v >> 8 * len);
}

/* By hand from mach_write_compressed(). */
static void put_int(struct record *r, uint32_t v)
{
	if (v < 0x80)
		put_be(r, v, 1);
	else if (v < 0x4000)
		put_be(r, v | 0x8000, 2);
	else if (v < 0x200000)
		put_be(r, v | 0xc00000, 3);
	else if (v < 0x10000000)
		put_be(r, v | 0xe0000000, 4);
	else if (v >= 0xfffffc00)
		put_be(r, (v & 0x3ff) | 0xf800, 2);
	else if (v >= 0xfffe0000)
		put_be(r, (v & 0x1ffff) | 0xfc0000, 3);
	else if (v >= 0xff000000)
		put_be(r, (v & 0xffffff) | 0xfe000000, 4);
	else
		put_be(r, 0xf000000000 | v, 5);
}

static void put_path(struct record *r, const char *path)
{
	put_be(r, strlen(path) + 1, 2);
	put(r, path, strlen(path) + 1);
}

static struct record file_record(uint8_t type, uint32_t space_id,
				 const char *path, const char *to)
{
	struct record r = { .bytes = { type }, .len = 1 };

	put_int(&r, space_id);
	put_int(&r, 0);
	if ((type & 0x7f) == 33)
		put_be(&r, 0x4021, 4);
	put_path(&r, path);
	if (to)
		put_path(&r, to);
	return r;
}

static struct record load_record(uint32_t space_id, uint32_t page, uint64_t id)
{
	struct record r = { .bytes = { 61 | 0x80 }, .len = 1 };

	put_int(&r, space_id);
	put_int(&r, page);
	put_be(&r, id, 8);
	return r;
}

/* Encryption information of zeroes. */
static struct record erase_record(uint32_t space_id, uint32_t page)
{
	static const uint8_t zeroes[111];
	struct record r = { .bytes = { 30 }, .len = 1 };

	put_int(&r, space_id);
	put_int(&r, page);
	put_be(&r, 10390, 2); /* where it is on pages of 16 KiB */
	put_be(&r, sizeof(zeroes), 2);
	put(&r, zeroes, sizeof(zeroes));
	return r;
}

/* From the end of the row's id on. */
static struct record row(uint32_t type, uint32_t space_id, uint32_t page,
			 uint64_t index_id)
{
	struct record r = { .bytes = { 0x2a }, .len = 1 };

	put_be(&r, 0x1234, 6);		 /* transaction */
	put_be(&r, 0x81000001180110, 7); /* roll pointer */
	put_be(&r, 9, 8);		 /* thread */
	put_be(&r, type, 4);
	put_be(&r, space_id, 4);
	put_be(&r, page, 4);
	put_be(&r, index_id, 8);
	return r;
}

/* ---- feeding ---------------------------------------------------------------
 */

static void feed_block(size_t i, uint16_t data_len)
{
	struct sc_err err = SC_ERR_INIT;
	uint8_t block[512] = { 0 };
	size_t len = SC_MIN(data_len, 508u) - 12;

	memcpy(block + 12, stream + i * PAYLOAD, len);
	sc_redo_block_seal(block, START + 512 * i, data_len, 12);
	assert_int_equal(
		sc_redo_notes_block(notes, block, START + 512 * i, &err), 0);
}

static void feed(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		feed_block(i, 512);
}

/* The record alone at that byte of the stream. */
static void feed_at(const struct record *r, size_t at)
{
	again();
	memcpy(stream + at, r->bytes, r->len);
	feed();
	memset(stream + at, 1, r->len);
}

/* LSN behind that byte of the stream, when its block is full. */
static uint64_t lsn_behind(size_t byte)
{
	return START + 512 * (byte / PAYLOAD + 1) + 12;
}

static struct sc_redo_notes_count counts(void)
{
	struct sc_redo_notes_count c;

	sc_redo_notes_count(notes, &c);
	return c;
}

static uint64_t total(void)
{
	struct sc_redo_notes_count c = counts();

	return c.created + c.renamed + c.deleted + c.loaded + c.built +
	       c.decrypted;
}

/* Unlogged above any lower LSN than that, and of this tablespace only. */
static void expect_unlogged(uint32_t space_id, uint64_t lsn)
{
	assert_true(sc_redo_notes_unlogged(notes, space_id, 0, GIB));
	assert_true(sc_redo_notes_unlogged(notes, space_id, lsn - 1, GIB));
	assert_false(sc_redo_notes_unlogged(notes, space_id, lsn, GIB));
	assert_false(sc_redo_notes_unlogged(notes, space_id + 1, 0, GIB));
}

/* ---- tests -----------------------------------------------------------------
 */

static void integers(void **state)
{
	static const uint32_t values[] = {
		0,	    0x7f,	0x80,	    0x3fff,	0x4000,
		0x1fffff,   0x10000000, 0xfeffffff, 0xff000000, 0xfffdffff,
		0xfffe0000, 0xfffffbff, 0xfffffc00, 0xffffffff,
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(values); i++) {
		struct record r = { .len = 8 };
		bool found = false;
		uint32_t got;
		int n;

		put_int(&r, values[i]);
		n = sc_redo_int_read(r.bytes + 8, r.bytes + r.len, &got);
		assert_int_equal(n, r.len - 8);
		assert_int_equal(got, values[i]);
		for (int k = 0; k < n; k++)
			assert_int_equal(sc_redo_int_read(r.bytes + 8,
							  r.bytes + 8 + k,
							  &got),
					 0);
		for (unsigned f = 0; f < SC_REDO_INT_FORMS; f++)
			found |= sc_redo_int_before(r.bytes + r.len, f, &got) ==
					 (size_t)n &&
				 got == values[i];
		assert_true(found);
	}
}

static void integers_that_are_none(void **state)
{
	static const uint8_t bad[][5] = {
		{ 0xf1, 1, 1, 1, 1 }, { 0xf7, 1, 1, 1, 1 },
		{ 0xff, 1, 1, 1, 1 }, { 0x80, 0x7f }, /* too long a form */
		{ 0xc0, 0, 5 },	      { 0xf0, 0, 0, 0, 9 },
	};
	uint32_t v;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++)
		assert_int_equal(sc_redo_int_read(bad[i], bad[i] + 5, &v), -1);
}

/* Each record, at every place of a block and over its border. */
static void every_place(void **state)
{
	/* 0x12345 would do, but its second byte is a type: two notes. */
	static const uint32_t spaces[] = { 5, 0x1234, 0x12645, 0x12345678,
					   0xfffffffe };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(spaces); i++) {
		const struct record records[] = {
			file_record(33, spaces[i], "./d/t.ibd", NULL),
			file_record(33 | 0x80, spaces[i], "./d/t.ibd", NULL),
			file_record(34, spaces[i], "./d/#sql-ib1-2.ibd",
				    "./d/t.ibd"),
			load_record(spaces[i], 4, 160),
			row(1, spaces[i], 300, 161),
			erase_record(spaces[i], 0),
		};

		for (size_t k = 0; k < SC_ARRAY_SIZE(records); k++) {
			for (size_t at = PAYLOAD - 60; at < 2 * PAYLOAD; at++) {
				feed_at(&records[k], at);
				assert_int_equal(total(), 1);
				expect_unlogged(
					spaces[i],
					lsn_behind(at + records[k].len - 1));
				assert_false(sc_redo_notes_deleted(
					notes, spaces[i], 0));
			}
		}
	}
}

static void kinds(void **state)
{
	struct record r = file_record(35 | 0x80, 7, "./d/t.ibd", NULL);

	(void)state;
	feed_at(&r, 100);
	assert_int_equal(counts().deleted, 1);
	assert_true(sc_redo_notes_deleted(notes, 7, 0));
	assert_false(sc_redo_notes_deleted(notes, 8, 0));
	assert_false(sc_redo_notes_unlogged(notes, 7, 0, GIB));
	/* All of such a table is in the redo. */
	r = file_record(34, 7, "./d/a.ibd", "./d/#sql2-x.ibd");
	feed_at(&r, 100);
	assert_int_equal(counts().renamed, 1);
	assert_false(sc_redo_notes_unlogged(notes, 7, 0, GIB));
	r = file_record(33, 0xffffffef, "./undo_001", NULL);
	feed_at(&r, 100);
	assert_int_equal(counts().created, 1);
	r = file_record(33, 9, "/data/more/undo_7.ibu", NULL);
	feed_at(&r, 100);
	assert_int_equal(counts().created, 1);
	r = load_record(9, 4, 70);
	feed_at(&r, 100);
	assert_int_equal(counts().loaded, 1);
	r = row(1, 9, 4, 70);
	feed_at(&r, 100);
	assert_int_equal(counts().built, 1);
	r = erase_record(9, 0);
	feed_at(&r, 100);
	assert_int_equal(counts().decrypted, 1);
	/* Another page, or not all zeroes: the key that a space has. */
	r = erase_record(9, 1);
	feed_at(&r, 100);
	r = erase_record(9, 0);
	r.bytes[r.len - 1] = 1;
	feed_at(&r, 100);
	assert_int_equal(total(), 0);
}

struct asked {
	unsigned n;
	bool answer;
};

static bool judge(void *ctx, uint32_t space_id, uint32_t page,
		  uint64_t index_id)
{
	struct asked *asked = ctx;

	assert_int_equal(space_id, 9);
	assert_int_equal(page, 4);
	assert_int_equal(index_id, 70);
	asked->n++;
	return asked->answer;
}

/* What only looked like an index that was built is forgotten; one that was, and
 * notes of other kinds, are not asked for again. */
static void weeding(void **state)
{
	struct record r = load_record(9, 4, 70);
	struct asked asked = { 0 };

	(void)state;
	feed_at(&r, 100);
	assert_int_equal(sc_redo_notes_weed(notes, judge, &asked), 1);
	assert_int_equal(asked.n, 1);
	assert_false(sc_redo_notes_unlogged(notes, 9, 0, GIB));
	assert_int_equal(sc_redo_notes_weed(notes, judge, &asked), 0);
	assert_int_equal(asked.n, 1);
	again();
	asked.answer = true;
	feed_at(&r, 100);
	assert_int_equal(sc_redo_notes_weed(notes, judge, &asked), 0);
	assert_int_equal(sc_redo_notes_weed(notes, judge, &asked), 0);
	assert_int_equal(asked.n, 2);
	assert_true(sc_redo_notes_unlogged(notes, 9, 0, GIB));
	again();
	r = row(1, 9, 4, 70);
	feed_at(&r, 100);
	assert_int_equal(sc_redo_notes_weed(notes, judge, &asked), 0);
	assert_int_equal(asked.n, 2);
	assert_true(sc_redo_notes_unlogged(notes, 9, 0, GIB));
}

static void long_paths(void **state)
{
	char from[4096], to[4096];
	struct record r;

	(void)state;
	memset(from, 'x', sizeof(from));
	memcpy(from, "./d/#sql", 8);
	strcpy(from + sizeof(from) - 5, ".ibd");
	memset(to, 'y', sizeof(to));
	strcpy(to + sizeof(to) - 5, ".ibd");
	r = file_record(34, 77, from, to);
	for (size_t at = 0; at < 2 * PAYLOAD; at += 31) {
		feed_at(&r, at);
		assert_int_equal(total(), 1);
		expect_unlogged(77, lsn_behind(at + r.len - 1));
	}
}

/* One behind the other, also within what looks like the beginning of one. */
static void many_records(void **state)
{
	struct record r = file_record(34, 3, "./d/#sql-1.ibd", "./d/t.ibd");
	size_t at = 40;
	uint32_t n = 0;

	(void)state;
	/* A record that would be thousands of bytes long. */
	memcpy(stream, (uint8_t[]){ 33, 2, 0, 0, 0, 0, 0, 15, 255 }, 9);
	memset(stream + 9, 'p', 31);
	for (; at + r.len < sizeof(stream); at += r.len) {
		r = file_record(34, 1000 + n++, "./d/#sql-1.ibd", "./d/t.ibd");
		memcpy(stream + at, r.bytes, r.len);
	}
	feed();
	assert_int_equal(counts().renamed, n);
	assert_int_equal(total(), n);
	for (uint32_t i = 0; i < n; i++)
		assert_true(sc_redo_notes_unlogged(notes, 1000 + i, 0, GIB));
	assert_false(sc_redo_notes_unlogged(notes, 1000 + n, 0, GIB));
}

/* What waits for more bytes does not hold up what follows it. */
static void found_at_once(void **state)
{
	struct record r = load_record(5, 4, 160);

	(void)state;
	memcpy(stream, (uint8_t[]){ 33, 2, 0, 0, 0, 0, 0, 15, 255 }, 9);
	memset(stream + 9, 'p', PAYLOAD - 9 - r.len);
	memcpy(stream + PAYLOAD - r.len, r.bytes, r.len);
	feed_block(0, 512);
	assert_int_equal(counts().loaded, 1);
	feed_block(1, 512);
	assert_int_equal(counts().loaded, 1);
	expect_unlogged(5, START + 512 + 12);
}

/* The last block is seen again and again while it grows. */
static void growing_block(void **state)
{
	struct record r = file_record(33, 5, "./d/t.ibd", NULL);
	size_t at = PAYLOAD + 100, end = at + r.len;

	(void)state;
	memcpy(stream + at, r.bytes, r.len);
	feed_block(0, 512);
	for (size_t len = 12; len < 12 + PAYLOAD; len++) {
		feed_block(1, (uint16_t)len);
		feed_block(1, (uint16_t)len);
		assert_int_equal(total(), len >= 12 + 100 + r.len);
	}
	feed_block(1, 512);
	feed_block(2, 512);
	assert_int_equal(total(), 1);
	expect_unlogged(5, START + 512 + 12 + (end - PAYLOAD));
}

/* A record begins in a partial block and ends in the next. */
static void over_a_grown_border(void **state)
{
	struct record r = row(1, 5, 4, 160);

	(void)state;
	for (size_t cut = 1; cut < r.len; cut++) {
		again();
		memset(stream, 1, sizeof(stream));
		memcpy(stream + PAYLOAD - cut, r.bytes, r.len);
		feed_block(0, (uint16_t)(12 + PAYLOAD - cut / 2));
		feed_block(0, 512);
		feed_block(1, 13);
		feed_block(1, 512);
		assert_int_equal(total(), 1);
		assert_int_equal(counts().built, 1);
	}
}

static void pages_beyond(void **state)
{
	struct record r = load_record(5, 1000, 160);

	(void)state;
	feed_at(&r, 100);
	assert_true(sc_redo_notes_unlogged(notes, 5, 0, 16384 * 1001));
	/* The page size is not known: the smallest there is. */
	assert_true(sc_redo_notes_unlogged(notes, 5, 0, 1024 * 1001));
	assert_false(sc_redo_notes_unlogged(notes, 5, 0, 1024 * 1000 - 1));
}

static void newest_counts(void **state)
{
	struct record r = load_record(5, 4, 160);

	(void)state;
	memcpy(stream + 10, r.bytes, r.len);
	memcpy(stream + 3 * PAYLOAD, r.bytes, r.len);
	feed();
	assert_int_equal(counts().loaded, 2);
	expect_unlogged(5, lsn_behind(3 * PAYLOAD));
}

static void nothing_like_it(void **state)
{
	static const struct {
		const char *path;
	} paths[] = { { "./d/t.frm" },
		      { "./d/t.ibdx" },
		      { "./d/\tt.ibd" },
		      { ".ibd" },
		      { "" } };
	struct record r;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(paths); i++) {
		r = file_record(33, 5, paths[i].path, NULL);
		feed_at(&r, 100);
		assert_int_equal(total(), 0);
	}
	r = file_record(33, 5, "./d/t.ibd", NULL);
	r.bytes[2] = 1; /* page */
	feed_at(&r, 100);
	assert_int_equal(total(), 0);
	r = file_record(33, 5, "./d/t.ibd", NULL);
	r.bytes[r.len - 1] = 'x'; /* no NUL */
	feed_at(&r, 100);
	assert_int_equal(total(), 0);
	r = load_record(5, 2, 160);
	feed_at(&r, 100);
	r = load_record(5, 4, 0);
	feed_at(&r, 100);
	r = load_record(5, 4, 1ull << 40);
	feed_at(&r, 100);
	r = row(2, 5, 4, 160); /* DELETE_SPACE */
	feed_at(&r, 100);
	r = row(1, 5, 4, 1ull << 60);
	feed_at(&r, 100);
	r = row(1, 5, 4, 160);
	r.bytes[7] = 0x01; /* roll pointer of an update */
	feed_at(&r, 100);
	r = row(1, 5, 4, 160);
	r.bytes[14] = 1; /* a thread id of 64 bits */
	feed_at(&r, 100);
	assert_int_equal(total(), 0);
}

/* What follows MLOG_INDEX_LOAD begins a mini-transaction. */
static void what_follows(void **state)
{
	static const struct {
		uint8_t bytes[3];
		bool ok;
	} cases[] = {
		{ { 1, 5, 3 }, true },	      { { 0x95, 5, 3 }, true },
		{ { 38, 5, 3 }, false },      { { 76, 0xf8, 0x85 }, true },
		{ { 62, 0xff, 0xff }, true }, { { 0, 5, 3 }, false },
		{ { 31, 5, 3 }, false },      { { 32, 5, 3 }, false },
		{ { 77, 5, 3 }, false },      { { 1, 0xff, 3 }, false },
		{ { 1, 5, 0xf1 }, false },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct record r = load_record(5, 4, 160);

		put(&r, cases[i].bytes, 3);
		feed_at(&r, 100);
		assert_int_equal(total(), cases[i].ok);
	}
}

/* It is one itself: none is before the first that a block names. */
static void inside_of_another(void **state)
{
	struct record r = load_record(5, 4, 160);
	struct sc_err err = SC_ERR_INIT;
	uint8_t block[512];

	(void)state;
	for (uint16_t group = 0; group < 508; group++) {
		again();
		memset(block, 1, sizeof(block));
		memcpy(block + 200, r.bytes, r.len);
		sc_redo_block_seal(block, START, 512, group);
		assert_int_equal(sc_redo_notes_block(notes, block, START, &err),
				 0);
		assert_int_equal(total(), group && group <= 200);
	}
}

/* The last record there is counts at once. */
static void nothing_follows(void **state)
{
	struct record r = load_record(5, 4, 160);

	(void)state;
	memcpy(stream, r.bytes, r.len);
	feed_block(0, (uint16_t)(12 + r.len - 1));
	assert_int_equal(total(), 0);
	feed_block(0, (uint16_t)(12 + r.len));
	assert_int_equal(total(), 1);
	feed_block(0, 512);
	assert_int_equal(total(), 1);
}

/* Nothing is put together over a gap. */
static void gap(void **state)
{
	struct record r = load_record(5, 4, 160);

	(void)state;
	memcpy(stream + PAYLOAD - 5, r.bytes, 5);
	memcpy(stream + 2 * PAYLOAD, r.bytes + 5, r.len - 5);
	feed_block(0, 512);
	feed_block(2, 512);
	assert_int_equal(total(), 0);
}

static void many_tablespaces(void **state)
{
	enum { N = 100000 };
	struct sc_note_set set = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 2 * N; i++) {
		struct sc_note n = { .space_id = i % N, .lsn = i };

		assert_int_equal(sc_note_set_add(&set, &n), 0);
	}
	assert_int_equal(set.n, N);
	for (uint32_t i = 0; i < N; i++) {
		const struct sc_note *n = sc_note_set_next(&set, i, NULL);

		assert_non_null(n);
		assert_int_equal(n->lsn, N + i);
		assert_null(sc_note_set_next(&set, i, n));
	}
	sc_note_set_free(&set);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(integers),
		TEST(integers_that_are_none),
		TEST(every_place),
		TEST(kinds),
		TEST(weeding),
		TEST(long_paths),
		TEST(many_records),
		TEST(found_at_once),
		TEST(growing_block),
		TEST(over_a_grown_border),
		TEST(pages_beyond),
		TEST(newest_counts),
		TEST(nothing_like_it),
		TEST(what_follows),
		TEST(inside_of_another),
		TEST(nothing_follows),
		TEST(gap),
		TEST(many_tablespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
