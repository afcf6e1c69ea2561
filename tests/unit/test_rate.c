/* SPDX-License-Identifier: GPL-2.0-only */
/* The schedule of a rate limit, without waiting for it but once. */
#include "io/rate.h"

#include "io/base/clock.h"
#include "io/base/num.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void no_limit(void **state)
{
	struct sc_rate rate;

	(void)state;
	sc_rate_init(&rate, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(sc_rate_book(&rate, SC_GIB), 0);
	sc_rate_destroy(&rate);
}

/* Turns follow each other at the rate; a quarter of a second is free at first,
 * as if the first had come late. */
static void turns_at_the_rate(void **state)
{
	struct sc_rate rate;
	uint64_t began = sc_clock_us(CLOCK_MONOTONIC), turn = 0;

	(void)state;
	sc_rate_init(&rate, 10);
	for (int i = 0; i < 101; i++)
		turn = sc_rate_book(&rate, SC_MIB);
	assert_in_range(turn - began, 9750000, 9800000);
	sc_rate_destroy(&rate);
}

/* A pause is not made up for, but a quarter of a second. */
static void no_bursts_after_a_pause(void **state)
{
	struct sc_rate rate;
	unsigned free = 0;

	(void)state;
	sc_rate_init(&rate, 100);
	while (!sc_rate_book(&rate, SC_MIB))
		;
	sc_sleep_ms(1000);
	while (!sc_rate_book(&rate, SC_MIB))
		free++;
	assert_in_range(free, 25, 35);
	sc_rate_destroy(&rate);
}

static void stop_ends_a_wait(void **state)
{
	atomic_bool stop = true;
	uint64_t began = sc_now_ms();

	(void)state;
	sc_rate_wait(sc_clock_us(CLOCK_MONOTONIC) + 10000000, &stop);
	assert_true(sc_now_ms() - began < 1000);
	stop = false;
	sc_rate_wait(sc_clock_us(CLOCK_MONOTONIC) + 50000, &stop);
	assert_true(sc_now_ms() - began >= 49);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit),
		cmocka_unit_test(turns_at_the_rate),
		cmocka_unit_test(no_bursts_after_a_pause),
		cmocka_unit_test(stop_ends_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
