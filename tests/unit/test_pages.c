/* SPDX-License-Identifier: GPL-2.0-only */
/* Page 0 and page checks: every page size, every kind, every flipped bit. */
#include "io/crc32c.h"
#include "io/pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t page[SC_PAGE_SIZE_MAX];

static const struct size_case {
	uint32_t flags, physical, logical;
} size_cases[] = {
	{ 0x0000, 16384, 16384 }, /* system tablespace, 16K */
	{ 0x00c0, 4096, 4096 },	  { 0x0100, 8192, 8192 },
	{ 0x4021, 16384, 16384 }, /* file per table with SDI */
	{ 0x0800, 16384, 16384 }, /* general tablespace */
	{ 0x41a1, 32768, 32768 }, { 0x41e1, 65536, 65536 },
	{ 0x4023, 1024, 16384 },  { 0x4025, 2048, 16384 },
	{ 0x4027, 4096, 16384 },  { 0x4029, 8192, 16384 },
	{ 0x402b, 16384, 16384 }, { 0x40e3, 1024, 4096 },
	{ 0x6021, 16384, 16384 }, /* encrypted */
};

static void fill(uint32_t size, uint32_t seed)
{
	for (uint32_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		page[i] = (uint8_t)(seed >> 24);
	}
	sc_store_be64(page + 16, 0x0000000123456789);
	sc_store_be16(page + 24, 17855); /* FIL_PAGE_INDEX */
	memset(page + 26, 0, 8);
}

static void seal_plain(uint32_t size)
{
	uint32_t crc;

	memcpy(page + size - 4, page + 20, 4);
	crc = sc_crc32c(0, page + 4, 22) ^ sc_crc32c(0, page + 38, size - 46);
	sc_store_be32(page, crc);
	sc_store_be32(page + size - 8, crc);
}

static void seal_zip(uint32_t size)
{
	sc_store_be32(page, sc_crc32c(0, page + 4, 12) ^
				    sc_crc32c(0, page + 24, 2) ^
				    sc_crc32c(0, page + 34, size - 34));
}

static struct sc_page_spec make_spec(const struct size_case *c)
{
	struct sc_page_spec spec = { .physical_size = c->physical,
				     .logical_size = c->logical,
				     .compressed = c->flags & 0x1e,
				     .encrypted = c->flags & 0x2000,
				     .flags = c->flags };

	return spec;
}

static void make_page(const struct sc_page_spec *spec)
{
	fill(spec->physical_size, spec->flags + 1);
	if (spec->compressed)
		seal_zip(spec->physical_size);
	else
		seal_plain(spec->physical_size);
}

static void make_page0(uint32_t flags, uint32_t space)
{
	memset(page, 0, sizeof(page));
	sc_store_be16(page + 24, SC_PAGE_TYPE_FSP_HDR);
	sc_store_be32(page + 34, space);
	sc_store_be32(page + 38, space);
	sc_store_be32(page + 54, flags);
}

static void spec_of_every_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(size_cases); i++) {
		const struct size_case *c = &size_cases[i];
		struct sc_page_spec spec;
		struct sc_err err = SC_ERR_INIT;

		make_page0(c->flags, 77);
		assert_int_equal(sc_page_spec_read(page, 4096, &spec, &err), 0);
		assert_int_equal(spec.physical_size, c->physical);
		assert_int_equal(spec.logical_size, c->logical);
		assert_int_equal(spec.compressed, (c->flags & 0x1e) != 0);
		assert_int_equal(spec.encrypted, (c->flags & 0x2000) != 0);
		assert_int_equal(spec.space_id, 77);
		assert_int_equal(spec.flags, c->flags);
	}
}

static void expect_no_spec(size_t len, const char *text)
{
	struct sc_page_spec spec;
	struct sc_err err = SC_ERR_INIT;

	assert_int_equal(sc_page_spec_read(page, len, &spec, &err), -1);
	assert_non_null(strstr(err.msg, text));
}

static void nonsense_is_no_page0(void **state)
{
	static const uint32_t bad_flags[] = {
		0x8000, /* unknown bit */
		0x0001, /* post-antelope without atomic blobs */
		0x0020, /* and the other way round */
		0x402d, /* KEY_BLOCK_SIZE 32K */
		0x0040, /* page size 1K */
		0x0200, /* page size 128K */
		0x0c00, /* DATA DIRECTORY in a general tablespace */
		0x3000, /* encrypted temporary */
		0x40eb, /* KEY_BLOCK_SIZE 16K of 4K pages */
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad_flags); i++) {
		make_page0(bad_flags[i], 5);
		expect_no_spec(4096, "space 5 is damaged");
	}
	make_page0(0x4021, 5);
	expect_no_spec(57, "only 57 bytes");
	sc_store_be32(page + 34, 6);
	expect_no_spec(4096, "space id 6 in its header but 5");
	make_page0(0x4021, 5);
	page[7] = 1;
	expect_no_spec(4096, "page number 1");
	make_page0(0x4021, 5);
	page[25] = 9;
	expect_no_spec(4096, "page type 9");
}

static void zero_page0(void **state)
{
	struct sc_page_spec spec;
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	memset(page, 0, sizeof(page));
	assert_int_equal(sc_page_spec_read(page, 4096, &spec, &err), 1);
	assert_false(sc_err_is_set(&err));
}

static void sound_pages(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(size_cases); i++) {
		struct sc_page_spec spec = make_spec(&size_cases[i]);

		make_page(&spec);
		assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_OK);
		assert_int_equal(sc_page_lsn(page), 0x123456789);
		assert_int_equal(sc_page_type(page), 17855);
		memset(page, 0, sizeof(page));
		assert_int_equal(sc_page_check(&spec, page, NULL),
				 SC_PAGE_ZERO);
	}
}

/* Bytes whose change no checksum notices: see io/pages.h. */
static bool covered(const struct sc_page_spec *spec, uint32_t byte)
{
	if (spec->compressed)
		return !(byte >= 16 && byte < 24) && !(byte >= 26 && byte < 34);
	return !(byte >= 26 && byte < 38);
}

static void flip_bits(const struct sc_page_spec *spec, uint32_t step)
{
	make_page(spec);
	for (uint32_t bit = 0; bit < spec->physical_size * 8; bit += step) {
		enum sc_page_verdict want =
			covered(spec, bit / 8) ? SC_PAGE_BAD : SC_PAGE_OK;

		page[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (sc_page_check(spec, page, NULL) != want)
			fail_msg("flags 0x%x byte %u bit %u", spec->flags,
				 bit / 8, bit % 8);
		page[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void every_flipped_bit(void **state)
{
	struct size_case zip1k = { 0x4023, 1024, 16384 };
	struct size_case plain4k = { 0x00c0, 4096, 4096 };
	struct sc_page_spec spec = make_spec(&zip1k);

	(void)state;
	flip_bits(&spec, 1);
	spec = make_spec(&plain4k);
	flip_bits(&spec, 7);
	for (size_t i = 0; i < SC_ARRAY_SIZE(size_cases); i++) {
		spec = make_spec(&size_cases[i]);
		flip_bits(&spec, 509);
	}
}

/* A page whose single set bit is anywhere is not a zero page. */
static void almost_zero(void **state)
{
	struct sc_page_spec spec = make_spec(&size_cases[0]);

	(void)state;
	memset(page, 0, sizeof(page));
	for (uint32_t i = 0; i < spec.physical_size; i++) {
		enum sc_page_verdict want =
			i >= 26 && i < 34 ? SC_PAGE_OK : SC_PAGE_BAD;

		page[i] = 1;
		assert_int_equal(sc_page_check(&spec, page, NULL), want);
		page[i] = 0;
	}
}

/* Half a page old, half new: what a torn write leaves. */
static void torn_page(void **state)
{
	static uint8_t old[16384];
	struct sc_page_spec spec = make_spec(&size_cases[3]);

	(void)state;
	fill(16384, 3);
	seal_plain(16384);
	memcpy(old, page, sizeof(old));
	for (uint32_t cut = 512; cut < 16384; cut += 512) {
		fill(16384, 4);
		sc_store_be64(page + 16, 0x0000000123999999);
		seal_plain(16384);
		memcpy(page + cut, old + cut, 16384 - cut);
		assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_BAD);
	}
}

static void checksum_none(void **state)
{
	struct sc_page_spec plain = make_spec(&size_cases[0]);
	struct sc_page_spec zip = make_spec(&size_cases[9]);

	(void)state;
	fill(16384, 5);
	seal_plain(16384);
	sc_store_be32(page, 0xdeadbeef);
	assert_int_equal(sc_page_check(&plain, page, NULL), SC_PAGE_BAD);
	sc_store_be32(page + 16384 - 8, 0xdeadbeef);
	assert_int_equal(sc_page_check(&plain, page, NULL), SC_PAGE_OK);
	page[16383] ^= 1;
	assert_int_equal(sc_page_check(&plain, page, NULL), SC_PAGE_BAD);
	fill(4096, 5);
	sc_store_be32(page, 0xdeadbeef);
	assert_int_equal(sc_page_check(&zip, page, NULL), SC_PAGE_OK);
}

static uint32_t hash_innodb(const uint8_t *p, size_t len)
{
	uint32_t h = 0;

	while (len--) {
		uint32_t n = *p++;

		h = ((((h ^ n ^ 1653893711) << 8) + h) ^ 1463735687) + n;
	}
	return h;
}

static void checksum_innodb(void **state)
{
	struct sc_page_spec spec = make_spec(&size_cases[0]);

	(void)state;
	fill(16384, 6);
	memcpy(page + 16380, page + 20, 4);
	sc_store_be32(page, hash_innodb(page + 4, 22) +
				    hash_innodb(page + 38, 16384 - 46));
	sc_store_be32(page + 16376, hash_innodb(page, 26));
	assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_OK);
	page[9000] ^= 4;
	assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_BAD);
}

static void checksum_zip_adler(void **state)
{
	struct sc_page_spec spec = make_spec(&size_cases[9]);
	uint32_t a = 0, b = 0;

	(void)state;
	fill(4096, 7);
	for (uint32_t i = 4; i < 4096; i++) {
		if (!covered(&spec, i))
			continue;
		a = (a + page[i]) % 65521;
		b = (b + a) % 65521;
	}
	sc_store_be32(page, b << 16 | a);
	assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_OK);
	page[100] ^= 4;
	assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_BAD);
}

/* Eight-byte groups at aligned offsets are summed in reverse byte order. */
static void checksum_big_endian(void **state)
{
	static uint8_t turned[16384];
	struct sc_page_spec spec = make_spec(&size_cases[0]);
	uint32_t crc;

	(void)state;
	fill(16384, 8);
	memcpy(page + 16380, page + 20, 4);
	for (uint32_t i = 0; i < 16384; i++)
		turned[i] = page[i ^ 7];
	memcpy(turned + 4, page + 4, 4);
	memcpy(turned + 24, page + 24, 2);
	memcpy(turned + 38, page + 38, 2);
	crc = sc_crc32c(0, turned + 4, 22) ^
	      sc_crc32c(0, turned + 38, 16384 - 46);
	sc_store_be32(page, crc);
	sc_store_be32(page + 16376, crc);
	assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_OK);
	page[9000] ^= 4;
	assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_BAD);
}

static void encrypted_types(void **state)
{
	struct sc_page_spec spec = make_spec(&size_cases[13]);

	(void)state;
	for (uint16_t type = 15; type <= 17; type++) {
		fill(16384, type);
		sc_store_be16(page + 24, type);
		spec.encrypted = true;
		assert_int_equal(sc_page_check(&spec, page, NULL),
				 SC_PAGE_ENCRYPTED);
		/* A flipped type in a plain tablespace is damage. */
		spec.encrypted = false;
		assert_int_equal(sc_page_check(&spec, page, NULL), SC_PAGE_BAD);
	}
}

static void page_compression(void **state)
{
	/* version, algorithm, original size, compressed size, verdict */
	static const struct {
		uint8_t version, algorithm;
		uint16_t original, compressed;
		enum sc_page_verdict want;
	} cases[] = {
		{ 1, 1, 16384 - 38, 500, SC_PAGE_UNCHECKED },
		{ 2, 2, 16384 - 38, 4000, SC_PAGE_UNCHECKED },
		{ 0, 1, 16384 - 38, 500, SC_PAGE_BAD },
		{ 3, 1, 16384 - 38, 500, SC_PAGE_BAD },
		{ 1, 0, 16384 - 38, 500, SC_PAGE_BAD },
		{ 1, 3, 16384 - 38, 500, SC_PAGE_BAD },
		{ 1, 1, 100, 50, SC_PAGE_BAD },
		{ 1, 1, 16384, 500, SC_PAGE_BAD },
		{ 1, 1, 16384 - 38, 0, SC_PAGE_BAD },
		{ 1, 1, 16384 - 38, 16384, SC_PAGE_BAD },
	};
	struct sc_page_spec spec = make_spec(&size_cases[0]);

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		fill(16384, 9);
		sc_store_be16(page + 24, SC_PAGE_TYPE_COMPRESSED);
		page[26] = cases[i].version;
		page[27] = cases[i].algorithm;
		sc_store_be16(page + 30, cases[i].original);
		sc_store_be16(page + 32, cases[i].compressed);
		assert_int_equal(sc_page_check(&spec, page, NULL),
				 cases[i].want);
	}
}

static void zero_test(void **state)
{
	(void)state;
	memset(page, 0, sizeof(page));
	for (size_t len = 0; len < 300; len++) {
		assert_true(sc_is_zero(page + len % 8, len));
		page[len % 8 + len] = 1; /* just behind */
		assert_true(sc_is_zero(page + len % 8, len));
		assert_false(sc_is_zero(page + len % 8, len + 1));
		page[len % 8 + len] = 0;
	}
	assert_string_equal(sc_page_verdict_name(SC_PAGE_BAD), "bad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spec_of_every_size),
		cmocka_unit_test(nonsense_is_no_page0),
		cmocka_unit_test(zero_page0),
		cmocka_unit_test(sound_pages),
		cmocka_unit_test(every_flipped_bit),
		cmocka_unit_test(almost_zero),
		cmocka_unit_test(torn_page),
		cmocka_unit_test(checksum_none),
		cmocka_unit_test(checksum_innodb),
		cmocka_unit_test(checksum_zip_adler),
		cmocka_unit_test(checksum_big_endian),
		cmocka_unit_test(encrypted_types),
		cmocka_unit_test(page_compression),
		cmocka_unit_test(zero_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
