/* SPDX-License-Identifier: GPL-2.0-only */
/* The copy: every chunk exactly once, by one or more streams and whatever
 * order the engine has; damaged, torn, short and unreadable files. */
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/copy.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_FILES = 16, MAX_CHUNKS = 64, MAX_STREAMS = 4 };

/* ---- what is copied --------------------------------------------------------
 */

static struct dir_fixture dir;
static struct sc_filelist list;
static uint8_t *content[MAX_FILES]; /* of each file of the list */
static struct sc_err err;

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	int fd = direct ? sc_open_beneath(image->root, path,
					  O_RDONLY | O_DIRECT, 0)
			: -EINVAL;

	return fd == -EINVAL ? sc_open_beneath(image->root, path, O_RDONLY, 0)
			     : fd;
}

static struct sc_image image = { .open_file = open_file, .provider = "test" };

/* Takes the bytes. */
static void add_file(const char *path, enum sc_file_kind kind,
		     const struct sc_page_spec *spec, uint8_t *bytes,
		     size_t len)
{
	content[list.n] = bytes;
	dir_fixture_put(dir.fd, path, bytes, len);
	assert_int_equal(sc_filelist_add(&list, path, kind, len, spec, &err),
			 0);
}

static void add_pages(const char *path, uint32_t flags, uint32_t n_pages)
{
	/* Not the system tablespace, whose rules are others. */
	struct sc_page_spec spec = fx_spec(flags, (uint32_t)list.n + 1);

	add_file(path, SC_FILE_PAGES, &spec, fx_pages(&spec, n_pages, 5000),
		 (size_t)n_pages * spec.physical_size);
}

static void add_bytes(const char *path, size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24 | 1);
	add_file(path, SC_FILE_OPAQUE, NULL, bytes, len);
}

/* ---- where it goes ---------------------------------------------------------
 */

struct recorder {
	struct sc_sink base;
	pthread_mutex_t lock;
	unsigned times[MAX_CHUNKS]; /* each chunk arrived */
	unsigned zeroes;
	unsigned ends[MAX_STREAMS + 1];
	unsigned by_stream[MAX_STREAMS + 1];
	unsigned wrong; /* bytes, digest, length or order */
	int fail_after; /* chunks, -1 = never */
};

/* A block that is left out is zero; and all of them are in a zero chunk. */
static bool map_right(const struct sc_chunk *chunk, const uint8_t *want)
{
	uint32_t at = 0, next = 0, len;

	for (; sc_blockmap_next(&chunk->map, chunk->len, &next, &len);
	     next = at) {
		if (!sc_is_zero(want + at, next - at))
			return false;
		at = next + len;
	}
	return sc_is_zero(want + at, chunk->len - at) &&
	       (at || sc_is_zero(want, chunk->len));
}

static bool chunk_right(const struct sc_chunk *chunk, const void *data)
{
	const struct sc_file *file = &list.files[chunk->file];
	const uint8_t *want = content[chunk->file] + chunk->off;
	uint8_t digest[SC_DIGEST_SIZE];

	if (chunk->off % SC_CHUNK_SIZE || chunk->off >= file->size ||
	    chunk->len != SC_MIN(file->size - chunk->off, SC_CHUNK_SIZE))
		return false;
	sc_digest(want, chunk->len, digest);
	if (memcmp(digest, chunk->digest, sizeof(digest)) != 0)
		return false;
	return !memcmp(data, want, chunk->len) && map_right(chunk, want);
}

static int record_open(struct sc_sink *sink, unsigned stream,
		       struct sc_slots *slots, struct sc_err *e)
{
	(void)sink;
	(void)stream;
	(void)slots;
	(void)e;
	return 0;
}

static void record_close(struct sc_sink *sink, unsigned stream)
{
	(void)sink;
	(void)stream;
}

static int record_chunk(struct sc_sink *sink, unsigned stream,
			struct sc_slot *slot, struct sc_err *e)
{
	struct recorder *r = (struct recorder *)sink;
	const struct sc_chunk *chunk = &slot->chunk;
	bool right = chunk->file < list.n && chunk_right(chunk, slot->buf);
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (right)
		r->times[list.files[chunk->file].first_chunk +
			 chunk->off / SC_CHUNK_SIZE]++;
	r->wrong += !right || r->ends[stream];
	r->by_stream[stream]++;
	r->zeroes += !sc_blockmap_bytes(&chunk->map, chunk->len);
	if (r->fail_after >= 0 && r->fail_after-- == 0)
		rc = sc_err_set(e, SC_ER_CLONE_DONOR, "sink says no");
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static int record_end(struct sc_sink *sink, unsigned stream, struct sc_err *e)
{
	struct recorder *r = (struct recorder *)sink;

	(void)e;
	pthread_mutex_lock(&r->lock);
	r->ends[stream]++;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static const struct sc_sink_ops record_ops = { .stream_open = record_open,
					       .stream_close = record_close,
					       .chunk = record_chunk,
					       .chunks_end = record_end };
static struct recorder recorder;
static struct sc_copy copy;

/* Chunks in flight per stream, as with the default clone_buffer_size. */
#define TEST_DEPTH 4

/* ---- an engine that completes in any order ---------------------------------
 */

struct engine_odd {
	struct sc_engine base;
	struct sc_io *queued[TEST_DEPTH];
	unsigned n, seed;
	int64_t fail_off; /* reads there fail with EIO, -1 = none */
	int64_t tear_off; /* a byte there is wrong as read, once */
};

static void odd_submit(struct sc_engine *engine, struct sc_io *io)
{
	struct engine_odd *e = (struct engine_odd *)engine;

	if (e->n == TEST_DEPTH)
		abort();
	e->queued[e->n++] = io;
}

static void odd_read(struct engine_odd *e, struct sc_io *io)
{
	int64_t at = e->tear_off - (int64_t)io->off;

	io->res = sc_pread_full(io->fd, io->buf, io->len, io->off);
	if (e->fail_off >= 0 && io->off == (uint64_t)e->fail_off)
		io->res = -EIO;
	if (e->tear_off >= 0 && at >= 0 && at < io->res) {
		((uint8_t *)io->buf)[at] ^= 1;
		e->tear_off = -1;
	}
}

static struct sc_io *odd_wait(struct sc_engine *engine)
{
	struct engine_odd *e = (struct engine_odd *)engine;
	struct sc_io *io;
	unsigned i;

	if (!e->n)
		return NULL;
	e->seed = e->seed * 1664525 + 1013904223;
	i = (e->seed >> 16) % e->n;
	io = e->queued[i];
	e->queued[i] = e->queued[--e->n];
	odd_read(e, io);
	return io;
}

static void odd_flush(struct sc_engine *engine)
{
	(void)engine;
}

static void odd_file(struct sc_engine *engine, int fd)
{
	(void)engine;
	(void)fd;
}

static void odd_destroy(struct sc_engine *engine)
{
	free(engine);
}

static struct engine_odd *odd_new(unsigned seed)
{
	static const struct sc_engine_ops ops = { .name = "odd",
						  .submit = odd_submit,
						  .flush = odd_flush,
						  .wait = odd_wait,
						  .attach = odd_file,
						  .detach = odd_file,
						  .destroy = odd_destroy };
	struct engine_odd *e = calloc(1, sizeof(*e));

	e->base.ops = &ops;
	e->seed = seed;
	e->fail_off = e->tear_off = -1;
	return e;
}

/* ---- running it ------------------------------------------------------------
 */

static int setup(void **state)
{
	(void)state;
	dir_fixture_open(&dir);
	image.root = dir.fd;
	err = (struct sc_err)SC_ERR_INIT;
	recorder = (struct recorder){ .base.ops = &record_ops,
				      .lock = PTHREAD_MUTEX_INITIALIZER,
				      .fail_after = -1 };
	memset(&copy, 0, sizeof(copy));
	copy.list = &list;
	copy.image = &image;
	copy.sink = &recorder.base;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < list.n; i++)
		free(content[i]);
	sc_filelist_free(&list);
	dir_fixture_close(&dir);
	return 0;
}

static void again(void)
{
	teardown(NULL);
	setup(NULL);
}

struct run {
	pthread_t thread;
	struct sc_copy *copy;
	unsigned stream;
	struct sc_slots slots;
	struct sc_err err;
	int rc;
};

static void *stream_main(void *arg)
{
	struct run *run = arg;

	run->rc =
		sc_copy_stream(run->copy, &run->slots, run->stream, &run->err);
	return NULL;
}

static void start_run(struct run *run, struct sc_copy *what, unsigned stream,
		      struct sc_engine *engine)
{
	run->copy = what;
	run->stream = stream;
	assert_int_equal(
		sc_slots_init(&run->slots, TEST_DEPTH, engine, &run->err), 0);
	assert_int_equal(pthread_create(&run->thread, NULL, stream_main, run),
			 0);
}

static void end_run(struct run *run)
{
	pthread_join(run->thread, NULL);
	sc_slots_free(&run->slots);
}

/* The result of the copy with one stream; frees the engine. */
static int copy_one(struct sc_engine *engine)
{
	unsigned fds = fx_count_fds();
	struct sc_slots slots;
	int rc = sc_slots_init(&slots, TEST_DEPTH, engine, &err);

	assert_int_equal(rc, 0);
	rc = sc_copy_stream(&copy, &slots, 1, &err);
	assert_null(engine->ops->wait(engine)); /* nothing stays in flight */
	assert_int_equal(slots.n_idle, TEST_DEPTH);
	sc_slots_free(&slots);
	assert_int_equal(fx_count_fds(), fds);
	assert_int_equal(recorder.wrong, 0);
	return rc;
}

static void copy_many(unsigned streams, bool odd)
{
	struct run runs[MAX_STREAMS] = { 0 };

	for (unsigned i = 0; i < streams; i++)
		start_run(&runs[i], &copy, i + 1,
			  odd ? &odd_new(i)->base : sc_engine_sync_new());
	for (unsigned i = 0; i < streams; i++)
		end_run(&runs[i]);
	for (unsigned i = 0; i < streams; i++) {
		if (runs[i].rc < 0)
			fail_msg("stream %u: %s", i + 1, runs[i].err.msg);
		assert_int_equal(recorder.ends[i + 1], 1);
	}
}

static void expect_everything_once(void)
{
	assert_int_equal(recorder.wrong, 0);
	assert_true(list.chunks <= MAX_CHUNKS);
	for (uint64_t i = 0; i < list.chunks; i++)
		if (recorder.times[i] != 1)
			fail_msg("chunk %u came %u times", (unsigned)i,
				 recorder.times[i]);
	assert_true(copy.bytes_read == list.bytes);
}

static void expect_failed(int rc, const char *text)
{
	assert_int_equal(rc, -1);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
	assert_int_equal(recorder.ends[1], 0);
}

/* Sizes around pages, blocks and chunks; 15 chunks. */
static void add_all_kinds(void)
{
	add_pages("ibdata1", FX_FLAGS_PLAIN, 200);
	add_pages("db/empty.ibd", FX_FLAGS_PLAIN, 0);
	add_pages("db/one.ibd", FX_FLAGS_PLAIN, 1);
	add_pages("db/chunk.ibd", FX_FLAGS_PLAIN, 64);
	add_pages("db/zip.ibd", FX_FLAGS_ZIP_1K, 1027);
	add_pages("db/zip7.ibd", FX_FLAGS_ZIP_1K, 7);
	add_bytes("ib_buffer_pool", 4097);
	add_bytes("undo_1_trunc.log", 1);
	add_bytes("empty", 0);
}

/* ---- tests -----------------------------------------------------------------
 */

static void every_chunk_once(void **state)
{
	(void)state;
	for (unsigned streams = 1; streams <= MAX_STREAMS; streams++) {
		for (int odd = 0; odd < 2; odd++) {
			add_all_kinds();
			copy_many(streams, odd);
			expect_everything_once();
			assert_true(copy.pages_checked ==
				    200 + 1 + 64 + 1027 + 7);
			assert_true(copy.pages_reread == 0);
			again();
		}
	}
}

static void nothing_to_copy(void **state)
{
	(void)state;
	assert_int_equal(copy_one(sc_engine_sync_new()), 0);
	assert_int_equal(recorder.ends[1], 1);
	assert_int_equal(recorder.by_stream[1], 0);
}

static void zero_chunks_have_no_data(void **state)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);
	uint8_t *bytes = calloc(4, SC_CHUNK_SIZE);

	(void)state;
	/* A zero chunk, one with a single page, zero chunks to the end. */
	fx_page(&spec, 127, 1, bytes + 2 * SC_CHUNK_SIZE - 16384);
	add_file("db/t.ibd", SC_FILE_PAGES, &spec, bytes, 4 * SC_CHUNK_SIZE);
	assert_int_equal(copy_one(sc_engine_sync_new()), 0);
	expect_everything_once();
	assert_int_equal(recorder.zeroes, 3);
}

/* The part behind the last whole page cannot be checked, but is copied. */
static void sizes_that_are_no_multiple(void **state)
{
	static const size_t extra[] = { 1, 511, 1024, 4095, 4096, 16383 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(extra); i++) {
		struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);
		uint8_t *bytes = fx_pages(&spec, 66, 1);

		add_file("db/t.ibd", SC_FILE_PAGES, &spec, bytes,
			 65 * 16384 + extra[i]);
		/* A part of a page is not passed on. */
		memset(bytes + 65 * 16384, 0, extra[i]);
		if (copy_one(sc_engine_sync_new()) < 0)
			fail_msg("%zu: %s", extra[i], err.msg);
		expect_everything_once();
		assert_true(copy.pages_checked == 65);
		again();
	}
}

/* The server extends a file while it is copied: what was listed is copied. */
static void file_that_grew(void **state)
{
	int fd;

	(void)state;
	add_pages("db/t.ibd", FX_FLAGS_PLAIN, 65);
	add_bytes("log", 5000);
	fd = openat(dir.fd, "db/t.ibd", O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, content[0], 16384), 16384);
	close(fd);
	fd = openat(dir.fd, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, content[0], 16384), 16384);
	close(fd);
	assert_int_equal(copy_one(sc_engine_sync_new()), 0);
	expect_everything_once();
}

static void file_that_shrank(void **state)
{
	static const size_t now[] = { 0, 1, 16384, 65 * 16384, 66 * 16384 - 1 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(now); i++) {
		add_pages("db/t.ibd", FX_FLAGS_PLAIN, 66);
		dir_fixture_put(dir.fd, "db/t.ibd", content[0], now[i]);
		expect_failed(copy_one(&odd_new(1)->base),
			      "db/t.ibd was truncated while it was copied");
		again();
	}
}

static void file_that_vanished(void **state)
{
	(void)state;
	add_pages("db/t.ibd", FX_FLAGS_PLAIN, 130);
	add_pages("db/u.ibd", FX_FLAGS_PLAIN, 1);
	unlinkat(dir.fd, "db/u.ibd", 0);
	expect_failed(copy_one(&odd_new(1)->base), "cannot open db/u.ibd");
	assert_int_equal(err.sys_errno, ENOENT);
}

static void read_error(void **state)
{
	(void)state;
	for (int64_t off = 0; off < 3 << 20; off += 1 << 20) {
		struct engine_odd *e = odd_new((unsigned)off);
		char text[64];

		e->fail_off = off;
		add_pages("db/t.ibd", FX_FLAGS_PLAIN, 192);
		snprintf(text, sizeof(text), "cannot read db/t.ibd at byte %d",
			 (int)off);
		expect_failed(copy_one(&e->base), text);
		assert_int_equal(err.sys_errno, EIO);
		again();
	}
}

/* Torn when it was read, whole when it is read again. */
static void torn_pages_are_read_again(void **state)
{
	static const struct {
		uint32_t flags;
		int64_t off;
	} cases[] = {
		{ FX_FLAGS_PLAIN, 0 },
		{ FX_FLAGS_PLAIN, 16383 },
		{ FX_FLAGS_PLAIN, 100 * 16384 + 50 },
		{ FX_FLAGS_PLAIN, 130 * 16384 - 1 },
		{ FX_FLAGS_ZIP_1K, 1024 * 5 + 40 },
		{ FX_FLAGS_ZIP_1K, 1024 * 129 + 40 }, /* the last, alone in its
							 block */
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct engine_odd *e = odd_new(1);

		e->tear_off = cases[i].off;
		add_pages("db/t.ibd", cases[i].flags, 130);
		if (copy_one(&e->base) < 0)
			fail_msg("case %zu: %s", i, err.msg);
		expect_everything_once();
		assert_true(copy.pages_reread == 1);
		assert_true(copy.pages_checked == 130);
		again();
	}
}

static void damage(unsigned file, size_t at)
{
	int fd = openat(dir.fd, list.files[file].path, O_WRONLY | O_CLOEXEC);
	uint8_t byte = content[file][at] ^ 1;

	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* Damage that stays. Side by side, as each takes the second of all tries: three
 * copies of the same files, each beginning with another one. */
static void damaged_pages_are_named(void **state)
{
	static const char *const want[] = {
		"page 77 of db/a.ibd is corrupted (checksum mismatch, byte 1261568",
		"page 5 of db/b.ibd is corrupted (checksum mismatch, byte 5120)",
		"page 0 of db/c.ibd is corrupted (checksum mismatch, byte 0)",
	};
	struct sc_copy copies[3] = { 0 };
	struct run runs[3] = { 0 };

	(void)state;
	add_pages("db/a.ibd", FX_FLAGS_PLAIN, 78);
	add_pages("db/b.ibd", FX_FLAGS_ZIP_1K, 6);
	add_pages("db/c.ibd", FX_FLAGS_PLAIN, 1);
	damage(0, 77 * 16384 + 8000);
	damage(1, 5 * 1024 + 1000);
	damage(2, 100);
	for (unsigned i = 0; i < 3; i++) {
		copies[i].list = &list;
		copies[i].image = &image;
		copies[i].sink = &recorder.base;
		/* The first chunk of db/a.ibd is sound, its second is not. */
		copies[i].next_chunk = i + 1;
		start_run(&runs[i], &copies[i], i + 1, sc_engine_sync_new());
	}
	for (unsigned i = 0; i < 3; i++) {
		end_run(&runs[i]);
		assert_int_equal(runs[i].rc, -1);
		assert_int_equal(recorder.ends[i + 1], 0);
		if (!strstr(runs[i].err.msg, want[i]))
			fail_msg("'%s', expected '%s'", runs[i].err.msg,
				 want[i]);
	}
	assert_int_equal(recorder.wrong, 0);
}

static void stopped_before(void **state)
{
	(void)state;
	add_all_kinds();
	copy.stop = true;
	expect_failed(copy_one(sc_engine_sync_new()), "copy stopped");
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	assert_int_equal(recorder.by_stream[1], 0);
}

static void *stop_soon(void *arg)
{
	(void)arg;
	sc_sleep_ms(30);
	copy.stop = true;
	return NULL;
}

static uint64_t ms_until_stopped(void)
{
	uint64_t began = sc_now_ms();
	pthread_t thread;

	add_pages("db/t.ibd", FX_FLAGS_PLAIN, 10);
	damage(0, 8000);
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, NULL), 0);
	expect_failed(copy_one(sc_engine_sync_new()), "copy stopped");
	pthread_join(thread, NULL);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	return sc_now_ms() - began;
}

/* Told to stop between the tries, a page is not called corrupted. Without a
 * stop all tries take 1000 ms each time, on a slow machine some do. */
static void stopped_while_a_page_is_bad(void **state)
{
	uint64_t took = ms_until_stopped();

	(void)state;
	for (int i = 0; i < 9 && took >= 500; i++) {
		again();
		took = ms_until_stopped();
	}
	assert_true(took < 500);
}

static void sink_that_fails(void **state)
{
	(void)state;
	for (int n = 0; n < 8; n++) {
		add_all_kinds();
		recorder.fail_after = n;
		expect_failed(copy_one(&odd_new((unsigned)n)->base),
			      "sink says no");
		assert_int_equal(recorder.by_stream[1], n + 1);
		again();
	}
}

static void encrypted_page(void **state)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_ENCRYPTED, 3);
	uint8_t *bytes = fx_pages(&spec, 3, 1);

	(void)state;
	sc_store_be16(bytes + 2 * 16384 + 24, SC_PAGE_TYPE_ENCRYPTED);
	add_file("db/t.ibd", SC_FILE_PAGES, &spec, bytes, 3 * 16384);
	expect_failed(copy_one(sc_engine_sync_new()),
		      "page 2 of db/t.ibd is encrypted");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_chunk_once),
		TEST(nothing_to_copy),
		TEST(zero_chunks_have_no_data),
		TEST(sizes_that_are_no_multiple),
		TEST(file_that_grew),
		TEST(file_that_shrank),
		TEST(file_that_vanished),
		TEST(read_error),
		TEST(torn_pages_are_read_again),
		TEST(damaged_pages_are_named),
		TEST(stopped_before),
		TEST(stopped_while_a_page_is_bad),
		TEST(sink_that_fails),
		TEST(encrypted_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
