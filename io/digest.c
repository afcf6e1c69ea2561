/* SPDX-License-Identifier: GPL-2.0-only */
/* Digests by xxHash; see digest.h. Pure functions. */
#include "io/digest_impl.h"

static const struct sc_digest_impl baseline = {
	.begin = impl_begin,
	.add = impl_add,
	.end = impl_end,
};

static const struct sc_digest_impl *impl(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return &sc_digest_avx2;
#endif
	return &baseline;
}

void sc_digest_begin(struct sc_digest_state *state)
{
	impl()->begin(state);
}

void sc_digest_add(struct sc_digest_state *state, const void *p, size_t len)
{
	impl()->add(state, p, len);
}

void sc_digest_end(const struct sc_digest_state *state,
		   uint8_t ret[SC_DIGEST_SIZE])
{
	impl()->end(state, ret);
}

void sc_digest(const void *p, size_t len, uint8_t ret[SC_DIGEST_SIZE])
{
	struct sc_digest_state state;

	sc_digest_begin(&state);
	sc_digest_add(&state, p, len);
	sc_digest_end(&state, ret);
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
