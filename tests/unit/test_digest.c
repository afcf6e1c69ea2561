/* SPDX-License-Identifier: GPL-2.0-only */
/* The digest is XXH3-128 as the library computes it, whatever instruction set
 * ours was compiled for and however the bytes are cut. */
#include "io/digest.h"

#include "io/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <xxhash.h>

#include <cmocka.h>

static void library_digest(const void *p, size_t len, uint8_t *ret)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(p, len));
	memcpy(ret, canonical.digest, SC_DIGEST_SIZE);
}

/* Source: xxh128sum of nothing. */
static void digest_of_nothing(void **state)
{
	static const uint8_t want[SC_DIGEST_SIZE] = { 0x99, 0xaa, 0x06, 0xd3,
						      0x01, 0x47, 0x98, 0xd8,
						      0x60, 0x01, 0xc3, 0x24,
						      0x46, 0x8d, 0x49, 0x7f };
	uint8_t got[SC_DIGEST_SIZE];

	(void)state;
	sc_digest("", 0, got);
	assert_memory_equal(got, want, sizeof(got));
}

static void as_the_library(void **state)
{
	static const size_t lengths[] = {
		1,   3,	   16,	  17,	 128,	 129,	 240,	  241,
		512, 1024, 16384, 65537, 131072, 999999, 1 << 20,
	};
	uint8_t *bytes = malloc(1 << 20), got[SC_DIGEST_SIZE],
		want[SC_DIGEST_SIZE];
	struct sc_digest_state pieces;

	(void)state;
	for (size_t i = 0; i < 1 << 20; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	for (size_t i = 0; i < SC_ARRAY_SIZE(lengths); i++) {
		library_digest(bytes, lengths[i], want);
		sc_digest(bytes, lengths[i], got);
		assert_memory_equal(got, want, sizeof(got));
		sc_digest_begin(&pieces);
		for (size_t at = 0, n = 1; at < lengths[i]; at += n, n = 3 * n)
			sc_digest_add(&pieces, bytes + at,
				      SC_MIN(n, lengths[i] - at));
		sc_digest_end(&pieces, got);
		assert_memory_equal(got, want, sizeof(got));
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_of_nothing),
		cmocka_unit_test(as_the_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
