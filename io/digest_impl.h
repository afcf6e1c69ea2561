/* SPDX-License-Identifier: GPL-2.0-only */
/* XXH3-128 for one instruction set: included by digest.c and digest_avx2.c
 * only, which is what makes it another one. */
#include "io/digest.h"

#include <string.h>

/* Inlined so that the whole hash is compiled for this instruction set. */
#define XXH_INLINE_ALL
#include <xxhash.h>

struct sc_digest_impl {
	void (*begin)(struct sc_digest_state *state);
	void (*add)(struct sc_digest_state *state, const void *p, size_t len);
	void (*end)(const struct sc_digest_state *state,
		    uint8_t ret[SC_DIGEST_SIZE]);
};

#ifdef __x86_64__
/* digest_avx2.c; only where the CPU has AVX2. */
extern const struct sc_digest_impl sc_digest_avx2;
#endif

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct sc_digest_state),
	       "the state of this xxHash is larger");

static void impl_begin(struct sc_digest_state *state)
{
	XXH3_state_t *s = (XXH3_state_t *)state;

	XXH3_INITSTATE(s);
	XXH3_128bits_reset(s);
}

static void impl_add(struct sc_digest_state *state, const void *p, size_t len)
{
	XXH3_128bits_update((XXH3_state_t *)state, p, len);
}

static void impl_end(const struct sc_digest_state *state,
		     uint8_t ret[SC_DIGEST_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(
		&canonical, XXH3_128bits_digest((const XXH3_state_t *)state));
	memcpy(ret, canonical.digest, SC_DIGEST_SIZE);
}
