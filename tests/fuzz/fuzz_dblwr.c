/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Doublewrite files. Input: u8 options, u64 checkpoint, then the file; pages
 * are of 8 KiB. Every page that the file names is repaired from it.
 */
#include "tests/fuzz/fuzz.h"

#include "io/crc32c.h"
#include "io/dblwr.h"
#include "io/page_open.h"

#include <stdlib.h>
#include <string.h>

enum { BATCHES = 1, SEAL = 2, PAGE = 8192, BATCH = 8192, TRIED = 8 };

/* Source: as in fuzz_page.c and io/dblwr.c. */
static void seal_page(uint8_t *p)
{
	uint32_t crc;

	memcpy(p + PAGE - 4, p + 20, 4);
	crc = sc_crc32c(0, p + 4, 22) ^ sc_crc32c(0, p + 38, PAGE - 46);
	sc_store_be32(p, crc);
	sc_store_be32(p + PAGE - 8, crc);
}

static void seal_batch(uint8_t *p)
{
	uint32_t len = sc_load_be16(p + 8);

	if (len <= BATCH - 20)
		sc_store_be32(p + 4, sc_crc32c(0, p + 20, len));
}

static void seal(uint8_t *file, size_t len, bool batches)
{
	size_t unit = batches ? BATCH : PAGE;

	for (size_t at = 0; at + unit <= len; at += unit)
		batches ? seal_batch(file + at) : seal_page(file + at);
}

static void repair(const struct sc_dblwr *d, uint32_t space, uint32_t page_no)
{
	struct sc_page_opener *opener = sc_page_opener_new();
	struct sc_err err = SC_ERR_INIT;
	struct sc_page_spec spec = { .physical_size = PAGE,
				     .logical_size = PAGE,
				     .space_id = space };
	enum sc_dblwr_result result;
	uint8_t *page = calloc(1, PAGE);

	FUZZ_CHECK(opener && page);
	if (sc_dblwr_repair(d, &spec, page_no, opener, page, &result, &err) ==
	    0) {
		FUZZ_CHECK(*sc_dblwr_result_text(result));
		if (result == SC_DBLWR_REPAIRED)
			FUZZ_CHECK(sc_page_check_at(&spec, page, page_no,
						    opener) == SC_PAGE_OK);
		else
			FUZZ_CHECK(sc_is_zero(page, PAGE));
	}
	free(page);
	sc_page_opener_free(opener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t options = fuzz_u8(&in);
	uint64_t checkpoint = fuzz_u64(&in);
	bool batches = options & BATCHES;
	size_t len = in.left, unit = batches ? 16 : PAGE;
	uint8_t *file = fuzz_take(&in, len);
	struct sc_err err = SC_ERR_INIT;
	struct sc_dblwr *d;
	int dir = fuzz_dir();

	if (options & SEAL)
		seal(file, len, batches);
	fuzz_put(dir, batches ? "#ib_8192_0.bdblwr" : "#ib_8192_0.dblwr", file,
		 len);
	if (sc_dblwr_load(dir, PAGE, checkpoint, &d, &err) == 0) {
		size_t first = batches ? 20 : 0;

		for (size_t i = 0; i < TRIED; i++) {
			const uint8_t *p = file + first + i * unit;

			if (first + i * unit + 64 > len)
				break;
			repair(d, sc_load_be32(batches ? p : p + 34),
			       sc_load_be32(p + 4));
		}
		sc_dblwr_free(d);
	}
	free(file);
	return 0;
}
