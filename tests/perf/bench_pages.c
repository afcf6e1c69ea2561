/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Throughput of the CRC and of the page check, one thread, data in the cache
 * of the processor (1 MiB) and in memory (256 MiB).
 * Usage: build/perf/bench_pages (make perf)
 */
#include "io/base/clock.h"
#include "io/crc32c.h"
#include "io/pages.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t sum; /* keeps the compiler from dropping the work */

static void work_crc(const uint8_t *buf, size_t len)
{
	for (size_t at = 0; at < len; at += 16384)
		sum += sc_crc32c(0, buf + at, 16384);
}

static void work_tables(const uint8_t *buf, size_t len)
{
	for (size_t at = 0; at < len; at += 16384)
		sum += sc_crc32c_tables(0, buf + at, 16384);
}

static void work_blocks(const uint8_t *buf, size_t len)
{
	for (size_t at = 0; at < len; at += 512)
		sum += sc_crc32c(0, buf + at, 508);
}

static void work_zero(const uint8_t *buf, size_t len)
{
	sum += sc_is_zero(buf + len, len);
}

static void work_check(const uint8_t *buf, size_t len)
{
	struct sc_page_spec spec = { .physical_size = 16384,
				     .logical_size = 16384 };

	for (size_t at = 0; at < len; at += 16384)
		sum += sc_page_check_at(&spec, buf + at, (uint32_t)(at / 16384),
					NULL);
}

static void make_pages(uint8_t *buf, size_t len)
{
	uint64_t x = 88172645463325252;

	for (size_t at = 0; at < len; at += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sc_store_le64(buf + at, x);
	}
	for (size_t at = 0; at < len; at += 16384) {
		uint8_t *p = buf + at;
		uint32_t crc;

		sc_store_be16(p + 24, 17855);
		memcpy(p + 16380, p + 20, 4);
		crc = sc_crc32c(0, p + 4, 22) ^ sc_crc32c(0, p + 38, 16338);
		sc_store_be32(p, crc);
		sc_store_be32(p + 16376, crc);
	}
}

static void measure(const char *what, void (*work)(const uint8_t *, size_t),
		    const uint8_t *buf, size_t len)
{
	uint64_t start = sc_clock_us(CLOCK_MONOTONIC), us, bytes = 0;

	do {
		work(buf, len);
		bytes += len;
		us = sc_clock_us(CLOCK_MONOTONIC) - start;
	} while (us < 500000);
	printf("%-28s %4zu MiB  %6.2f GB/s\n", what, len >> 20,
	       (double)bytes / (double)us / 1000);
}

int main(void)
{
	static const struct {
		const char *what;
		void (*work)(const uint8_t *, size_t);
	} cases[] = {
		{ "crc32c, 16 KiB", work_crc },
		{ "crc32c tables, 16 KiB", work_tables },
		{ "crc32c, 508 B redo blocks", work_blocks },
		{ "page check, 16 KiB", work_check },
		{ "zero test", work_zero },
	};
	static const size_t sizes[] = { 1 << 20, 256 << 20 };
	uint8_t *buf = calloc(2, sizes[1]);

	if (!buf)
		return 1;
	for (size_t s = 0; s < SC_ARRAY_SIZE(sizes); s++) {
		make_pages(buf, sizes[s]);
		memset(buf + sizes[s], 0, sizes[s]);
		for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++)
			measure(cases[i].what, cases[i].work, buf, sizes[s]);
	}
	free(buf);
	return sum == 42;
}
