/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Digests: XXH3-128 of a chunk's logical bytes, XXH3-64 of frame headers. The
 * only user of xxHash. Not cryptographic: they find damage, TLS finds
 * attackers.
 */
#ifndef SC_DIGEST_H
#define SC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define SC_DIGEST_SIZE 16

/* Source: xxHash doc/xxhash_spec.md, canonical (big-endian) representation. */
void sc_digest(const void *p, size_t len, uint8_t ret[SC_DIGEST_SIZE]);

/* Two ranges hashed as one message of a then b (b may be NULL, len 0). */
uint64_t sc_digest64(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
