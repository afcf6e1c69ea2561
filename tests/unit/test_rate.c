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
	uint64_t turn = 0;

	(void)state;
	sc_rate_init(&rate, 10);
	for (int i = 0; i < 101; i++)
		turn = sc_rate_book(&rate, SC_MIB);
	assert_in_range(sc_rate_until(&rate, turn), 9500000, 9750000);
	sc_rate_destroy(&rate);
}

/* So many MiB are booked beyond the limit; the turn of the last one. */
static uint64_t book_ahead(struct sc_rate *rate, unsigned mib)
{
	uint64_t turn = 0;

	while (!sc_rate_book(rate, SC_MIB))
		;
	while (mib--)
		turn = sc_rate_book(rate, SC_MIB);
	return turn;
}

/* Who waits, waits for the bytes before him, at the rate of now. */
static void another_rate(void **state)
{
	struct sc_rate rate;
	uint64_t turn, next;

	(void)state;
	sc_rate_init(&rate, 10);
	turn = book_ahead(&rate, 100);
	assert_in_range(sc_rate_until(&rate, turn), 9500000, 10100000);
	sc_rate_set(&rate, 100);
	assert_in_range(sc_rate_until(&rate, turn), 900000, 1010000);
	next = sc_rate_book(&rate, SC_MIB);
	assert_in_range(sc_rate_until(&rate, next), 900000, 1020000);
	sc_rate_set(&rate, 1);
	assert_in_range(sc_rate_until(&rate, turn), 85000000, 101000000);
	assert_true(sc_rate_until(&rate, next) > sc_rate_until(&rate, turn));
	sc_rate_destroy(&rate);
}

/* Without a limit all go at once, and owe nothing when there is one again. */
static void limits_come_and_go(void **state)
{
	struct sc_rate rate;
	uint64_t turn;

	(void)state;
	sc_rate_init(&rate, 10);
	turn = book_ahead(&rate, 100);
	sc_rate_set(&rate, 0);
	assert_int_equal(sc_rate_until(&rate, turn), 0);
	assert_int_equal(sc_rate_book(&rate, SC_GIB), 0);
	sc_rate_set(&rate, 10);
	assert_int_equal(sc_rate_until(&rate, turn), 0);
	assert_int_equal(sc_rate_book(&rate, SC_MIB), 0);
	turn = sc_rate_book(&rate, SC_MIB);
	assert_in_range(sc_rate_until(&rate, turn), 1, 100000);
	sc_rate_set(&rate, 10);
	assert_in_range(sc_rate_until(&rate, turn), 1, 100000);
	sc_rate_destroy(&rate);
}

/* The highest limit, after days. */
static void no_overflow(void **state)
{
	struct sc_rate rate;
	uint64_t turn;

	(void)state;
	sc_rate_init(&rate, 1048576);
	rate.since_us -= SC_MIN(rate.since_us, 10ull * 24 * 3600 * 1000000);
	turn = book_ahead(&rate, 1048576 / 4);
	assert_in_range(sc_rate_until(&rate, turn), 1, 260000);
	sc_rate_destroy(&rate);
}

struct waiter {
	struct sc_rate *rate;
	uint64_t turn;
	atomic_bool stop;
};

static void *wait_for_turn(void *arg)
{
	struct waiter *w = arg;

	sc_rate_wait(w->rate, w->turn, &w->stop);
	return NULL;
}

/* A stream that waits goes on when the limit is raised. */
static void a_wait_ends_sooner(void **state)
{
	struct sc_rate rate;
	struct waiter w = { .rate = &rate };
	uint64_t began = sc_now_ms();
	pthread_t thread;

	(void)state;
	sc_rate_init(&rate, 1);
	w.turn = book_ahead(&rate, 100);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_turn, &w), 0);
	sc_sleep_ms(20);
	sc_rate_set(&rate, 1000);
	pthread_join(thread, NULL);
	assert_in_range(sc_now_ms() - began, 20, 10000);
	sc_rate_destroy(&rate);
}

/* A pause is not made up for, but a quarter of a second. */
static void no_bursts_after_a_pause(void **state)
{
	struct sc_rate rate;
	unsigned free = 0;
	uint64_t began;

	(void)state;
	sc_rate_init(&rate, 100);
	while (!sc_rate_book(&rate, SC_MIB))
		;
	sc_sleep_ms(1000);
	began = sc_now_ms();
	while (!sc_rate_book(&rate, SC_MIB))
		free++;
	/* One more in each 10 ms that this took. */
	assert_in_range(free, 25, 35 + (sc_now_ms() - began) / 10);
	sc_rate_destroy(&rate);
}

static void stop_ends_a_wait(void **state)
{
	atomic_bool stop = true;
	struct sc_rate rate;
	uint64_t began = sc_now_ms(), turn;

	(void)state;
	sc_rate_init(&rate, 1);
	turn = book_ahead(&rate, 100);
	sc_rate_wait(&rate, turn, &stop);
	assert_true(sc_now_ms() - began < 10000);
	sc_rate_set(&rate, 1000);
	stop = false;
	sc_rate_wait(&rate, turn, &stop);
	assert_true(sc_now_ms() - began >= 90);
	sc_rate_destroy(&rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit),
		cmocka_unit_test(turns_at_the_rate),
		cmocka_unit_test(another_rate),
		cmocka_unit_test(limits_come_and_go),
		cmocka_unit_test(no_overflow),
		cmocka_unit_test(a_wait_ends_sooner),
		cmocka_unit_test(no_bursts_after_a_pause),
		cmocka_unit_test(stop_ends_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
