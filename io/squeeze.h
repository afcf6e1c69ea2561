/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Compression of a stream's chunks; the only user of libzstd. One object per
 * stream and direction, used by that stream's thread; its memory is allocated
 * when it is made.
 */
#ifndef SC_SQUEEZE_H
#define SC_SQUEEZE_H

#include "io/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct sc_squeeze;

/* NULL when out of memory. */
struct sc_squeeze *sc_squeeze_new(void);
void sc_squeeze_free(struct sc_squeeze *sq);

/*
 * Compress up to SC_CHUNK_SIZE bytes. Returns the compressed length and sets
 * *ret to it, valid until the next call; 0 when it does not pay: then data goes
 * out as it is, and for some chunks it is not even tried.
 */
size_t sc_squeeze(struct sc_squeeze *sq, const void *data, size_t len,
		  const void **ret);

/* Where the compressed bytes of a frame are received: SC_CHUNK_SIZE of them. */
void *sc_unsqueeze_buffer(struct sc_squeeze *sq);

/* Decompress len bytes of the buffer into dst, which must become exactly
 * dst_len bytes. 0 or -1 with err. */
int sc_unsqueeze(struct sc_squeeze *sq, size_t len, void *dst, size_t dst_len,
		 struct sc_err *err);

#endif
