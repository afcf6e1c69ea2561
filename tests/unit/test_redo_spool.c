/* SPDX-License-Identifier: GPL-2.0-only */
/* The queue between follower and sender. */
#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/redo/spool.h"
#include "tests/unit/redo_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	int dirfd;
	struct sc_redo_spool *s;
};

static struct fixture *open_spool(uint64_t limit)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct sc_err err = SC_ERR_INIT;

	fx->dirfd = redo_fixture_mkdir(fx->dir);
	if (sc_redo_spool_new(fx->dirfd, limit, &fx->s, &err))
		fail_msg("%s", err.msg);
	return fx;
}

static void close_spool(struct fixture *fx)
{
	sc_redo_spool_free(fx->s);
	redo_fixture_rmdir(fx->dir, fx->dirfd);
	free(fx);
}

static void fill(uint8_t *p, uint64_t lsn, size_t len)
{
	for (size_t i = 0; i < len; i += 8)
		sc_store_le64(p + i, (lsn + i) * 0x9e3779b97f4a7c15);
}

static void first_in_first_out(void **state)
{
	struct fixture *fx = open_spool(1 << 20);
	uint8_t in[4096], out[4096];
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_spool_stats st;
	uint64_t lsn;
	bool ended;

	(void)state;
	fill(in, 8192, sizeof(in));
	assert_int_equal(
		sc_redo_spool_read(fx->s, out, 512, 0, &lsn, &ended, &err), 0);
	assert_false(ended);
	assert_int_equal(sc_redo_spool_append(fx->s, 8192, in, 4096, &err), 0);
	assert_int_equal(
		sc_redo_spool_read(fx->s, out, 512, 0, &lsn, &ended, &err),
		512);
	assert_int_equal(lsn, 8192);
	assert_memory_equal(out, in, 512);
	sc_redo_spool_stats(fx->s, &st);
	assert_int_equal(st.queued_bytes, 3584);
	sc_redo_spool_end(fx->s);
	assert_int_equal(sc_redo_spool_read(fx->s, out, sizeof(out), 1000, &lsn,
					    &ended, &err),
			 3584);
	assert_int_equal(lsn, 8704);
	assert_false(ended);
	assert_memory_equal(out, in + 512, 3584);
	assert_int_equal(
		sc_redo_spool_read(fx->s, out, 512, 1000, &lsn, &ended, &err),
		0);
	assert_true(ended);
	close_spool(fx);
}

static void refusals(void **state)
{
	struct fixture *fx = open_spool(64 << 10);
	static uint8_t data[64 << 10];
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_spool *s;

	(void)state;
	assert_int_equal(sc_redo_spool_new(fx->dirfd, 1, &s, &err), -1);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_redo_spool_append(fx->s, 8192, data, 512, &err), 0);
	assert_int_equal(sc_redo_spool_append(fx->s, 8192, data, 512, &err),
			 -1);
	assert_non_null(strstr(err.msg, "LSN 8192 does not follow LSN 8704"));
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(
		sc_redo_spool_append(fx->s, 8704, data, sizeof(data), &err),
		-1);
	assert_int_equal(err.code, SC_ER_CLONE_DISK_SPACE);
	assert_non_null(strstr(err.msg, "recipient is too slow"));
	sc_redo_spool_end(fx->s);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_redo_spool_append(fx->s, 8704, data, 512, &err),
			 -1);
	assert_non_null(strstr(err.msg, "after the end"));
	close_spool(fx);
}

static void wait_ends_in_time(void **state)
{
	struct fixture *fx = open_spool(64 << 10);
	struct sc_err err = SC_ERR_INIT;
	uint64_t lsn, start = sc_now_ms();
	uint8_t out[512];
	bool ended;

	(void)state;
	assert_int_equal(
		sc_redo_spool_read(fx->s, out, 512, 50, &lsn, &ended, &err), 0);
	assert_in_range(sc_now_ms() - start, 45, 10000);
	close_spool(fx);
}

static void *aborter(void *arg)
{
	struct sc_err why = SC_ERR_INIT;

	sc_sleep_ms(20);
	sc_err_set(&why, SC_ER_QUERY_INTERRUPTED, "killed");
	sc_redo_spool_abort(arg, &why);
	return NULL;
}

static void abort_wakes_the_reader(void **state)
{
	struct fixture *fx = open_spool(64 << 10);
	struct sc_err err = SC_ERR_INIT;
	uint8_t out[512] = { 0 };
	pthread_t thread;
	uint64_t lsn;
	bool ended;

	(void)state;
	pthread_create(&thread, NULL, aborter, fx->s);
	assert_int_equal(
		sc_redo_spool_read(fx->s, out, 512, 60000, &lsn, &ended, &err),
		-1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	assert_string_equal(err.msg, "killed");
	pthread_join(thread, NULL);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_redo_spool_append(fx->s, 8192, out, 512, &err), -1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	close_spool(fx);
}

enum { TOTAL = 64 << 20, LIMIT = 8 << 20 };

/* Writes TOTAL bytes in uneven pieces, waiting when the queue is nearly full
 * (a follower would fail instead). */
static void *writer(void *arg)
{
	static uint8_t data[300 << 10];
	struct sc_redo_spool *s = arg;
	struct sc_err err = SC_ERR_INIT;
	uint64_t lsn = 8192, seed = 1;

	while (lsn < 8192 + TOTAL) {
		struct sc_redo_spool_stats st;
		size_t len;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		len = 512 * (1 + (seed >> 33) % 600);
		len = SC_MIN(len, 8192 + TOTAL - lsn);
		fill(data, lsn, len);
		sc_redo_spool_stats(s, &st);
		while (st.queued_bytes + len > LIMIT) {
			sc_sleep_ms(1);
			sc_redo_spool_stats(s, &st);
		}
		if (sc_redo_spool_append(s, lsn, data, len, &err))
			return "append failed";
		lsn += len;
	}
	sc_redo_spool_end(s);
	return NULL;
}

static void two_threads(void **state)
{
	struct fixture *fx = open_spool(LIMIT);
	static uint8_t out[256 << 10], want[256 << 10];
	struct sc_redo_spool_stats st;
	uint64_t lsn, next = 8192;
	bool ended = false;
	pthread_t thread;
	void *problem;

	(void)state;
	pthread_create(&thread, NULL, writer, fx->s);
	while (!ended) {
		struct sc_err err = SC_ERR_INIT;
		int64_t n = sc_redo_spool_read(fx->s, out, sizeof(out), 100,
					       &lsn, &ended, &err);

		if (n < 0)
			fail_msg("%s", err.msg);
		if (!n)
			continue;
		assert_int_equal(lsn, next);
		fill(want, lsn, (size_t)n);
		assert_memory_equal(out, want, n);
		next += (uint64_t)n;
	}
	pthread_join(thread, &problem);
	assert_null(problem);
	assert_int_equal(next, 8192 + TOTAL);
	sc_redo_spool_stats(fx->s, &st);
	assert_int_equal(st.read_bytes, TOTAL);
	assert_int_equal(st.queued_bytes, 0);
	assert_in_range(st.peak_bytes, 512, LIMIT);
	close_spool(fx);
}

static void discarded_is_never_read(void **state)
{
	struct fixture *fx = open_spool(1 << 20);
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_spool_stats st;
	uint8_t data[4096] = { 0 };
	uint64_t lsn;
	bool ended;

	(void)state;
	assert_int_equal(sc_redo_spool_append(fx->s, 8192, data, 4096, &err),
			 0);
	assert_int_equal(
		sc_redo_spool_read(fx->s, data, 512, 0, &lsn, &ended, &err),
		512);
	for (int i = 0; i < 2; i++) {
		sc_redo_spool_discard(fx->s);
		assert_int_equal(sc_redo_spool_read(fx->s, data, 512, 60000,
						    &lsn, &ended, &err),
				 0);
		assert_true(ended);
	}
	sc_redo_spool_stats(fx->s, &st);
	assert_int_equal(st.queued_bytes, 0);
	assert_int_equal(st.read_bytes, 512);
	assert_int_equal(sc_redo_spool_append(fx->s, 12288, data, 512, &err),
			 -1);
	assert_non_null(strstr(err.msg, "after the end"));
	close_spool(fx);
}

enum { PIECE = 4096, DISCARDS = 300 };

static void *reader(void *arg)
{
	struct sc_err err = SC_ERR_INIT;
	uint8_t piece[PIECE];
	bool ended = false;
	uint64_t lsn;

	while (!ended) {
		if (sc_redo_spool_read(arg, piece, PIECE, 60000, &lsn, &ended,
				       &err) < 0)
			return "read failed";
	}
	return NULL;
}

/* At any moment of a read: that is the last one. */
static void discard_beside_the_reader(void **state)
{
	static uint8_t data[1 << 20];

	(void)state;
	for (unsigned i = 0; i < DISCARDS; i++) {
		struct fixture *fx = open_spool(sizeof(data));
		struct sc_redo_spool_stats then, last;
		struct sc_err err = SC_ERR_INIT;
		pthread_t thread;
		void *problem;

		assert_int_equal(sc_redo_spool_append(fx->s, 8192, data,
						      sizeof(data), &err),
				 0);
		pthread_create(&thread, NULL, reader, fx->s);
		do
			sc_redo_spool_stats(fx->s, &then);
		while (then.read_bytes < i % 8 * PIECE);
		sc_redo_spool_discard(fx->s);
		sc_redo_spool_stats(fx->s, &then);
		pthread_join(thread, &problem);
		assert_null(problem);
		sc_redo_spool_stats(fx->s, &last);
		assert_in_range(last.read_bytes - then.read_bytes, 0, PIECE);
		assert_int_equal(last.queued_bytes, 0);
		close_spool(fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_in_first_out),
		cmocka_unit_test(refusals),
		cmocka_unit_test(wait_ends_in_time),
		cmocka_unit_test(abort_wakes_the_reader),
		cmocka_unit_test(two_threads),
		cmocka_unit_test(discarded_is_never_read),
		cmocka_unit_test(discard_beside_the_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
