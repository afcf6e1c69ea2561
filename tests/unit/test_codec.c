/* SPDX-License-Identifier: GPL-2.0-only */
/* Encoding and decoding: bytes, limits, and failures that stay. */
#include "io/base/codec.h"
#include "io/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void bytes_are_little_endian(void **state)
{
	static const uint8_t want[] = {
		1,  3,	2, 7, 6, 5, 4, 15, 14,	13,  12,
		11, 10, 9, 8, 2, 0, 0, 0,  'h', 'i', 'x'
	};
	CLEANUP_ENC struct sc_enc enc = { 0 };

	(void)state;
	sc_enc_u8(&enc, 1);
	sc_enc_u16(&enc, 0x0203);
	sc_enc_u32(&enc, 0x04050607);
	sc_enc_u64(&enc, 0x08090a0b0c0d0e0f);
	sc_enc_str(&enc, "hi");
	sc_enc_raw(&enc, "x", 1);
	assert_false(enc.failed);
	assert_int_equal(enc.len, sizeof(want));
	assert_memory_equal(enc.data, want, sizeof(want));
}

static void everything_comes_back(void **state)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;
	char text[8], raw[3], *dup;

	(void)state;
	sc_enc_u64(&enc, UINT64_MAX);
	sc_enc_u32(&enc, UINT32_MAX);
	sc_enc_u16(&enc, UINT16_MAX);
	sc_enc_u8(&enc, UINT8_MAX);
	sc_enc_str(&enc, "1234567");
	sc_enc_raw(&enc, "a\0b", 3);
	sc_enc_str(&enc, NULL);
	dec = sc_dec_init(enc.data, enc.len);
	assert_true(sc_dec_u64(&dec) == UINT64_MAX);
	assert_true(sc_dec_u32(&dec) == UINT32_MAX);
	assert_int_equal(sc_dec_u16(&dec), UINT16_MAX);
	assert_int_equal(sc_dec_u8(&dec), UINT8_MAX);
	sc_dec_str(&dec, text, sizeof(text));
	assert_string_equal(text, "1234567");
	sc_dec_raw(&dec, raw, 3);
	assert_memory_equal(raw, "a\0b", 3);
	dup = sc_dec_strdup(&dec, 0);
	assert_non_null(dup);
	assert_string_equal(dup, "");
	free(dup);
	assert_int_equal(sc_dec_end(&dec), 0);
}

static void grows(void **state)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		sc_enc_u32(&enc, i);
	assert_false(enc.failed);
	assert_int_equal(enc.len, 400000);
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(sc_load_le32(enc.data + 4 * i), i);
}

/* A failure stays, whatever is left. */
static void short_bodies(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 7; len++) {
		uint8_t *body = malloc(len + !len); /* ASan sees over-reads */
		struct sc_dec dec = sc_dec_init(body, len);

		memset(body, 1, len);
		assert_true(sc_dec_u64(&dec) == 0);
		assert_true(dec.failed);
		assert_int_equal(sc_dec_u8(&dec), 0);
		assert_int_equal(sc_dec_u16(&dec), 0);
		assert_int_equal(sc_dec_u32(&dec), 0);
		assert_int_equal(sc_dec_end(&dec), -1);
		free(body);
	}
}

static void raw_too_short_is_zeroed(void **state)
{
	uint8_t to[4] = { 9, 9, 9, 9 };
	struct sc_dec dec = sc_dec_init("abc", 3);

	(void)state;
	sc_dec_raw(&dec, to, 4);
	assert_true(dec.failed);
	assert_memory_equal(to, "\0\0\0\0", 4);
}

static void rest_is_an_error(void **state)
{
	struct sc_dec dec = sc_dec_init("ab", 2);

	(void)state;
	sc_dec_u8(&dec);
	assert_int_equal(sc_dec_end(&dec), -1);
	sc_dec_u8(&dec);
	assert_int_equal(sc_dec_end(&dec), 0);
}

static const struct string_case {
	uint32_t len;
	const char *bytes;
	size_t n;
	bool ok; /* into 5 bytes */
} string_cases[] = {
	{ 0, "", 0, true },
	{ 4, "abcd", 4, true },
	{ 5, "abcde", 5, false }, /* no room for the NUL */
	{ 4, "abc", 3, false },
	{ 4, "a\0cd", 4, false },
	{ 4, "abc\0", 4, false },
	{ 0xffffffff, "abcd", 4, false },
	{ 0x7fffffff, "a", 1, false },
};

static struct sc_dec string_body(const struct string_case *c, uint8_t *body)
{
	sc_store_le32(body, c->len);
	memcpy(body + 4, c->bytes, c->n);
	return sc_dec_init(body, 4 + c->n);
}

static void strings_into_arrays(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(string_cases); i++) {
		const struct string_case *c = &string_cases[i];
		uint8_t *body = malloc(4 + c->n);
		struct sc_dec dec = string_body(c, body);
		char text[5] = "old";

		sc_dec_str(&dec, text, sizeof(text));
		assert_int_equal(sc_dec_end(&dec), c->ok ? 0 : -1);
		assert_string_equal(text, c->ok ? c->bytes : "");
		free(body);
	}
}

static void strings_allocated(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(string_cases); i++) {
		const struct string_case *c = &string_cases[i];
		uint8_t *body = malloc(4 + c->n);
		struct sc_dec dec = string_body(c, body);
		char *s = sc_dec_strdup(&dec, 4);

		assert_int_equal(s != NULL, c->ok);
		assert_int_equal(sc_dec_end(&dec), c->ok ? 0 : -1);
		if (s)
			assert_string_equal(s, c->bytes);
		free(s);
		free(body);
	}
}

static void failed_encoder_stays(void **state)
{
	struct sc_enc enc = { .failed = true };

	(void)state;
	sc_enc_u64(&enc, 1);
	sc_enc_str(&enc, "x");
	assert_int_equal(enc.len, 0);
	assert_true(enc.failed);
	sc_enc_free(&enc);
	assert_false(enc.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_little_endian),
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(grows),
		cmocka_unit_test(short_bodies),
		cmocka_unit_test(raw_too_short_is_zeroed),
		cmocka_unit_test(rest_is_an_error),
		cmocka_unit_test(strings_into_arrays),
		cmocka_unit_test(strings_allocated),
		cmocka_unit_test(failed_encoder_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
