/* SPDX-License-Identifier: GPL-2.0-only */
/* What may come in records of TLS 1.3 besides data, and what may not. */
#include "io/base/num.h"
#include "tests/unit/records_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

static uint8_t record[FX_RECORD_MAX];

static void key_update(uint8_t request)
{
	const uint8_t msg[] = { 24, 0, 0, 1, request };

	fx_record(FX_HANDSHAKE, msg, sizeof(msg), 0);
	assert_int_equal(sc_tls_keys_next(&fx.tx), 0);
}

static void say(const char *data)
{
	struct iovec part = { (void *)data, strlen(data) };

	if (sc_records_writev(&fx.r, &part, 1, &fx.err) < 0)
		fail_msg("'%s'", fx.err.msg);
}

/* The next record of ours is this message or data. */
static void expect_sent(uint8_t type, const void *data, size_t n)
{
	uint8_t got[100];
	size_t len = sizeof(got);

	assert_int_equal(fx_open(got, &len), type);
	assert_int_equal(len, n);
	assert_memory_equal(got, data, n);
}

static void expect_alert(uint8_t alert)
{
	const uint8_t msg[] = { 2, alert };

	expect_sent(FX_ALERT, msg, sizeof(msg));
}

/* ---- shapes ----------------------------------------------------------------
 */

/* Plain text of a record with its type, and what becomes of it. */
static const struct {
	size_t inner;
	const char *text; /* NULL: taken */
} lengths[] = {
	{ 1, NULL },
	{ SC_TLS_PLAIN + 1, NULL },
	{ SC_TLS_PLAIN + 2, "data of TLS record is too long" },
	{ SC_TLS_CIPHER - SC_TLS_TAG, "data of TLS record is too long" },
	{ SC_TLS_CIPHER - SC_TLS_TAG + 1, "TLS record is too long" },
	{ UINT16_MAX - SC_TLS_TAG, "TLS record is too long" },
};

static void lengths_of_records(void **state)
{
	static uint8_t data[UINT16_MAX];

	(void)state;
	for (size_t i = 0; i < 2 * SC_ARRAY_SIZE(lengths); i++) {
		size_t n = lengths[i / 2].inner - 1;
		size_t padding = i % 2 ? n : 0; /* of nothing but it */

		fx_record(FX_DATA, data, n - padding, padding);
		if (lengths[i / 2].text) {
			fx_expect_dead(lengths[i / 2].text);
			expect_alert(22);
		} else {
			fx_record(FX_DATA, "x", 1, 0);
			if (!padding)
				fx_expect(data, n);
			fx_expect("x", 1);
		}
		fx_records_again();
	}
}

static void too_short_for_a_tag(void **state)
{
	(void)state;
	for (uint8_t n = 0; n <= SC_TLS_TAG; n++) {
		const uint8_t rec[SC_TLS_HEAD + SC_TLS_TAG] = { 23, 3, 3, 0,
								n };

		fx_put(rec, sizeof(rec));
		fx_expect_dead("TLS record is too short");
		fx_records_again();
	}
}

static void types_of_records(void **state)
{
	(void)state;
	for (int type = 0; type < 256; type++) {
		size_t len = fx_make(record, FX_DATA, "x", 1, 0);

		record[0] = (uint8_t)type;
		fx_put(record, len);
		if (type == FX_DATA) {
			fx_expect("x", 1);
			continue;
		}
		/* Plain alerts and change_cipher_spec too. */
		fx_expect_dead("wrong type of TLS record");
		expect_alert(10);
		fx_records_again();
	}
}

static void types_within_records(void **state)
{
	(void)state;
	for (int type = 0; type < 256; type++) {
		if (type == FX_DATA || type == FX_ALERT || type == FX_HANDSHAKE)
			continue;
		fx_record((uint8_t)type, type ? "x" : NULL, type != 0, 3);
		fx_expect_dead(type ? "unexpected type of TLS record"
				    : "TLS record without a type");
		expect_alert(10);
		fx_records_again();
	}
}

static void old_versions(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		size_t len = fx_make(record, FX_DATA, "x", 1, 0);

		sc_store_be16(record + 1, (uint16_t)(0x0300 + i + (i == 3)));
		fx_put(record, len);
		fx_expect_dead("wrong version of TLS record");
		fx_records_again();
	}
}

/* ---- nothing, much of it ---------------------------------------------------
 */

static void records_without_data(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		for (int round = 0; round < 2; round++) {
			for (int i = 0; i < SC_TLS_MAX_IDLE + round; i++) {
				if (kind == 0)
					fx_record(FX_DATA, NULL, 0, 0);
				else if (kind == 1)
					key_update(0);
				else
					fx_record(FX_ALERT, "\1\132", 2, 0);
			}
			fx_record(FX_DATA, "x", 1, 0);
			if (round)
				fx_expect_dead("too many TLS records without");
			else
				fx_expect("x", 1);
		}
		fx_records_again();
	}
}

/* ---- new keys --------------------------------------------------------------
 */

static const uint8_t our_update[] = { 24, 0, 0, 1, 0 };

static void keys_of_the_peer(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		fx_record(FX_DATA, "before", 6, 0);
		key_update(0);
		fx_record(FX_DATA, "after", 5, 0);
		fx_expect("beforeafter", 11);
	}
	/* Nobody asked us. */
	say("data");
	expect_sent(FX_DATA, "data", 4);
}

static void keys_that_are_asked_for(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		key_update(1);
		key_update(1); /* one answer for both */
		fx_record(FX_DATA, "x", 1, 0);
		fx_expect("x", 1);
		assert_int_equal(recv(fx.peer, record, 1, MSG_DONTWAIT), -1);
		say("data");
		expect_sent(FX_HANDSHAKE, our_update, 5);
		assert_int_equal(sc_tls_keys_next(&fx.rx), 0);
		expect_sent(FX_DATA, "data", 4);
		say("more");
		expect_sent(FX_DATA, "more", 4);
	}
}

/* A sender whose keys the kernel has cannot answer. */
static void keys_the_kernel_has(void **state)
{
	(void)state;
	sc_tls_keys_free(&fx.r.out);
	key_update(0);
	fx_record(FX_DATA, "x", 1, 0);
	fx_expect("x", 1);
	key_update(1);
	fx_expect_dead("the kernel's TLS cannot change them");
}

static void new_keys_before_the_limit(void **state)
{
	(void)state;
	fx.r.out.seq = fx.rx.seq = SC_TLS_KEY_RECORDS - 1;
	say("last");
	expect_sent(FX_DATA, "last", 4);
	say("first");
	expect_sent(FX_HANDSHAKE, our_update, 5);
	assert_int_equal(sc_tls_keys_next(&fx.rx), 0);
	expect_sent(FX_DATA, "first", 5);
	assert_int_equal(fx.r.out.seq, 1);
}

static const struct {
	const char *msg;
	size_t len;
	const char *text;
	uint8_t alert;
} bad_handshakes[] = {
	{ "", 0, "unexpected TLS handshake", 10 },
	{ "\30\0\0\1", 4, "unexpected TLS handshake", 10 },
	{ "\30\0\0\1\0\0", 6, "unexpected TLS handshake", 10 },
	{ "\30\0\0\1\0\30\0\0\1\0", 10, "unexpected TLS handshake", 10 },
	{ "\30\0\0\2\0\0", 6, "unexpected TLS handshake", 10 },
	{ "\30\0\1\1\0", 5, "unexpected TLS handshake", 10 },
	{ "\30\0\0\1\2", 5, "malformed TLS KeyUpdate", 50 },
	{ "\30\0\0\1\377", 5, "malformed TLS KeyUpdate", 50 },
	{ "\4\0\0\1\0", 5, "unexpected TLS handshake", 10 },  /* a ticket */
	{ "\1\0\0\1\0", 5, "unexpected TLS handshake", 10 },  /* ClientHello */
	{ "\15\0\0\1\0", 5, "unexpected TLS handshake", 10 }, /* certificate? */
	{ "\0\0\0\0\0", 5, "unexpected TLS handshake", 10 },
};

static void other_handshake_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad_handshakes); i++) {
		fx_record(FX_HANDSHAKE, bad_handshakes[i].msg,
			  bad_handshakes[i].len, 0);
		fx_expect_dead(bad_handshakes[i].text);
		expect_alert(bad_handshakes[i].alert);
		fx_records_again();
	}
}

/* Under the old keys after a KeyUpdate, or the new ones before it. */
static void keys_at_the_wrong_time(void **state)
{
	(void)state;
	fx_record(FX_HANDSHAKE, our_update, 5, 0);
	fx_record(FX_DATA, "x", 1, 0);
	fx_expect_dead("bad record mac");
	fx_records_again();
	assert_int_equal(sc_tls_keys_next(&fx.tx), 0);
	fx_record(FX_DATA, "x", 1, 0);
	fx_expect_dead("bad record mac");
}

/* ---- alerts ----------------------------------------------------------------
 */

static void close_notify(void **state)
{
	(void)state;
	for (uint8_t level = 1; level <= 2; level++) {
		const uint8_t msg[] = { level, 0 };

		fx_record(FX_DATA, "data", 4, 0);
		fx_record(FX_ALERT, msg, 2, level);
		/* RFC 8446 6.1: what follows is ignored. */
		fx_record(FX_DATA, "more", 4, 0);
		fx_expect("data", 4);
		fx_expect_dead("data connection: read: Connection reset");
		say("last words");
		expect_sent(FX_DATA, "last words", 10);
		fx_records_again();
	}
}

static void alerts_that_end(void **state)
{
	(void)state;
	for (int alert = 1; alert < 256; alert++) {
		const uint8_t msg[] = { 1 + alert % 2, (uint8_t)alert };
		char want[50];

		if (alert == 90)
			continue;
		fx_record(FX_ALERT, msg, 2, 0);
		snprintf(want, sizeof(want), "TLS alert %d", alert);
		fx_expect_dead(want);
		/* No answer. */
		assert_int_equal(recv(fx.peer, record, 1, MSG_DONTWAIT), -1);
		fx_records_again();
	}
}

static void malformed_alerts(void **state)
{
	(void)state;
	for (size_t n = 0; n < 7; n++) {
		if (n == 2)
			continue;
		fx_record(FX_ALERT, "\1\132\1\132\1\132", n, 0);
		fx_expect_dead("malformed TLS alert");
		expect_alert(50);
		fx_records_again();
	}
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fx_records_setup,                   \
					fx_records_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lengths_of_records),
		TEST(too_short_for_a_tag),
		TEST(types_of_records),
		TEST(types_within_records),
		TEST(old_versions),
		TEST(records_without_data),
		TEST(keys_of_the_peer),
		TEST(keys_that_are_asked_for),
		TEST(keys_the_kernel_has),
		TEST(new_keys_before_the_limit),
		TEST(other_handshake_messages),
		TEST(keys_at_the_wrong_time),
		TEST(close_notify),
		TEST(alerts_that_end),
		TEST(malformed_alerts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
