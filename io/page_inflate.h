/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The decompressors of transparent page compression; the only user of zlib and
 * lz4. Memory is allocated when the object is made, not per page. Internal to
 * io/page_open.c; one thread at a time.
 */
#ifndef SC_IO_PAGE_INFLATE_H
#define SC_IO_PAGE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Source: Compression::Type in storage/innobase/include/os0file.h. */
enum sc_page_algorithm {
	SC_PAGE_ZLIB = 1,
	SC_PAGE_LZ4 = 2,
};

struct sc_inflate;

/* NULL when out of memory. sc_inflate_free() takes NULL. */
struct sc_inflate *sc_inflate_new(void);
void sc_inflate_free(struct sc_inflate *inflate);

/*
 * Decompress len bytes at in to exactly out_len bytes at out. Nothing is read
 * or written beyond the two, whatever the input is. algorithm: a value of enum
 * sc_page_algorithm, others are refused. Returns 0; -EBADMSG when the input is
 * damaged or does not make out_len bytes.
 */
int sc_inflate_run(struct sc_inflate *inflate, unsigned algorithm,
		   const uint8_t *in, size_t len, uint8_t *out, size_t out_len);

#endif
