/* SPDX-License-Identifier: GPL-2.0-only */
/* Digests by xxHash; see digest.h. Pure functions. */
#include "io/digest.h"

#include <string.h>

/* Inlined so that the whole hash is compiled for this build; no library state.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

void sc_digest(const void *p, size_t len, uint8_t ret[SC_DIGEST_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(p, len));
	memcpy(ret, canonical.digest, SC_DIGEST_SIZE);
}

uint64_t sc_digest64(const void *a, size_t a_len, const void *b, size_t b_len)
{
	XXH3_state_t state;

	XXH3_INITSTATE(&state);
	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, a, a_len);
	if (b_len)
		XXH3_64bits_update(&state, b, b_len);
	return XXH3_64bits_digest(&state);
}
