/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of TLS 1.3: known answers, sizes and padding, damage of every kind,
 * messages that are allowed and that are not. */
#include "daemon/conn.h"
#include "io/base/num.h"
#include "tests/unit/records_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static uint8_t text[1 << 20];
static uint8_t record[FX_RECORD_MAX];

/* ---- known answers: RFC 8448, section 3 ------------------------------------
 */

static const struct {
	const char *secret, *key, *iv;
} known_keys[] = {
	{ "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
	  "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9" },
	{ "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
	  "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984" },
};

/* The client's first records, data and close_notify; the server's data follow
 * its ticket. The data are the numbers 0 to 49. */
static const struct {
	int keys;
	uint64_t seq;
	const char *hex;
	bool ends;
} known_records[] = {
	{ 0, 0,
	  "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
	  false },
	{ 0, 1, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3", true },
	{ 1, 1,
	  "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
	  false },
	{ 1, 2, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9", true },
};

static size_t unhex(const char *hex, uint8_t *ret)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++)
		ret[i] = (uint8_t)strtoul(
			(char[]){ hex[2 * i], hex[2 * i + 1], 0 }, NULL, 16);
	return n;
}

static void known_key_schedule(void **state)
{
	uint8_t secret[SC_TLS_SECRET], want[32], got[32];

	(void)state;
	for (int i = 0; i < 2; i++) {
		unhex(known_keys[i].secret, secret);
		unhex(known_keys[i].key, want);
		assert_int_equal(sc_tls_expand_label(secret, "key", got, 16),
				 0);
		assert_memory_equal(got, want, 16);
		unhex(known_keys[i].iv, want);
		assert_int_equal(sc_tls_expand_label(secret, "iv", got, 12), 0);
		assert_memory_equal(got, want, 12);
	}
	assert_int_equal(sc_tls_expand_label(secret, "thirteen char", got, 12),
			 -1);
	assert_int_equal(sc_tls_expand_label(secret, "key", got, 256), -1);
}

static void use_known_keys(int i)
{
	uint8_t secret[SC_TLS_SECRET];

	unhex(known_keys[i].secret, secret);
	sc_records_free(&fx.r);
	assert_int_equal(sc_records_init(&fx.r, &fx.wire, secret, secret), 0);
}

static void known_records_are_opened(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < 50; i++)
		text[i] = i;
	for (size_t i = 0; i < SC_ARRAY_SIZE(known_records); i++) {
		uint8_t byte;

		use_known_keys(known_records[i].keys);
		fx.r.in.seq = known_records[i].seq;
		fx_put(record, unhex(known_records[i].hex, record));
		if (!known_records[i].ends) {
			fx_expect(text, 50);
			continue;
		}
		assert_int_equal(sc_records_read(&fx.r, &byte, 1, &fx.err), -1);
		assert_int_equal(fx.err.sys_errno, ECONNRESET);
		fx_records_again();
	}
}

static void known_record_is_made(void **state)
{
	struct iovec part = { text, 50 };
	uint8_t want[100], got[100];
	size_t n = unhex(known_records[0].hex, want);

	(void)state;
	for (uint8_t i = 0; i < 50; i++)
		text[i] = i;
	use_known_keys(0);
	assert_int_equal(sc_records_writev(&fx.r, &part, 1, &fx.err), 0);
	assert_int_equal(recv(fx.peer, got, sizeof(got), 0), (int)n);
	assert_memory_equal(got, want, n);
}

/* ---- sizes and padding -----------------------------------------------------
 */

static const size_t sizes[] = { 1, 2, 15, 16, 17, 50, 255, 4096, 16383, 16384 };
static const size_t reads[] = { 1, 2, 3, 16, 100, 16383, 16384, 16385 };

/* All records of one row of sizes, and how many zeroes behind each. */
static size_t put_row(size_t padding)
{
	size_t done = 0;

	for (size_t i = 0; i < SC_ARRAY_SIZE(sizes); i++) {
		size_t room = SC_TLS_PLAIN - sizes[i];

		fx_record(FX_DATA, text + done, sizes[i],
			  SC_MIN(padding, room));
		done += sizes[i];
	}
	return done;
}

static void records_and_reads_of_every_size(void **state)
{
	static const size_t paddings[] = { 0, 1, 2, 255, 16384 };

	(void)state;
	fx_fill(text, sizeof(text), 1);
	/* Zeroes at the end of data are data. */
	memset(text + 10, 0, 30);
	for (size_t p = 0; p < SC_ARRAY_SIZE(paddings); p++) {
		for (size_t i = 0; i < SC_ARRAY_SIZE(reads); i++) {
			size_t total = put_row(paddings[p]), at = 0;

			while (at < total) {
				size_t n = SC_MIN(reads[i], total - at);

				fx_expect(text + at, n);
				at += n;
			}
			assert_int_equal(fx.r.spill_len, 0);
		}
	}
}

static void *put_bytes(void *len)
{
	for (size_t i = 0; i < *(size_t *)len; i++)
		fx_put(record + i, 1);
	return NULL;
}

static void byte_by_byte(void **state)
{
	size_t len = 0;
	pthread_t thread;

	(void)state;
	fx_fill(text, 3000, 2);
	for (int i = 0; i < 3; i++)
		len += fx_make(record + len, FX_DATA, text + 1000 * i, 1000,
			       (size_t)i);
	pthread_create(&thread, NULL, put_bytes, &len);
	fx_expect(text, 3000);
	pthread_join(thread, NULL);
}

/* Records are full whatever parts they are gathered from. */
static void parts_are_gathered(void **state)
{
	static const size_t cut[] = { 0,     0,	    1,	   57,	  57,
				      16400, 30000, 32768, 40000, 40000 };
	struct iovec parts[SC_ARRAY_SIZE(cut)];
	static uint8_t got[SC_TLS_PLAIN];

	(void)state;
	fx_fill(text, 40000, 3);
	for (size_t i = 0; i < SC_ARRAY_SIZE(cut); i++) {
		size_t from = i ? cut[i - 1] : 0;

		parts[i] = (struct iovec){ text + from, cut[i] - from };
	}
	assert_int_equal(
		sc_records_writev(&fx.r, parts, SC_ARRAY_SIZE(cut), &fx.err),
		0);
	for (size_t at = 0; at < 40000; at += SC_TLS_PLAIN) {
		size_t len = sizeof(got);

		assert_int_equal(fx_open(got, &len), FX_DATA);
		assert_int_equal(len, SC_MIN(SC_TLS_PLAIN, 40000 - at));
		assert_memory_equal(got, text + at, len);
	}
}

/* ---- damage ----------------------------------------------------------------
 */

static const uint8_t zeroes[100];

/* Reading fails, nothing is in the buffer, a good record does not help. */
static void expect_nothing(int sys_errno)
{
	uint8_t got[100];

	memset(got, 0, sizeof(got));
	assert_int_equal(sc_records_read(&fx.r, got, 40, &fx.err), -1);
	assert_int_equal(fx.err.code, SC_ER_CLONE_PROTOCOL);
	if (sys_errno >= 0)
		assert_int_equal(fx.err.sys_errno, sys_errno);
	assert_memory_equal(got, zeroes, sizeof(got));
	assert_int_equal(fx.r.spill_len, 0);
	assert_int_equal(sc_records_read(&fx.r, got, 1, &fx.err), -1);
	assert_memory_equal(got, zeroes, sizeof(got));
}

static void every_bit_flipped(void **state)
{
	(void)state;
	fx_fill(text, 40, 4);
	for (size_t bit = 0; bit < (SC_TLS_HEAD + 41 + SC_TLS_TAG) * 8; bit++) {
		size_t len = fx_make(record, FX_DATA, text, 40, 0);

		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* A record that grew waits for more: here it comes. */
		len += fx_make(record + len, FX_DATA, text, 40, 0);
		fx_put(record, len);
		shutdown(fx.peer, SHUT_WR);
		expect_nothing(-1);
		fx_records_again();
	}
}

static void cut_off_at_every_byte(void **state)
{
	(void)state;
	fx_fill(text, 40, 5);
	for (size_t n = 0; n < SC_TLS_HEAD + 41 + SC_TLS_TAG; n++) {
		fx_make(record, FX_DATA, text, 40, 0);
		fx_put(record, n);
		shutdown(fx.peer, SHUT_WR);
		expect_nothing(ECONNRESET);
		fx_records_again();
	}
}

/* Whole records, but not in their turn. */
static void replayed_swapped_and_dropped(void **state)
{
	static const uint8_t orders[][3] = {
		{ 0, 0, 1 }, { 1, 0, 2 }, { 0, 2, 1 }, { 1, 2, 2 }
	};
	uint8_t rec[3][100];
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(orders); i++) {
		for (int k = 0; k < 3; k++)
			len = fx_make(rec[k], FX_DATA, "0123456789", 10, 0);
		for (int k = 0; k < 3; k++)
			fx_put(rec[orders[i][k]], len);
		if (!orders[i][0])
			fx_expect("0123456789", 10);
		fx_expect_dead("bad record mac");
		fx_records_again();
	}
}

/* The error is for good in both directions, and the peer hears of it. */
static void dead_for_good(void **state)
{
	struct iovec part = { text, 10 };
	size_t len = fx_make(record, FX_DATA, text, 10, 0);
	uint8_t got[2];

	(void)state;
	record[len - 1] ^= 1;
	fx_put(record, len);
	fx_expect_dead(
		"data connection: read: decryption failed or bad record mac");
	len = sizeof(got);
	assert_int_equal(fx_open(got, &len), FX_ALERT);
	assert_int_equal(len, 2);
	assert_int_equal(got[0], 2);  /* fatal */
	assert_int_equal(got[1], 20); /* bad_record_mac */
	assert_int_equal(sc_records_writev(&fx.r, &part, 1, &fx.err), -1);
	assert_non_null(strstr(fx.err.msg, "bad record mac"));
	assert_int_equal(recv(fx.peer, got, 1, MSG_DONTWAIT), -1);
}

/* Neither what was asked for nor what was not. */
static void forged_text_is_cleared(void **state)
{
	size_t len = fx_make(record, FX_DATA, "0123456789", 10, 0);

	(void)state;
	memset(fx.r.spill, 0, 10);
	record[len - 1] ^= 1;
	fx_put(record, len);
	fx_expect_dead("bad record mac");
	assert_memory_equal(fx.r.spill, zeroes, 10);
}

/* A send that failed may have cut a record: nothing can follow it. */
static void no_more_after_a_failed_send(void **state)
{
	struct iovec part = { text, sizeof(text) };
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	sc_socket_timeout(fx.fd, 20);
	assert_int_equal(sc_records_writev(&fx.r, &part, 1, &fx.err), -1);
	assert_int_equal(fx.err.sys_errno, EAGAIN);
	while (recv(fx.peer, record, sizeof(record), MSG_DONTWAIT) > 0)
		;
	part = (struct iovec){ text, 1 };
	assert_int_equal(sc_records_writev(&fx.r, &part, 1, &err), -1);
	assert_int_equal(err.sys_errno, EAGAIN);
	assert_int_equal(recv(fx.peer, record, 1, MSG_DONTWAIT), -1);
	/* The other direction goes on. */
	fx_record(FX_DATA, "x", 1, 0);
	fx_expect("x", 1);
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fx_records_setup,                   \
					fx_records_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_key_schedule),
		TEST(known_records_are_opened),
		TEST(known_record_is_made),
		TEST(records_and_reads_of_every_size),
		TEST(byte_by_byte),
		TEST(parts_are_gathered),
		TEST(every_bit_flipped),
		TEST(cut_off_at_every_byte),
		TEST(replayed_swapped_and_dropped),
		TEST(dead_for_good),
		TEST(forged_text_is_cleared),
		TEST(no_more_after_a_failed_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
