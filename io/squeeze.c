/* SPDX-License-Identifier: GPL-2.0-only */
/* zstd; see squeeze.h. */
#include "io/squeeze.h"

#include "io/base/num.h"
#include "io/blockmap.h"

#include <stdlib.h>
#include <zstd.h>

/* InnoDB pages shrink to a half or a third at every level; level 1 does it at
 * the least cost. Source: zstd.h, ZSTD_compressCCtx(). */
#define LEVEL 1

/* It pays when an eighth is saved; else leave out more and more chunks. */
#define MAX_SKIP 16

struct sc_squeeze {
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	unsigned skip, skip_next;
	size_t cap;
	char buf[]; /* cap bytes */
};

struct sc_squeeze *sc_squeeze_new(void)
{
	size_t cap = ZSTD_compressBound(SC_CHUNK_SIZE);
	struct sc_squeeze *sq = calloc(1, sizeof(*sq) + cap);

	if (!sq)
		return NULL;
	sq->cap = cap;
	sq->skip_next = 1;
	sq->cctx = ZSTD_createCCtx();
	sq->dctx = ZSTD_createDCtx();
	if (sq->cctx && sq->dctx)
		return sq;
	sc_squeeze_free(sq);
	return NULL;
}

void sc_squeeze_free(struct sc_squeeze *sq)
{
	if (!sq)
		return;
	ZSTD_freeCCtx(sq->cctx);
	ZSTD_freeDCtx(sq->dctx);
	free(sq);
}

size_t sc_squeeze(struct sc_squeeze *sq, const void *data, size_t len,
		  const void **ret)
{
	size_t n;

	if (sq->skip) {
		sq->skip--;
		return 0;
	}
	n = ZSTD_compressCCtx(sq->cctx, sq->buf, sq->cap, data, len, LEVEL);
	if (ZSTD_isError(n) || n >= len - len / 8) {
		sq->skip = sq->skip_next;
		sq->skip_next = SC_MIN(2 * sq->skip_next, MAX_SKIP);
		return 0;
	}
	sq->skip_next = 1;
	*ret = sq->buf;
	return n;
}

void *sc_unsqueeze_buffer(struct sc_squeeze *sq)
{
	return sq->buf;
}

int sc_unsqueeze(struct sc_squeeze *sq, size_t len, void *dst, size_t dst_len,
		 struct sc_err *err)
{
	size_t n = ZSTD_decompressDCtx(sq->dctx, dst, dst_len, sq->buf, len);

	if (!ZSTD_isError(n) && n == dst_len)
		return 0;
	return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
			  "data connection: a compressed chunk is damaged (%s)",
			  ZSTD_isError(n) ? ZSTD_getErrorName(n)
					  : "wrong length");
}
