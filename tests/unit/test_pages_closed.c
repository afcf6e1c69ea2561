/* SPDX-License-Identifier: GPL-2.0-only */
/* Page-compressed and encrypted pages: real ones, made ones of every size,
 * every flipped bit, and pages that are where they do not belong. */
#include "io/page_open.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/page_samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct page_sample samples[PAGE_SAMPLES];
static struct sc_page_opener *opener;
static uint8_t page[SC_PAGE_SIZE_MAX];

static const struct sc_space_key some_key = {
	.key = "this is a key of 32 bytes.......", .iv = "and an iv"
};

static int group_setup(void **state)
{
	(void)state;
	page_samples_load(samples);
	opener = sc_page_opener_new();
	return opener ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	page_samples_free(samples);
	sc_page_opener_free(opener);
	sc_page_opener_free(NULL);
	return 0;
}

static enum sc_page_verdict check(const struct page_sample *s, const uint8_t *p)
{
	return sc_page_check_at(&s->spec, p, s->page_no, opener);
}

static bool is_encrypted(const void *p)
{
	return sc_page_type(p) != SC_PAGE_TYPE_COMPRESSED;
}

static void real_pages(void **state)
{
	(void)state;
	for (int i = 0; i < PAGE_SAMPLES; i++) {
		struct page_sample *s = &samples[i];
		bool encrypted = is_encrypted(s->bytes);

		if (check(s, s->bytes) != SC_PAGE_OK)
			fail_msg("%s: %s", s->name,
				 sc_page_verdict_name(check(s, s->bytes)));
		assert_int_equal(sc_page_check(&s->spec, s->bytes, NULL),
				 encrypted ? SC_PAGE_ENCRYPTED
					   : SC_PAGE_UNCHECKED);
		s->spec.key = NULL;
		assert_int_equal(check(s, s->bytes),
				 encrypted ? SC_PAGE_ENCRYPTED : SC_PAGE_OK);
		/* An encrypted type where there is no encryption is damage. */
		s->spec.encrypted = false;
		assert_int_equal(check(s, s->bytes),
				 encrypted ? SC_PAGE_BAD : SC_PAGE_OK);
		s->spec.encrypted = encrypted;
		s->spec.key = encrypted ? &s->key : NULL;
	}
}

static void another_key(void **state)
{
	(void)state;
	for (int i = 0; i < PAGE_SAMPLES; i++) {
		struct page_sample *s = &samples[i];

		if (!s->spec.key)
			continue;
		s->key.key[31] ^= 1;
		assert_int_equal(check(s, s->bytes), SC_PAGE_BAD);
		s->key.key[31] ^= 1;
		s->key.iv[0] ^= 1;
		assert_int_equal(check(s, s->bytes), SC_PAGE_BAD);
		s->key.iv[0] ^= 1;
		/* A page uses the first 16 bytes of the iv. */
		s->key.iv[16] ^= 1;
		assert_int_equal(check(s, s->bytes), SC_PAGE_OK);
		s->key.iv[16] ^= 1;
	}
}

/* What the server would work with: all but checksum-free bytes 26-33 and, of
 * KEY_BLOCK_SIZE pages, the LSN. */
static void plain_of(const struct page_sample *s, const uint8_t *p,
		     uint8_t *ret)
{
	const uint8_t *plain = NULL;

	assert_int_equal(sc_page_open(opener, &s->spec, p, &plain), SC_PAGE_OK);
	memcpy(ret, plain, s->spec.physical_size);
	memset(ret + 26, 0, 8);
	if (s->spec.compressed)
		memset(ret + 16, 0, 8);
}

/* A flipped bit is found, or changes nothing of the page that the server
 * reads (a match at another place with the same bytes, for one). */
static void flipped_bits(void **state)
{
	static uint8_t want[SC_PAGE_SIZE_MAX], have[SC_PAGE_SIZE_MAX];

	(void)state;
	for (int i = 0; i < PAGE_SAMPLES; i++) {
		struct page_sample *s = &samples[i];
		uint32_t bits = s->spec.physical_size * 8, found = 0;
		uint32_t step = s->used > 1024 ? 37 : 3, n = 0;

		plain_of(s, s->bytes, want);
		for (uint32_t bit = 0; bit < bits; bit += step) {
			uint8_t mask = (uint8_t)(1 << bit % 8);

			s->bytes[bit / 8] ^= mask;
			n += bit / 8 < s->used;
			if (check(s, s->bytes) == SC_PAGE_OK) {
				plain_of(s, s->bytes, have);
				if (memcmp(want, have, s->spec.physical_size))
					fail_msg("%s: byte %u", s->name,
						 bit / 8);
			} else {
				found += bit / 8 < s->used;
			}
			s->bytes[bit / 8] ^= mask;
		}
		/* The rest are bytes that no checksum covers. */
		if (found < n * 9 / 10)
			fail_msg("%s: %u of %u found", s->name, found, n);
	}
}

static void made_page(uint32_t flags, uint16_t type, uint8_t algorithm,
		      bool encrypt)
{
	struct sc_page_spec spec = fx_spec(flags, 9);
	char what[64];

	spec.key = encrypt ? &some_key : NULL;
	px_page(&spec, 5, 77777, type, page);
	if (algorithm)
		px_compress(&spec, page, algorithm);
	if (encrypt)
		px_encrypt(&spec, page);
	snprintf(what, sizeof(what), "flags 0x%x type %u algorithm %u %d",
		 flags, type, algorithm, encrypt);
	if (sc_page_check_at(&spec, page, 5, opener) != SC_PAGE_OK)
		fail_msg("%s", what);
	/* In the page, and in the last bytes that count. */
	page[60] ^= 4;
	if (sc_page_check_at(&spec, page, 5, opener) != SC_PAGE_BAD)
		fail_msg("damaged %s", what);
	page[60] ^= 4;
	page[sc_page_used_len(&spec, page) - 1] ^= 1;
	if (sc_page_check_at(&spec, page, 5, opener) != SC_PAGE_BAD)
		fail_msg("damaged end of %s", what);
}

static void every_size(void **state)
{
	/* 4K to 64K, then KEY_BLOCK_SIZE 1 to 16; all may be encrypted. */
	static const uint32_t plain[] = { 0x60e1, 0x6121, 0x6021, 0x61a1,
					  0x61e1 };
	static const uint32_t zip[] = { 0x6023, 0x6025, 0x6027, 0x6029,
					0x602b };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(plain); i++) {
		for (uint8_t algorithm = 0; algorithm <= 2; algorithm++) {
			if (algorithm)
				made_page(plain[i], 17855, algorithm, false);
			made_page(plain[i], 17855, algorithm, true);
		}
		made_page(plain[i], 17854, 0, true);
		made_page(zip[i], 17855, 0, true);
		made_page(zip[i], 17854, 0, true);
	}
}

static void control_data(void **state)
{
	static const struct {
		uint8_t at, value;
	} wrong[] = {
		{ 26, 0 },    { 26, 3 },    { 27, 0 },	  { 27, 3 },
		{ 30, 0x1e }, { 31, 0xdb }, { 32, 0x20 }, { 33, 0 },
	};
	struct page_sample *s = &samples[3];
	uint8_t head[38];

	(void)state;
	memcpy(head, s->bytes, sizeof(head));
	for (size_t i = 0; i < SC_ARRAY_SIZE(wrong); i++) {
		s->bytes[wrong[i].at] = wrong[i].value;
		assert_int_equal(check(s, s->bytes), SC_PAGE_BAD);
		memcpy(s->bytes, head, sizeof(head));
	}
	s->spec.compressed = true; /* KEY_BLOCK_SIZE has no such pages */
	assert_int_equal(check(s, s->bytes), SC_PAGE_BAD);
	s->spec.compressed = false;
	assert_int_equal(check(s, s->bytes), SC_PAGE_OK);
}

/* MySQL 5.7: how much is encrypted depends on the file system's blocks. */
static void compressed_and_encrypted_by_57(void **state)
{
	struct page_sample *s = &samples[5];

	(void)state;
	assert_int_equal(sc_page_type(s->bytes),
			 SC_PAGE_TYPE_COMPRESSED_AND_ENCRYPTED);
	s->bytes[26] = 1;
	assert_int_equal(check(s, s->bytes), SC_PAGE_UNCHECKED);
	s->bytes[26] = 2;
	assert_int_equal(check(s, s->bytes), SC_PAGE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_pages),
		cmocka_unit_test(another_key),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(every_size),
		cmocka_unit_test(control_data),
		cmocka_unit_test(compressed_and_encrypted_by_57),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
