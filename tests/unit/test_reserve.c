/* SPDX-License-Identifier: GPL-2.0-only */
/* The reserve of free space: how large it is, and what happens below it. */
#include "daemon/reserve.h"

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_MS = 350 }; /* several looks */

static struct dir_fixture dir;
static struct sc_config config;
static struct sc_image_request request;
static atomic_uint given_up;
static struct sc_err reason;
static unsigned fds_before, threads_before;

static void give_up(void *ctx, const struct sc_err *why)
{
	assert_ptr_equal(ctx, &reason);
	reason = *why;
	given_up++;
}

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	threads_before = fx_count_threads();
	dir_fixture_open(&dir);
	config = (struct sc_config){ 0 };
	request = (struct sc_image_request){ .config = &config,
					     .datadir = dir.fd,
					     .redo = dir.fd,
					     .give_up = give_up,
					     .ctx = &reason };
	given_up = 0;
	reason = (struct sc_err)SC_ERR_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dir_fixture_close(&dir);
	return fx_count_fds() == fds_before &&
			       fx_threads_at_most(threads_before)
		       ? 0
		       : -1;
}

static uint64_t hundredth(void)
{
	struct statvfs vfs;

	assert_int_equal(fstatvfs(dir.fd, &vfs), 0);
	return (uint64_t)vfs.f_blocks * vfs.f_frsize / 100;
}

/* Redo files and spare ones count by their size, other files do not. */
static void by_default(void **state)
{
	(void)state;
	assert_int_equal(sc_reserve_bytes(&request), hundredth());
	dir_fixture_put(dir.fd, "#ib_redo7", NULL, 3 << 20);
	dir_fixture_put(dir.fd, "#ib_redo8_tmp", NULL, 5 << 20);
	dir_fixture_put(dir.fd, "ibdata1", NULL, 12 << 20);
	assert_int_equal(sc_reserve_bytes(&request), hundredth() + (8 << 20));
}

static void configured(void **state)
{
	char why[SC_WHY_SIZE] = "";

	(void)state;
	config.image_reserve = 1;
	assert_int_equal(sc_reserve_bytes(&request), 1 << 20);
	assert_true(sc_reserve_has_room(&request, why));
	config.image_reserve = UINT32_MAX;
	assert_false(sc_reserve_has_room(&request, why));
	if (!strstr(why, " MiB are free for the data directory, less than the "
			 "reserve of 4294967295 MiB (option image_reserve)"))
		fail_msg("'%s'", why);
}

static void enough(void **state)
{
	struct sc_reserve *reserve = NULL;

	(void)state;
	config.image_reserve = 1;
	assert_int_equal(sc_reserve_start(&request, &reserve, &reason), 0);
	sc_sleep_ms(LONG_MS);
	sc_reserve_stop(reserve);
	assert_int_equal(given_up, 0);
}

static void below(void **state)
{
	struct sc_reserve *reserve = NULL;

	(void)state;
	config.image_reserve = UINT32_MAX;
	assert_int_equal(sc_reserve_start(&request, &reserve, &reason), 0);
	for (int i = 0; i < 10000 && !given_up; i++)
		sc_sleep_ms(1);
	sc_sleep_ms(LONG_MS);
	sc_reserve_stop(reserve);
	assert_int_equal(given_up, 1);
	assert_int_equal(reason.code, SC_ER_CLONE_DISK_SPACE);
	assert_non_null(strstr(reason.msg, "the image of the donor's files was "
					   "given up: "));
}

static void none(void **state)
{
	(void)state;
	sc_reserve_stop(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_default), TEST(configured), TEST(enough),
		TEST(below),	  TEST(none),
	};

	sc_log_setup(SC_LOG_ERROR, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
