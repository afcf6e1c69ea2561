/* SPDX-License-Identifier: GPL-2.0-only */
/* CRC-32C: known answers, every length and alignment against a bitwise CRC. */
#include "io/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bitwise(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

static void known_answers(void **state)
{
	uint8_t buf[32];

	(void)state;
	assert_int_equal(sc_crc32c(0, "", 0), 0);
	assert_int_equal(sc_crc32c(0, "123456789", 9), 0xe3069283);
	/* RFC 3720 appendix B.4 */
	memset(buf, 0, sizeof(buf));
	assert_int_equal(sc_crc32c(0, buf, 32), 0x8a9136aa);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(sc_crc32c(0, buf, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		buf[i] = i;
	assert_int_equal(sc_crc32c(0, buf, 32), 0x46dd794e);
}

static void check_len(const uint8_t *p, size_t len)
{
	uint32_t want = bitwise(0, p, len);

	assert_int_equal(sc_crc32c(0, p, len), want);
	assert_int_equal(sc_crc32c_tables(0, p, len), want);
}

static void every_length_and_alignment(void **state)
{
	static uint8_t buf[70000];
	static const size_t big[] = { 4031, 4032,  4033,  4050,	 8146,
				      8191, 16338, 32722, 65490, 65536 };

	(void)state;
	fill(buf, sizeof(buf), 1);
	for (size_t len = 0; len < 1100; len++)
		check_len(buf + len % 9, len);
	for (size_t i = 0; i < sizeof(big) / sizeof(big[0]); i++)
		check_len(buf + i, big[i]);
}

static void continues(void **state)
{
	static uint8_t buf[9000];
	uint32_t whole;

	(void)state;
	fill(buf, sizeof(buf), 2);
	whole = sc_crc32c(0, buf, sizeof(buf));
	for (size_t cut = 0; cut <= sizeof(buf); cut += 37) {
		uint32_t crc = sc_crc32c(0, buf, cut);

		crc = sc_crc32c(crc, buf + cut, sizeof(buf) - cut);
		assert_int_equal(crc, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(every_length_and_alignment),
		cmocka_unit_test(continues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
