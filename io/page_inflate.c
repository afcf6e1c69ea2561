/* SPDX-License-Identifier: GPL-2.0-only */
/* Decompression of page bodies; see page_inflate.h. */
#include "io/page_inflate.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <stdlib.h>
#include <zlib.h>

struct sc_inflate {
	z_stream zlib;
};

struct sc_inflate *sc_inflate_new(void)
{
	struct sc_inflate *inflate = calloc(1, sizeof(*inflate));

	if (inflate && inflateInit(&inflate->zlib) == Z_OK)
		return inflate;
	free(inflate);
	return NULL;
}

void sc_inflate_free(struct sc_inflate *inflate)
{
	if (!inflate)
		return;
	inflateEnd(&inflate->zlib);
	free(inflate);
}

/* Twin of zlib's uncompress(), which allocates its state for each call. */
static int run_zlib(z_stream *z, const uint8_t *in, size_t len, uint8_t *out,
		    size_t out_len)
{
	if (inflateReset(z) != Z_OK)
		return -EBADMSG;
	z->next_in = (z_const Bytef *)in;
	z->avail_in = (uInt)len;
	z->next_out = out;
	z->avail_out = (uInt)out_len;
	if (inflate(z, Z_FINISH) != Z_STREAM_END || z->avail_out)
		return -EBADMSG;
	return 0;
}

int sc_inflate_run(struct sc_inflate *inflate, unsigned algorithm,
		   const uint8_t *in, size_t len, uint8_t *out, size_t out_len)
{
	if (len > INT_MAX || out_len > INT_MAX)
		return -EBADMSG;
	if (algorithm == SC_PAGE_ZLIB)
		return run_zlib(&inflate->zlib, in, len, out, out_len);
	if (algorithm == SC_PAGE_LZ4 &&
	    LZ4_decompress_safe((const char *)in, (char *)out, (int)len,
				(int)out_len) == (int)out_len)
		return 0;
	return -EBADMSG;
}
