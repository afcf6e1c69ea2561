/* SPDX-License-Identifier: GPL-2.0-only */
/* Streams of TLS 1.3 records of any kind and order, authentic, damaged, and
 * noise; from fixed seeds. */
#include "io/base/num.h"
#include "tests/unit/records_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

static void key_update(uint8_t request)
{
	const uint8_t msg[] = { 24, 0, 0, 1, request };

	fx_record(FX_HANDSHAKE, msg, sizeof(msg), 0);
	assert_int_equal(sc_tls_keys_next(&fx.tx), 0);
}

static unsigned dice(unsigned sides)
{
	return (unsigned)rand() % sides;
}

/* Records in any order, all authentic: data come as they were sent, whatever is
 * between them, until something is not allowed. */
static void any_records(unsigned seed)
{
	static uint8_t sent[40 * 3000];
	size_t n = 0;
	bool bad = false;

	srand(seed);
	for (int i = 0; i < 40 && !bad; i++) {
		size_t len = dice(20) ? dice(300) : dice(3000);

		switch (dice(12)) {
		case 0:
			key_update((uint8_t)dice(2));
			break;
		case 1:
			bad = dice(4) == 0;
			if (bad)
				fx_record((uint8_t)(24 + dice(200)), "abc", 3,
					  dice(9));
			break;
		default:
			fx_fill(sent + n, len, seed + (unsigned)i);
			fx_record(FX_DATA, sent + n, len, dice(3) * dice(900));
			n += len;
		}
	}
	for (size_t at = 0; at < n;) {
		size_t want = 1 + dice(dice(2) ? 40 : 5000);
		size_t len = SC_MIN(want, n - at);

		fx_expect(sent + at, len);
		at += len;
	}
	shutdown(fx.peer, SHUT_WR);
	fx_expect_dead(bad ? "unexpected type" : "Connection reset");
}

static void many_authentic_streams(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 300; seed++) {
		any_records(seed);
		fx_records_again();
	}
}

/* Bytes changed, added, left out: what was read is a beginning of what was
 * sent. */
static void damaged_stream(unsigned seed)
{
	static uint8_t sent[20 * 400], wire[20 * 500], got[sizeof(sent) + 1];
	size_t n = 0, len = 0, at, read = 0;

	srand(seed);
	fx_fill(sent, sizeof(sent), seed);
	for (int i = 0; i < 20; i++) {
		size_t k = 1 + dice(400);

		len += fx_make(wire + len, FX_DATA, sent + n, k, dice(50));
		n += k;
	}
	at = dice((unsigned)len);
	switch (dice(3)) {
	case 0:
		wire[at] ^= (uint8_t)(1 + dice(255));
		break;
	case 1:
		memmove(wire + at, wire + at + 1, --len - at);
		break;
	default:
		memmove(wire + at + 1, wire + at, len++ - at);
		wire[at] ^= (uint8_t)(1 + dice(255));
	}
	fx_put(wire, len);
	shutdown(fx.peer, SHUT_WR);
	while (sc_records_read(&fx.r, got + read, 1, &fx.err) == 0)
		assert_true(++read < sizeof(got));
	assert_true(read < n);
	assert_memory_equal(got, sent, read);
}

static void many_damaged_streams(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 1000; seed++) {
		damaged_stream(seed);
		fx_records_again();
	}
}

/* Whatever a stranger sends. */
static void noise(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 1000; seed++) {
		static uint8_t record[2000];

		fx_fill(record, 2000, seed);
		srand(seed);
		/* Half of them begin like a record. */
		if (seed % 2)
			memcpy(record, (uint8_t[]){ 23, 3, 3, dice(3) }, 4);
		fx_put(record, 2000);
		shutdown(fx.peer, SHUT_WR);
		fx_expect_dead("data connection: read");
		fx_records_again();
	}
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fx_records_setup,                   \
					fx_records_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_authentic_streams),
		TEST(many_damaged_streams),
		TEST(noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
