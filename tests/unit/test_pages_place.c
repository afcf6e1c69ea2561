/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages where they belong and where they do not; and random input, which must
 * neither crash nor be read beyond its end (run with sanitizers). */
#include "io/page_open.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/page_samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint32_t all_flags[] = {
	0x4021, 0x40e1, 0x4121, 0x41a1, 0x41e1, 0x4023, 0x4025, 0x4027, 0x4029,
	0x402b, 0x6021, 0x60e1, 0x6121, 0x61a1, 0x61e1, 0x6023, 0x6025, 0x6027,
	0x6029, 0x602b, 0x40e3, 0x60e3, 0x0800, 0x2800, 0x0000,
};

static uint8_t page[SC_PAGE_SIZE_MAX];

static void number_and_space(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(all_flags); i++) {
		struct sc_page_spec spec = fx_spec(all_flags[i], 9), other;

		px_page(&spec, 70, 5, 17855, page);
		assert_int_equal(sc_page_check_at(&spec, page, 70, NULL),
				 SC_PAGE_OK);
		assert_int_equal(sc_page_check_at(&spec, page, 71, NULL),
				 SC_PAGE_MISPLACED);
		assert_int_equal(sc_page_check_at(&spec, page, 0, NULL),
				 SC_PAGE_MISPLACED);
		other = spec;
		other.space_id = 8;
		assert_int_equal(sc_page_check_at(&other, page, 70, NULL),
				 SC_PAGE_MISPLACED);
		/* Damaged comes before misplaced. */
		page[100] ^= 1;
		assert_int_equal(sc_page_check_at(&spec, page, 71, NULL),
				 SC_PAGE_BAD);
		memset(page, 0, sizeof(page));
		assert_int_equal(sc_page_check_at(&spec, page, 71, NULL),
				 SC_PAGE_ZERO);
	}
}

/* The server takes page 0 of space 0 for one that was never initialised, as
 * IMPORT leaves them in a page-compressed tablespace: zeroes, compressed. */
static void never_initialised(void **state)
{
	struct sc_page_spec spec = fx_spec(0x4021, 9);
	struct sc_page_opener *opener = sc_page_opener_new();

	(void)state;
	assert_non_null(opener);
	memset(page, 0, sizeof(page));
	px_compress(&spec, page, 1);
	assert_int_equal(sc_page_check_at(&spec, page, 37, opener), SC_PAGE_OK);
	sc_store_be32(page + 4, 36);
	assert_int_equal(sc_page_check_at(&spec, page, 37, opener),
			 SC_PAGE_BAD);
	sc_page_opener_free(opener);
}

/* A page of another tablespace's encryption is seen to be none of this one
 * even without the key. */
static void encrypted_elsewhere(void **state)
{
	struct page_sample samples[PAGE_SAMPLES];

	(void)state;
	page_samples_load(samples);
	for (int i = 0; i < PAGE_SAMPLES; i++) {
		struct page_sample *s = &samples[i];

		assert_int_equal(sc_page_check_at(&s->spec, s->bytes,
						  s->page_no + 1, NULL),
				 SC_PAGE_MISPLACED);
		s->spec.space_id++;
		assert_int_equal(
			sc_page_check_at(&s->spec, s->bytes, s->page_no, NULL),
			SC_PAGE_MISPLACED);
	}
	page_samples_free(samples);
}

/* Space ids are not compared in space 0; two extents are not judged. */
static void system_tablespace(void **state)
{
	static const struct {
		uint32_t flags, from, to;
	} cases[] = {
		{ 0x00c0, 256, 768 }, { 0x0100, 128, 384 }, { 0x0000, 64, 192 },
		{ 0x0180, 64, 192 },  { 0x01c0, 64, 192 },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_page_spec spec = fx_spec(cases[i].flags, 0);

		spec.space_id = 7; /* of the page */
		px_page(&spec, 5, 5, 17855, page);
		spec.space_id = 0;
		for (uint32_t no = 0; no < 800; no++) {
			bool old = no >= cases[i].from && no < cases[i].to;
			enum sc_page_verdict v =
				sc_page_check_at(&spec, page, no, NULL);

			assert_int_equal(v, old || no == 5 ? SC_PAGE_OK
							   : SC_PAGE_MISPLACED);
			page[100] ^= 1;
			v = sc_page_check_at(&spec, page, no, NULL);
			assert_int_equal(v,
					 old ? SC_PAGE_UNCHECKED : SC_PAGE_BAD);
			page[100] ^= 1;
		}
	}
}

static uint64_t seed = 88172645463325252;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void scramble(uint8_t *p, uint32_t size)
{
	static const uint16_t types[] = { 14, 15, 16, 17, 17855 };

	for (uint32_t i = 0; i < size; i += 8)
		sc_store_le64(p + i, rnd());
	sc_store_be16(p + 24, types[rnd() % SC_ARRAY_SIZE(types)]);
	p[26] = (uint8_t)(rnd() % 4);
	p[27] = (uint8_t)(rnd() % 4);
	if (rnd() % 4)
		sc_store_be16(p + 30, (uint16_t)(size - 38));
	if (rnd() % 2)
		sc_store_be16(p + 32, (uint16_t)(rnd() % 200));
}

/* Buffers of exactly a page, so that a sanitizer sees a byte too many. */
static void random_pages(void **state)
{
	const struct sc_space_key key = { .key = "key", .iv = "iv" };
	struct sc_page_opener *opener = sc_page_opener_new();

	(void)state;
	assert_non_null(opener);
	for (int round = 0; round < 4000; round++) {
		uint32_t flags =
			all_flags[(size_t)round % SC_ARRAY_SIZE(all_flags)];
		struct sc_page_spec spec = fx_spec(flags, 1), got;
		struct sc_err err = SC_ERR_INIT;
		uint8_t *p = malloc(spec.physical_size);
		enum sc_page_verdict v;

		assert_non_null(p);
		spec.key = round & 1 ? &key : NULL;
		scramble(p, spec.physical_size);
		v = sc_page_check_at(&spec, p, 3, opener);
		assert_int_not_equal(v, SC_PAGE_OK);
		assert_int_not_equal(v, SC_PAGE_ZERO);
		if (sc_page_spec_read(p, spec.physical_size, &got, &err) < 0)
			assert_true(sc_err_is_set(&err));
		free(p);
	}
	sc_page_opener_free(opener);
}

/* Real pages with some bytes changed: deeper into the decompressors. */
static void mutated_pages(void **state)
{
	struct page_sample samples[PAGE_SAMPLES];
	struct sc_page_opener *opener = sc_page_opener_new();

	(void)state;
	assert_non_null(opener);
	page_samples_load(samples);
	for (int round = 0; round < 7000; round++) {
		struct page_sample *s = &samples[round % PAGE_SAMPLES];
		uint32_t size = s->spec.physical_size;
		uint8_t *p = malloc(size);
		const uint8_t *plain;

		assert_non_null(p);
		memcpy(p, s->bytes, size);
		for (uint64_t n = 1 + rnd() % 8; n; n--)
			p[rnd() % s->used] = (uint8_t)rnd();
		(void)sc_page_check_at(&s->spec, p, s->page_no, NULL);
		if (sc_page_check_at(&s->spec, p, s->page_no, opener) ==
		    SC_PAGE_OK)
			assert_int_equal(
				sc_page_open(opener, &s->spec, p, &plain),
				SC_PAGE_OK);
		free(p);
	}
	page_samples_free(samples);
	sc_page_opener_free(opener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(number_and_space),
		cmocka_unit_test(never_initialised),
		cmocka_unit_test(encrypted_elsewhere),
		cmocka_unit_test(system_tablespace),
		cmocka_unit_test(random_pages),
		cmocka_unit_test(mutated_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
