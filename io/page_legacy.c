/* SPDX-License-Identifier: GPL-2.0-only */
/* Page checksums of other settings and times. Slow and rarely needed. */
#include "io/page_legacy.h"

#include "io/base/num.h"
#include "io/crc32c.h"

/* BUF_NO_CHECKSUM_MAGIC. Source: storage/innobase/include/buf0types.h. */
static const uint32_t no_checksum_magic = 0xdeadbeef;

enum { OFF_LSN = 16, OFF_FLUSH_LSN = 26, OFF_DATA = 38, TRAILER = 8 };

/* Source: ut::hash_binary_ib() in ut0rnd.h. */
static uint32_t hash_innodb(const uint8_t *p, size_t len)
{
	uint32_t h = 0;

	for (; len; p++, len--)
		h = ((((h ^ *p ^ 1653893711u) << 8) + h) ^ 1463735687u) + *p;
	return h;
}

static bool innodb_valid(const uint8_t *p, uint32_t size)
{
	uint32_t sum1 = sc_load_be32(p);
	uint32_t sum2 = sc_load_be32(p + size - TRAILER);

	if (sum2 != sc_load_be32(p + OFF_LSN) &&
	    sum2 != hash_innodb(p, OFF_FLUSH_LSN))
		return false;
	return sum1 == 0 ||
	       sum1 == hash_innodb(p + 4, OFF_FLUSH_LSN - 4) +
			       hash_innodb(p + OFF_DATA,
					   size - OFF_DATA - TRAILER);
}

/*
 * CRC-32C with each aligned group of eight bytes taken in reverse order.
 * Alignment is that of a page in the server's memory, thus counted from the
 * start of the page. Source: ut_crc32_legacy_big_endian() in ut/crc32.cc.
 */
static uint32_t crc_big_endian(const uint8_t *page, uint32_t off, uint32_t len)
{
	uint32_t lead = SC_MIN(len, -off & 7);
	uint32_t crc = sc_crc32c(0, page + off, lead);
	const uint8_t *p = page + off + lead;

	for (len -= lead; len >= 8; p += 8, len -= 8) {
		uint64_t swapped = __builtin_bswap64(sc_load_le64(p));
		uint8_t group[8];

		sc_store_le64(group, swapped);
		crc = sc_crc32c(crc, group, 8);
	}
	return sc_crc32c(crc, p, len);
}

bool sc_page_legacy_plain(const uint8_t *p, uint32_t size)
{
	uint32_t sum1 = sc_load_be32(p);
	uint32_t sum2 = sc_load_be32(p + size - TRAILER);

	if (sum1 == sum2 && sum1 == no_checksum_magic)
		return true;
	if (innodb_valid(p, size))
		return true;
	return sum1 == sum2 &&
	       sum1 == (crc_big_endian(p, 4, OFF_FLUSH_LSN - 4) ^
			crc_big_endian(p, OFF_DATA, size - OFF_DATA - TRAILER));
}

/* Source: RFC 1950 section 8.2 (zlib's adler32). */
static uint32_t adler32(uint32_t adler, const uint8_t *p, size_t len)
{
	uint32_t a = adler & 0xffff, b = adler >> 16;

	for (; len; p++, len--) {
		a = (a + *p) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

bool sc_page_legacy_zip(const uint8_t *p, uint32_t size)
{
	uint32_t sum = sc_load_be32(p), adler;

	if (sum == no_checksum_magic)
		return true;
	/* The server starts its adler32 at 0, not at 1. */
	adler = adler32(0, p + 4, OFF_LSN - 4);
	adler = adler32(adler, p + 24, 2);
	adler = adler32(adler, p + 34, size - 34);
	return sum == adler;
}
