/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Integers in memory and on the wire: big-endian loads and stores (InnoDB's
 * files), little-endian ones (our frames), alignment, checked addition.
 */
#ifndef SC_BASE_NUM_H
#define SC_BASE_NUM_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SC_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SC_MAX(a, b) ((a) > (b) ? (a) : (b))
#define SC_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SC_KIB ((uint64_t)1 << 10)
#define SC_MIB ((uint64_t)1 << 20)
#define SC_GIB ((uint64_t)1 << 30)

#define SC_DEFINE_LOAD_STORE(suffix, type, to_host, from_host)                 \
	static inline type sc_load_##suffix(const void *p)                     \
	{                                                                      \
		type v;                                                        \
		memcpy(&v, p, sizeof(v));                                      \
		return to_host(v);                                             \
	}                                                                      \
	static inline void sc_store_##suffix(void *p, type v)                  \
	{                                                                      \
		v = from_host(v);                                              \
		memcpy(p, &v, sizeof(v));                                      \
	}

SC_DEFINE_LOAD_STORE(be16, uint16_t, be16toh, htobe16)
SC_DEFINE_LOAD_STORE(be32, uint32_t, be32toh, htobe32)
SC_DEFINE_LOAD_STORE(be64, uint64_t, be64toh, htobe64)
SC_DEFINE_LOAD_STORE(le16, uint16_t, le16toh, htole16)
SC_DEFINE_LOAD_STORE(le32, uint32_t, le32toh, htole32)
SC_DEFINE_LOAD_STORE(le64, uint64_t, le64toh, htole64)

/* align must be a power of two. */
static inline uint64_t sc_align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t sc_align_up(uint64_t v, uint64_t align)
{
	return sc_align_down(v + align - 1, align);
}

static inline bool sc_is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

#endif
