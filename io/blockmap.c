/* SPDX-License-Identifier: GPL-2.0-only */
/* The blocks of a chunk; see blockmap.h. */
#include "io/blockmap.h"

#include "io/base/num.h"
#include "io/pages.h"

static uint32_t blocks_of(uint32_t len)
{
	return (len + SC_BLOCK_SIZE - 1) / SC_BLOCK_SIZE;
}

static bool has(const struct sc_blockmap *map, uint32_t block)
{
	return map->bits[block / 8] >> block % 8 & 1;
}

/* Bytes of a block; the last one may be short. */
static uint32_t block_len(uint32_t block, uint32_t len)
{
	return SC_MIN(len - block * SC_BLOCK_SIZE, SC_BLOCK_SIZE);
}

void sc_blockmap_find(struct sc_blockmap *map, const void *data, uint32_t len,
		      uint32_t group)
{
	uint32_t n = blocks_of(len);

	*map = (struct sc_blockmap){ { 0 } };
	for (uint32_t from = 0; from < n; from += group) {
		uint32_t to = SC_MIN(from + group, n);
		uint32_t at = from * SC_BLOCK_SIZE;

		if (sc_is_zero((const char *)data + at,
			       SC_MIN(len, to * SC_BLOCK_SIZE) - at))
			continue;
		for (uint32_t i = from; i < to; i++)
			map->bits[i / 8] |= (uint8_t)(1u << i % 8);
	}
}

bool sc_blockmap_ok(const struct sc_blockmap *map, uint32_t len)
{
	for (uint32_t i = blocks_of(len); i < SC_CHUNK_BLOCKS; i++) {
		if (has(map, i))
			return false;
	}
	return true;
}

uint32_t sc_blockmap_bytes(const struct sc_blockmap *map, uint32_t len)
{
	uint32_t at = 0, run, sum = 0;

	for (; sc_blockmap_next(map, len, &at, &run); at += run)
		sum += run;
	return sum;
}

bool sc_blockmap_next(const struct sc_blockmap *map, uint32_t len, uint32_t *at,
		      uint32_t *ret_len)
{
	uint32_t n = blocks_of(len), from = blocks_of(*at), to;

	while (from < n && !has(map, from))
		from++;
	if (from >= n)
		return false;
	for (to = from + 1; to < n && has(map, to); to++)
		;
	*at = from * SC_BLOCK_SIZE;
	*ret_len = SC_MIN(len, to * SC_BLOCK_SIZE) - *at;
	return true;
}

uint32_t sc_blockmap_pack(const struct sc_blockmap *map, void *data,
			  uint32_t len)
{
	uint32_t at = 0, run, packed = 0;

	for (; sc_blockmap_next(map, len, &at, &run); at += run) {
		if (at != packed)
			memmove((char *)data + packed, (char *)data + at, run);
		packed += run;
	}
	return packed;
}

void sc_blockmap_unpack(const struct sc_blockmap *map, void *data, uint32_t len)
{
	uint32_t from = sc_blockmap_bytes(map, len);

	/* Backwards: a block never lies before its packed place. */
	for (uint32_t block = blocks_of(len); block-- > 0;) {
		uint32_t n = block_len(block, len);
		char *to = (char *)data + block * SC_BLOCK_SIZE;

		if (from == block * SC_BLOCK_SIZE + n)
			return; /* this and all before it are in place */
		if (has(map, block)) {
			from -= n;
			memmove(to, (char *)data + from, n);
		} else {
			memset(to, 0, n);
		}
	}
}
