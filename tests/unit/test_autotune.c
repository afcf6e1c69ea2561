/* SPDX-License-Identifier: GPL-2.0-only */
/* The number of streams, with time and bytes made up. */
#include "io/autotune.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

/* Run 10 s of a job whose rate with n streams is rates[n] bytes per ms. */
static unsigned settle(unsigned max, bool enabled, const unsigned rates[65])
{
	struct sc_autotune at;
	uint64_t bytes = 0;

	sc_autotune_init(&at, 2, max, enabled, 1000);
	for (uint64_t ms = 1000; ms < 11000; ms += 50) {
		unsigned before = at.now;

		bytes += rates[at.now] * 50ull;
		assert_true(sc_autotune_step(&at, bytes, ms + 50) >= before);
		assert_true(at.now <= max);
	}
	return at.now;
}

static void all_at_once_when_off(void **state)
{
	struct sc_autotune at;

	(void)state;
	sc_autotune_init(&at, 2, 16, false, 0);
	assert_int_equal(at.now, 16);
	assert_int_equal(sc_autotune_step(&at, 1, 10000), 16);
}

static void one_is_enough(void **state)
{
	struct sc_autotune at;

	(void)state;
	sc_autotune_init(&at, 2, 1, true, 0);
	assert_int_equal(at.now, 1);
	assert_true(at.settled);
}

static void begins_with_the_first(void **state)
{
	struct sc_autotune at;

	(void)state;
	for (unsigned first = 1; first <= 4; first++) {
		sc_autotune_init(&at, first, 16, true, 0);
		assert_int_equal(at.now, first);
		assert_int_equal(sc_autotune_step(&at, 1000, 1000), 2 * first);
	}
}

static void grows_while_it_pays(void **state)
{
	unsigned rates[65];

	(void)state;
	for (unsigned n = 0; n <= 64; n++)
		rates[n] = 1000 * (n < 8 ? n : 8);
	/* 16 were tried and brought nothing. */
	assert_int_equal(settle(64, true, rates), 16);
	assert_int_equal(settle(8, true, rates), 8);
	assert_int_equal(settle(5, true, rates), 5);
}

static void stays_when_it_does_not_pay(void **state)
{
	unsigned rates[65];

	(void)state;
	for (unsigned n = 0; n <= 64; n++)
		rates[n] = 1000;
	assert_int_equal(settle(64, true, rates), 4);
}

static void waits_for_the_first_bytes(void **state)
{
	unsigned rates[65] = { 0 };

	(void)state;
	assert_int_equal(settle(64, true, rates), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_at_once_when_off),
		cmocka_unit_test(one_is_enough),
		cmocka_unit_test(begins_with_the_first),
		cmocka_unit_test(grows_while_it_pays),
		cmocka_unit_test(stays_when_it_does_not_pay),
		cmocka_unit_test(waits_for_the_first_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
