/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of a request when the kernel did a part of it, and that the
 * fault engine does what its plan says and nothing else. */
#include "io/base/num.h"
#include "io/engine_impl.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/engine_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- one step --------------------------------------------------------------
 */

/* Answers of the kernel, ended by the one that completes the request. */
static const struct {
	enum sc_io_op op;
	uint64_t off;
	uint32_t len;
	int64_t answers[6], res;
} steps[] = {
	{ SC_IO_READ, 0, 100, { 100 }, 100 },
	{ SC_IO_READ, 0, 100, { 1, 99 }, 100 },
	{ SC_IO_READ, 0, 100, { 40, 0 }, 40 },
	{ SC_IO_READ, 0, 100, { 0 }, 0 },
	{ SC_IO_READ, 0, 0, { 0 }, 0 },
	{ SC_IO_READ, 0, 100, { -EINTR, -EAGAIN, 60, -EINTR, 40 }, 100 },
	{ SC_IO_READ, 0, 100, { 60, -EIO }, -EIO },
	/* A direct read behind a tail that has grown meanwhile. */
	{ SC_IO_READ, 8192, 8192, { 5000, -EINVAL }, 5000 },
	{ SC_IO_READ, 8192, 8192, { 512, -EINVAL }, 512 },
	{ SC_IO_READ, 8192, 8192, { 4096, -EINVAL }, -EINVAL },
	{ SC_IO_READ, 8192, 8192, { -EINVAL }, -EINVAL },
	{ SC_IO_WRITE, 8192, 8192, { 5000, -EINVAL }, -EINVAL },
	{ SC_IO_WRITE, 0, 100, { 100 }, 100 },
	{ SC_IO_WRITE, 0, 100, { 50, 49, 1 }, 100 },
	{ SC_IO_WRITE, 0, 100, { 50, 0 }, -EIO },
	{ SC_IO_WRITE, 0, 0, { 0 }, 0 },
	{ SC_IO_WRITE, 0, 100, { 50, -ENOSPC }, -ENOSPC },
	{ SC_IO_WRITE, 0, 100, { -EAGAIN, -EINTR, 100 }, 100 },
	{ SC_IO_FSYNC, 0, 0, { 0 }, 0 },
	{ SC_IO_FSYNC, 0, 0, { -EINTR, 0 }, 0 },
	{ SC_IO_FSYNC, 0, 0, { -EIO }, -EIO },
};

static void steps_of_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(steps); i++) {
		struct sc_io io = { .op = steps[i].op,
				    .len = steps[i].len,
				    .off = steps[i].off,
				    .done = 77,
				    .res = 77 };
		unsigned n = 0;

		sc_io_begin(&io);
		while (n < 5 && sc_io_step(&io, steps[i].answers[n]))
			n++;
		if (io.res != steps[i].res ||
		    (n < 5 && steps[i].answers[n + 1]))
			fail_msg("case %zu: %lld after answer %u", i,
				 (long long)io.res, n);
	}
}

static void tries_are_bounded(void **state)
{
	struct sc_io io = { .op = SC_IO_READ, .len = 10 };
	unsigned n = 1;

	(void)state;
	sc_io_begin(&io);
	while (sc_io_step(&io, -EAGAIN))
		n++;
	assert_int_equal(n, SC_IO_MAX_TRIES);
	assert_int_equal(io.res, -EAGAIN);
	/* Progress begins the count again. */
	sc_io_begin(&io);
	for (unsigned i = 0; i < 9; i++) {
		for (unsigned k = 1; k < SC_IO_MAX_TRIES; k++)
			assert_true(sc_io_step(&io, -EINTR));
		assert_true(sc_io_step(&io, 1));
	}
	assert_false(sc_io_step(&io, 1));
	assert_int_equal(io.res, 10);
}

/* ---- the fault engine ------------------------------------------------------
 */

enum { FILE_LEN = 100000, REQUESTS = 20, LEN = FILE_LEN / REQUESTS };

static struct dir_fixture dir;
static struct sc_fault_plan plan;
static struct sc_engine *engine;
static uint8_t bytes[FILE_LEN], got[FILE_LEN];
static int fd;

static int setup(void **state)
{
	uint64_t seed = 3;

	(void)state;
	plan = (struct sc_fault_plan){ 0 };
	dir_fixture_open(&dir);
	for (size_t i = 0; i < FILE_LEN; i++)
		bytes[i] = (uint8_t)fx_random(&seed);
	dir_fixture_put(dir.fd, "f", bytes, FILE_LEN);
	fd = openat(dir.fd, "f", O_RDWR | O_CLOEXEC);
	engine = NULL;
	return fd < 0 ? -1 : 0;
}

static void reopen(void)
{
	if (engine)
		engine->ops->destroy(engine);
	plan.seen = plan.injected = 0;
	plan.hit = false;
	engine = sc_engine_fault_new(sc_engine_sync_new(), 4, &plan);
	assert_non_null(engine);
}

static int teardown(void **state)
{
	(void)state;
	if (engine)
		engine->ops->destroy(engine);
	close(fd);
	dir_fixture_close(&dir);
	return 0;
}

/* The file in REQUESTS reads one after the other; the results. */
static void read_all(int64_t res[static REQUESTS])
{
	memset(got, 0, FILE_LEN);
	for (unsigned i = 0; i < REQUESTS; i++)
		res[i] = fx_run(engine, SC_IO_READ, fd, got + i * LEN, LEN,
				i * LEN);
}

static unsigned wrong_bits(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < FILE_LEN; i++)
		n += (unsigned)__builtin_popcount(got[i] ^ bytes[i]);
	return n;
}

static void no_plan(void **state)
{
	int64_t res[REQUESTS];

	(void)state;
	reopen();
	read_all(res);
	assert_int_equal(wrong_bits(), 0);
	assert_int_equal(plan.seen, REQUESTS);
	assert_int_equal(plan.injected, 0);
	assert_false(plan.hit);
}

static void hidden_faults_stay_hidden(void **state)
{
	int64_t res[REQUESTS];

	(void)state;
	plan.partial = 700;
	plan.again = 700;
	plan.reorder = true;
	reopen();
	read_all(res);
	assert_int_equal(wrong_bits(), 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(res[i], LEN);
	assert_true(plan.injected > REQUESTS);
	assert_false(plan.hit);
}

/* The request with that number fails, and no other. */
static void errors_by_number(void **state)
{
	int64_t res[REQUESTS];
	unsigned parts = 0;

	(void)state;
	plan.kind = SC_FAULT_ERROR;
	plan.error = EIO;
	plan.ops = 1 << SC_IO_READ;
	for (plan.at = 1; plan.at <= REQUESTS + 1; plan.at++) {
		plan.seed = plan.at;
		reopen();
		assert_int_equal(fx_run(engine, SC_IO_FSYNC, fd, NULL, 0, 0),
				 0);
		read_all(res);
		for (unsigned i = 0; i < REQUESTS; i++)
			assert_int_equal(res[i], i + 1 == plan.at ? -EIO : LEN);
		assert_int_equal(plan.hit, plan.at <= REQUESTS);
		assert_int_equal(plan.injected, plan.at <= REQUESTS);
		if (plan.at <= REQUESTS)
			parts += got[(plan.at - 1) * LEN] ==
				 bytes[(plan.at - 1) * LEN];
	}
	assert_true(parts > 2 && parts < REQUESTS - 2);
}

static void write_errors(void **state)
{
	struct stat st;
	int64_t res;

	(void)state;
	plan.kind = SC_FAULT_ERROR;
	plan.error = ENOSPC;
	plan.ops = 1 << SC_IO_WRITE;
	for (plan.at = 1; plan.at <= 2; plan.at++) {
		reopen();
		assert_int_equal(ftruncate(fd, 0), 0);
		res = fx_run(engine, SC_IO_WRITE, fd, bytes, FILE_LEN, 0);
		assert_int_equal(res, plan.at == 1 ? -ENOSPC : FILE_LEN);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true(plan.at == 1 ? st.st_size < FILE_LEN
					 : st.st_size == FILE_LEN);
	}
}

static void files_that_end_early(void **state)
{
	int64_t res[REQUESTS];

	(void)state;
	plan.kind = SC_FAULT_END;
	for (plan.at = 1; plan.at <= REQUESTS; plan.at++) {
		reopen();
		read_all(res);
		for (unsigned i = 0; i < REQUESTS; i++)
			assert_true(i + 1 == plan.at
					    ? res[i] >= 0 && res[i] < LEN
					    : res[i] == LEN);
	}
}

static void one_wrong_bit(void **state)
{
	int64_t res[REQUESTS];
	unsigned at;

	(void)state;
	plan.kind = SC_FAULT_FLIP;
	plan.partial = 500;
	for (plan.at = 1; plan.at <= REQUESTS; plan.at++) {
		at = (unsigned)(plan.at - 1) * LEN;
		reopen();
		read_all(res);
		assert_int_equal(wrong_bits(), 1);
		assert_memory_not_equal(got + at, bytes + at, LEN);
	}
}

/* The numbers of four requests in the order they came back, ten times. */
static void order_of(uint64_t seed, unsigned order[static 40])
{
	struct sc_io ios[4];

	plan.seed = seed;
	reopen();
	for (unsigned i = 0; i < 40; i += 4) {
		for (unsigned k = 0; k < 4; k++) {
			ios[k] = (struct sc_io){ .op = SC_IO_READ,
						 .fd = fd,
						 .buf = got + k * LEN,
						 .len = LEN };
			engine->ops->submit(engine, &ios[k]);
		}
		for (unsigned k = 0; k < 4; k++)
			order[i + k] =
				(unsigned)(engine->ops->wait(engine) - ios);
		assert_null(engine->ops->wait(engine));
	}
}

static void order_follows_from_the_seed(void **state)
{
	unsigned a[40], b[40], c[40];

	(void)state;
	plan.reorder = true;
	plan.partial = 300;
	order_of(1, a);
	order_of(1, b);
	order_of(2, c);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, c, sizeof(a));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_of_requests),
		cmocka_unit_test(tries_are_bounded),
		TEST(no_plan),
		TEST(hidden_faults_stay_hidden),
		TEST(errors_by_number),
		TEST(write_errors),
		TEST(files_that_end_early),
		TEST(one_wrong_bit),
		TEST(order_follows_from_the_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
