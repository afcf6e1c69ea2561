/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which blocks of a chunk hold anything. What is all zero does not travel and
 * becomes a hole. Pure functions.
 */
#ifndef SC_BLOCKMAP_H
#define SC_BLOCKMAP_H

#include <stdbool.h>
#include <stdint.h>

/* The block size of every common file system, hence of the holes it keeps; also
 * the alignment that O_DIRECT wants at most. Source: mkfs.xfs(8), mke2fs(8). */
#define SC_BLOCK_SIZE 4096u
/* Unit of transfer and digest. A multiple of every InnoDB page size. */
#define SC_CHUNK_SIZE (1u << 20)
#define SC_CHUNK_BLOCKS (SC_CHUNK_SIZE / SC_BLOCK_SIZE)
#define SC_BLOCKMAP_SIZE (SC_CHUNK_BLOCKS / 8)

/* Bit n % 8 of byte n / 8 stands for block n; the last may be short. */
struct sc_blockmap {
	uint8_t bits[SC_BLOCKMAP_SIZE];
};

/*
 * Find the blocks of a chunk of len bytes (1..SC_CHUNK_SIZE) that are not zero.
 * group: blocks that are present or absent together, 1..SC_CHUNK_BLOCKS, a
 * power of two: a dense file shall not be torn into tiny extents.
 */
void sc_blockmap_find(struct sc_blockmap *map, const void *data, uint32_t len,
		      uint32_t group);

/* True unless a bit beyond the chunk's end is set (a frame's map). */
bool sc_blockmap_ok(const struct sc_blockmap *map, uint32_t len);

/* Bytes in the blocks that are present. */
uint32_t sc_blockmap_bytes(const struct sc_blockmap *map, uint32_t len);

/*
 * The next run of present blocks at or after byte *at: *at and *ret_len are set
 * to it. False when there is none.
 */
bool sc_blockmap_next(const struct sc_blockmap *map, uint32_t len, uint32_t *at,
		      uint32_t *ret_len);

/* Move the present blocks to the front; returns their bytes. */
uint32_t sc_blockmap_pack(const struct sc_blockmap *map, void *data,
			  uint32_t len);

/* The reverse: blocks move back to where they belong, the others are zeroed.
 */
void sc_blockmap_unpack(const struct sc_blockmap *map, void *data,
			uint32_t len);

#endif
