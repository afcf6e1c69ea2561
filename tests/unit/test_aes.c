/* SPDX-License-Identifier: GPL-2.0-only */
/* AES-256: the known answers of NIST SP 800-38A, lengths, both directions. */
#include "io/aes.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* NIST SP 800-38A, F.1.5 (ECB-AES256) and F.2.5 (CBC-AES256). */
static const uint8_t key[32] = {
	0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae,
	0xf0, 0x85, 0x7d, 0x77, 0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61,
	0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
};
static const uint8_t plain[32] = {
	0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e,
	0x11, 0x73, 0x93, 0x17, 0x2a, 0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03,
	0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51,
};
static const uint8_t ecb[32] = {
	0xf3, 0xee, 0xd1, 0xbd, 0xb5, 0xd2, 0xa0, 0x3c, 0x06, 0x4b, 0x5a,
	0x7e, 0x3d, 0xb1, 0x81, 0xf8, 0x59, 0x1c, 0xcb, 0x10, 0xd4, 0x10,
	0xed, 0x26, 0xdc, 0x5b, 0xa7, 0x4a, 0x31, 0x36, 0x28, 0x70,
};
static const uint8_t cbc[32] = {
	0xf5, 0x8c, 0x4c, 0x04, 0xd6, 0xe5, 0xf1, 0xba, 0x77, 0x9e, 0xab,
	0xfb, 0x5f, 0x7b, 0xfb, 0xd6, 0x9c, 0xfc, 0x4e, 0x96, 0x7e, 0xdb,
	0x80, 0x8d, 0x67, 0x9f, 0x77, 0x7b, 0xc6, 0x70, 0x2c, 0x7d,
};

static void known_answers(void **state)
{
	struct sc_aes *aes = sc_aes_new();
	uint8_t iv[16], out[32];

	(void)state;
	assert_non_null(aes);
	for (uint8_t i = 0; i < 16; i++)
		iv[i] = i;
	assert_int_equal(sc_aes256_ecb(aes, true, key, plain, out, 32), 0);
	assert_memory_equal(out, ecb, 32);
	assert_int_equal(sc_aes256_ecb(aes, false, key, ecb, out, 32), 0);
	assert_memory_equal(out, plain, 32);
	assert_int_equal(sc_aes256_cbc(aes, true, key, iv, plain, out, 32), 0);
	assert_memory_equal(out, cbc, 32);
	assert_int_equal(sc_aes256_cbc(aes, false, key, iv, cbc, out, 32), 0);
	assert_memory_equal(out, plain, 32);
	sc_aes_free(aes);
}

/* One object, modes and directions mixed, in place: no state is left over. */
static void in_place_and_mixed(void **state)
{
	struct sc_aes *aes = sc_aes_new();
	const uint8_t iv[16] = { 0xff, 7 };
	static uint8_t buf[65536], first[65536];

	(void)state;
	assert_non_null(aes);
	for (size_t len = 0; len <= sizeof(buf); len = len ? len * 2 : 16) {
		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)(i * 7 + len);
		memcpy(first, buf, len);
		assert_int_equal(
			sc_aes256_cbc(aes, true, key, iv, buf, buf, len), 0);
		assert_int_equal(sc_aes256_ecb(aes, true, key, buf, buf, len),
				 0);
		assert_true(!len || memcmp(buf, first, len));
		assert_int_equal(sc_aes256_ecb(aes, false, key, buf, buf, len),
				 0);
		assert_int_equal(
			sc_aes256_cbc(aes, false, key, iv, buf, buf, len), 0);
		assert_memory_equal(buf, first, len);
	}
	sc_aes_free(aes);
}

static void odd_lengths_are_refused(void **state)
{
	struct sc_aes *aes = sc_aes_new();
	uint8_t out[32] = { 0 };

	(void)state;
	assert_non_null(aes);
	for (size_t len = 1; len < 32; len++) {
		if (len == 16)
			continue;
		assert_int_equal(sc_aes256_ecb(aes, true, key, plain, out, len),
				 -EINVAL);
	}
	assert_int_equal(
		sc_aes256_ecb(aes, true, key, plain, out, (size_t)INT_MAX + 1),
		-EINVAL);
	sc_aes_free(aes);
	sc_aes_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(in_place_and_mixed),
		cmocka_unit_test(odd_lengths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
