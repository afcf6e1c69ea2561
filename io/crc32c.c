/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRC-32C: eight-byte slicing by tables, and on x86-64 the crc32 instruction
 * in three interleaved lanes (its latency is three cycles, its throughput one)
 * whose results are joined by carry-less multiplication.
 */
#include "io/crc32c.h"

#include "io/base/num.h"

/*
 * Slicing tables. Row k is the CRC of one byte followed by k zero bytes. CRC
 * is linear: the entry of n is the XOR of the entries of n's bits, so eight
 * values per row are enough, and the compiler does the rest.
 */
#define BITS(n, b0, b1, b2, b3, b4, b5, b6, b7)                                \
	(((n)&1 ? b0 : 0) ^ ((n)&2 ? b1 : 0) ^ ((n)&4 ? b2 : 0) ^              \
	 ((n)&8 ? b3 : 0) ^ ((n)&16 ? b4 : 0) ^ ((n)&32 ? b5 : 0) ^            \
	 ((n)&64 ? b6 : 0) ^ ((n)&128 ? b7 : 0))
#define ROW4(n, ...)                                                           \
	BITS((n), __VA_ARGS__), BITS((n) + 1, __VA_ARGS__),                    \
		BITS((n) + 2, __VA_ARGS__), BITS((n) + 3, __VA_ARGS__)
#define ROW16(n, ...)                                                          \
	ROW4((n), __VA_ARGS__), ROW4((n) + 4, __VA_ARGS__),                    \
		ROW4((n) + 8, __VA_ARGS__), ROW4((n) + 12, __VA_ARGS__)
#define ROW64(n, ...)                                                          \
	ROW16((n), __VA_ARGS__), ROW16((n) + 16, __VA_ARGS__),                 \
		ROW16((n) + 32, __VA_ARGS__), ROW16((n) + 48, __VA_ARGS__)
#define ROW(...)                                                               \
	{                                                                      \
		ROW64(0, __VA_ARGS__), ROW64(64, __VA_ARGS__),                 \
			ROW64(128, __VA_ARGS__), ROW64(192, __VA_ARGS__)       \
	}

/* clang-format off */
static const uint32_t slices[8][256] = {
	ROW(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf,
	    0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
	ROW(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8,
	    0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
	ROW(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5,
	    0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
	ROW(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6,
	    0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
	ROW(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91,
	    0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
	ROW(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f,
	    0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
	ROW(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53,
	    0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
	ROW(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da,
	    0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};
/* clang-format on */

static uint32_t slice_word(uint64_t v)
{
	uint32_t crc = 0;

	for (int i = 0; i < 8; i++, v >>= 8)
		crc ^= slices[7 - i][v & 0xff];
	return crc;
}

uint32_t sc_crc32c_tables(uint32_t crc, const void *p, size_t len)
{
	const uint8_t *s = p;
	uint32_t c = ~crc;

	for (; len >= 8; s += 8, len -= 8)
		c = slice_word(c ^ sc_load_le64(s));
	for (; len; s++, len--)
		c = (c >> 8) ^ slices[0][(c ^ *s) & 0xff];
	return ~c;
}

#ifdef __x86_64__

#include <nmmintrin.h>
#include <wmmintrin.h>

#define HW __attribute__((target("sse4.2,pclmul")))

/* Lane lengths in bytes (multiples of 8) and x^(8*lane - 33) mod P, which
 * moves a CRC over that many bytes (one multiplication, one crc32). */
enum { LANE_BIG = 1344, LANE_SMALL = 168 };
enum { SHIFT_BIG = 0xc9c8b782, SHIFT_SMALL = 0x1b3d8f29 };

HW static uint64_t shift_lane(uint64_t crc, uint32_t by)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc),
					       _mm_cvtsi32_si128((int)by), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three lanes of `lane` bytes at s; c is the register before them. */
HW static inline uint64_t three_lanes(uint64_t c, const uint8_t *s, size_t lane,
				      uint32_t by)
{
	uint64_t c1 = 0, c2 = 0;

	for (const uint8_t *end = s + lane; s < end; s += 8) {
		c = _mm_crc32_u64(c, sc_load_le64(s));
		c1 = _mm_crc32_u64(c1, sc_load_le64(s + lane));
		c2 = _mm_crc32_u64(c2, sc_load_le64(s + 2 * lane));
	}
	c = shift_lane(c, by) ^ c1;
	return shift_lane(c, by) ^ c2;
}

HW static uint32_t crc32c_hw(uint32_t crc, const uint8_t *s, size_t len)
{
	uint64_t c = ~crc;

	for (; len >= 3 * LANE_BIG; s += 3 * LANE_BIG, len -= 3 * LANE_BIG)
		c = three_lanes(c, s, LANE_BIG, SHIFT_BIG);
	for (; len >= 3 * LANE_SMALL;
	     s += 3 * LANE_SMALL, len -= 3 * LANE_SMALL)
		c = three_lanes(c, s, LANE_SMALL, SHIFT_SMALL);
	for (; len >= 8; s += 8, len -= 8)
		c = _mm_crc32_u64(c, sc_load_le64(s));
	for (; len; s++, len--)
		c = _mm_crc32_u8((uint32_t)c, *s);
	return ~(uint32_t)c;
}

uint32_t sc_crc32c(uint32_t crc, const void *p, size_t len)
{
	if (__builtin_cpu_supports("sse4.2") &&
	    __builtin_cpu_supports("pclmul"))
		return crc32c_hw(crc, p, len);
	return sc_crc32c_tables(crc, p, len);
}

#else

uint32_t sc_crc32c(uint32_t crc, const void *p, size_t len)
{
	return sc_crc32c_tables(crc, p, len);
}

#endif
