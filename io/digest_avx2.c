/* SPDX-License-Identifier: GPL-2.0-only */
/* The digest with AVX2, which is twice as fast on data in a cache; see
 * digest_impl.h. */
#ifdef __x86_64__

#pragma GCC target("avx2")
#define XXH_VECTOR 2 /* XXH_AVX2; defined by xxhash.h only */

#include "io/digest_impl.h"

const struct sc_digest_impl sc_digest_avx2 = {
	.begin = impl_begin,
	.add = impl_add,
	.end = impl_end,
};

#else
typedef int sc_digest_avx2_is_for_x86_only;
#endif
