/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Digests: XXH3-128 of a chunk's logical bytes, XXH3-64 of frame headers. The
 * only user of xxHash. Not cryptographic: they find damage, TLS finds
 * attackers. Any thread, each its own state.
 */
#ifndef SC_DIGEST_H
#define SC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SC_DIGEST_SIZE 16

/* A piece of a chunk that is hashed while it is still in the cache that the
 * step before it filled: half of a small core's second-level cache. */
#define SC_DIGEST_PIECE (128u << 10)

/* XXH3_state_t. */
struct sc_digest_state {
	_Alignas(64) uint8_t opaque[640];
};

void sc_digest_begin(struct sc_digest_state *state);
void sc_digest_add(struct sc_digest_state *state, const void *p, size_t len);
/* Source: xxHash doc/xxhash_spec.md, canonical (big-endian) representation. */
void sc_digest_end(const struct sc_digest_state *state,
		   uint8_t ret[SC_DIGEST_SIZE]);

/* All at once. */
void sc_digest(const void *p, size_t len, uint8_t ret[SC_DIGEST_SIZE]);

/* Two ranges hashed as one message of a then b (b may be NULL, len 0). */
uint64_t sc_digest64(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
