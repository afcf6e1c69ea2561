/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages: page 0, every kind of page with and without a key, and encryption
 * information. Input: u8 options, u32 page number, u32 flags, u32 space id,
 * then the page.
 */
#include "tests/fuzz/fuzz.h"

#include "io/crc32c.h"
#include "io/keys.h"
#include "io/page_open.h"

#include <stdlib.h>
#include <string.h>

enum { SEAL = 1, KEY = 2, FROM_PAGE = 4 };

static const struct sc_space_key key = { { 1, 2, 3 }, { 4, 5, 6 } };

/* The checksum of a plain page. Source: buf_calc_page_crc32() in
 * buf/checksum.cc. */
static void seal(const struct sc_page_spec *spec, uint8_t *p)
{
	uint32_t size = spec->physical_size, crc;

	if (spec->compressed)
		return;
	memcpy(p + size - 4, p + 20, 4);
	crc = sc_crc32c(0, p + 4, 22) ^ sc_crc32c(0, p + 38, size - 46);
	sc_store_be32(p, crc);
	sc_store_be32(p + size - 8, crc);
}

static void try_page(const struct sc_page_spec *spec, const uint8_t *page,
		     uint32_t page_no)
{
	struct sc_page_opener *opener = sc_page_opener_new();
	enum sc_page_verdict with, without, at;
	const uint8_t *plain;

	FUZZ_CHECK(opener);
	without = sc_page_check(spec, page, NULL);
	with = sc_page_check(spec, page, opener);
	at = sc_page_check_at(spec, page, page_no, opener);
	/* Who looks closer finds no more sound pages. */
	FUZZ_CHECK(without != SC_PAGE_BAD || with == SC_PAGE_BAD);
	FUZZ_CHECK(at != SC_PAGE_OK || with == SC_PAGE_OK);
	FUZZ_CHECK(with != SC_PAGE_ZERO ||
		   sc_is_zero(page, spec->physical_size));
	FUZZ_CHECK(*sc_page_verdict_name(at));
	if (sc_page_type(page) >= SC_PAGE_TYPE_COMPRESSED &&
	    sc_page_type(page) <= SC_PAGE_TYPE_ENCRYPTED_RTREE &&
	    (spec->key || sc_page_type(page) == SC_PAGE_TYPE_COMPRESSED) &&
	    sc_page_open(opener, spec, page, &plain) == SC_PAGE_OK)
		FUZZ_CHECK(plain != page);
	FUZZ_CHECK(sc_page_used_len(spec, page) <= spec->physical_size);
	sc_page_opener_free(opener);
}

static void try_info(const uint8_t *p)
{
	struct sc_key_info info;
	struct sc_err err = SC_ERR_INIT;
	struct sc_space_key got;
	struct sc_aes *aes = sc_aes_new();
	int rc = sc_key_info_parse(p, &info, &err);

	FUZZ_CHECK(aes && (rc >= 0 || sc_err_is_set(&err)));
	if (rc == 1) {
		FUZZ_CHECK(!info.master.id || sc_key_uuid_ok(info.master.uuid));
		(void)sc_key_info_unwrap(aes, &info,
					 info.master.id ? key.key : NULL, &got);
	}
	sc_aes_free(aes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t options = fuzz_u8(&in), *page;
	uint32_t page_no = fuzz_u32(&in), flags = fuzz_u32(&in);
	uint32_t space = fuzz_u32(&in);
	struct sc_err err = SC_ERR_INIT;
	struct sc_page_spec spec = { 0 };
	bool known;

	if (options & FROM_PAGE)
		known = in.left >= SC_PAGE0_NEEDED &&
			sc_page_spec_read(in.p, in.left, &spec, &err) == 0;
	else
		known = sc_page_spec_from_flags(flags, space, &spec);
	if (!known)
		return 0;
	FUZZ_CHECK(spec.physical_size >= SC_PAGE_SIZE_MIN &&
		   spec.physical_size <= SC_PAGE_SIZE_MAX);
	FUZZ_CHECK(spec.logical_size >= spec.physical_size &&
		   spec.logical_size <= SC_PAGE_SIZE_MAX);
	if (options & KEY)
		spec.key = &key;
	page = fuzz_take(&in, spec.physical_size);
	if (options & SEAL)
		seal(&spec, page);
	try_page(&spec, page, page_no);
	try_info(page +
		 sc_key_info_offset(spec.logical_size, spec.physical_size));
	free(page);
	return 0;
}
