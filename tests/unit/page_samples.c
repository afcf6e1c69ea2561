/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages for tests; see page_samples.h. */
#include "tests/unit/page_samples.h"

#include "io/aes.h"
#include "io/crc32c.h"

#include <assert.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void load(FILE *f, struct page_sample *s)
{
	uint8_t head[40 + 64], page0[SC_PAGE0_NEEDED] = { 0 };
	struct sc_err err = SC_ERR_INIT;

	assert(fread(head, sizeof(head), 1, f) == 1);
	*s = (struct page_sample){ 0 };
	memcpy(s->name, head, 16);
	/* The spec is what page 0 gives. */
	page0[25] = SC_PAGE_TYPE_FSP_HDR;
	memcpy(page0 + 54, head + 24, 4);
	memcpy(page0 + 34, head + 28, 4);
	memcpy(page0 + 38, head + 28, 4);
	assert(sc_page_spec_read(page0, sizeof(page0), &s->spec, &err) == 0);
	assert(s->spec.physical_size == sc_load_be32(head + 16));
	assert(s->spec.logical_size == sc_load_be32(head + 20));
	s->page_no = sc_load_be32(head + 32);
	s->used = sc_load_be32(head + 36);
	assert(s->used <= s->spec.physical_size);
	memcpy(&s->key, head + 40, sizeof(s->key));
	if (s->spec.encrypted)
		s->spec.key = &s->key;
	s->bytes = calloc(1, s->spec.physical_size);
	assert(s->bytes && fread(s->bytes, s->used, 1, f) == 1);
}

void page_samples_load(struct page_sample ret[PAGE_SAMPLES])
{
	FILE *f = fopen("tests/unit/data/pages.bin", "rb");

	assert(f);
	for (int i = 0; i < PAGE_SAMPLES; i++)
		load(f, &ret[i]);
	assert(fgetc(f) == EOF);
	fclose(f);
}

void page_samples_free(struct page_sample samples[PAGE_SAMPLES])
{
	for (int i = 0; i < PAGE_SAMPLES; i++)
		free(samples[i].bytes);
}

void px_page(const struct sc_page_spec *spec, uint32_t page_no, uint64_t lsn,
	     uint16_t type, uint8_t *page)
{
	uint32_t size = spec->physical_size, crc;

	memset(page, (int)(page_no * 7 + lsn), size);
	for (uint32_t i = 0; i < 64; i++)
		page[38 + i * 13] = (uint8_t)(i * lsn);
	sc_store_be32(page + 4, page_no);
	sc_store_be64(page + 16, lsn);
	sc_store_be16(page + 24, type);
	memset(page + 26, 0, 8);
	sc_store_be32(page + 34, spec->space_id);
	if (spec->compressed) {
		sc_store_be32(page, sc_crc32c(0, page + 4, 12) ^
					    sc_crc32c(0, page + 24, 2) ^
					    sc_crc32c(0, page + 34, size - 34));
		return;
	}
	memcpy(page + size - 4, page + 20, 4);
	crc = sc_crc32c(0, page + 4, 22) ^ sc_crc32c(0, page + 38, size - 46);
	sc_store_be32(page, crc);
	sc_store_be32(page + size - 8, crc);
}

void px_compress(const struct sc_page_spec *spec, uint8_t *page,
		 uint8_t algorithm)
{
	uint32_t body = spec->physical_size - 38;
	uint8_t *out = calloc(1, body);
	uLongf zlen = body;
	int len;

	assert(out);
	if (algorithm == 1) {
		assert(compress2(out, &zlen, page + 38, body, 6) == Z_OK);
		len = (int)zlen;
	} else {
		len = LZ4_compress_default((char *)page + 38, (char *)out,
					   (int)body, (int)body);
	}
	assert(len > 0 && (uint32_t)len < body);
	memcpy(page + 28, page + 24, 2);
	sc_store_be16(page + 24, SC_PAGE_TYPE_COMPRESSED);
	page[26] = 2;
	page[27] = algorithm;
	sc_store_be16(page + 30, (uint16_t)body);
	sc_store_be16(page + 32, (uint16_t)len);
	memset(out + len, 0, body - (uint32_t)len);
	memcpy(page + 38, out, body);
	free(out);
}

static void encrypt_body(const struct sc_space_key *key, uint8_t *p,
			 uint32_t len)
{
	struct sc_aes *aes = sc_aes_new();
	uint32_t whole = len / 16 * 16;

	assert(aes);
	assert(!sc_aes256_cbc(aes, true, key->key, key->iv, p, p, whole));
	if (whole != len)
		assert(!sc_aes256_cbc(aes, true, key->key, key->iv,
				      p + len - 32, p + len - 32, 32));
	sc_aes_free(aes);
}

void px_encrypt(const struct sc_page_spec *spec, uint8_t *page)
{
	uint32_t len = spec->physical_size;
	uint16_t type = sc_page_type(page);

	if (type == SC_PAGE_TYPE_COMPRESSED) {
		len = SC_MAX(70u, 38u + sc_load_be16(page + 32));
		sc_store_be16(page + 24, SC_PAGE_TYPE_COMPRESSED_AND_ENCRYPTED);
	} else if (type == 17854) { /* FIL_PAGE_RTREE */
		sc_store_be16(page + 24, SC_PAGE_TYPE_ENCRYPTED_RTREE);
	} else {
		sc_store_be16(page + 24, SC_PAGE_TYPE_ENCRYPTED);
		sc_store_be16(page + 28, type);
	}
	encrypt_body(spec->key, page + 38, len - 38);
	memset(page + len, 0, spec->physical_size - len);
}
