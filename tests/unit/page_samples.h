/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages that a real server wrote (tests/unit/data/make_samples), and the making
 * of others: sealed, compressed and encrypted as InnoDB does it. */
#ifndef SC_TESTS_PAGE_SAMPLES_H
#define SC_TESTS_PAGE_SAMPLES_H

#include "io/pages.h"

struct page_sample {
	char name[17];
	struct sc_page_spec spec; /* key: NULL, or of this sample */
	struct sc_space_key key;
	uint32_t page_no;
	uint32_t used;	/* bytes, zeroes follow */
	uint8_t *bytes; /* spec.physical_size of them; malloc'ed */
};

#define PAGE_SAMPLES 7

/* Load all samples; the tests run in the top directory. */
void page_samples_load(struct page_sample ret[PAGE_SAMPLES]);
void page_samples_free(struct page_sample samples[PAGE_SAMPLES]);

/* In place, a sound page becomes one of type 14. algorithm: 1 zlib, 2 lz4. The
 * page must be compressible. */
void px_compress(const struct sc_page_spec *spec, uint8_t *page,
		 uint8_t algorithm);

/* In place, with spec->key, as Encryption::encrypt_low() does. */
void px_encrypt(const struct sc_page_spec *spec, uint8_t *page);

/* A sound page that is mostly the same byte, of that type. */
void px_page(const struct sc_page_spec *spec, uint32_t page_no, uint64_t lsn,
	     uint16_t type, uint8_t *page);

#endif
