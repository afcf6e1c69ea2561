/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Encoding and decoding of message bodies: little-endian integers and
 * length-prefixed byte strings. An encoder or decoder that once failed stays
 * failed, so that callers check once, at the end.
 */
#ifndef SC_BASE_CODEC_H
#define SC_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Growing output buffer. Zero-initialise; free with sc_enc_free(). */
struct sc_enc {
	uint8_t *data; /* owned */
	size_t len, cap;
	bool failed; /* out of memory */
};

void sc_enc_free(struct sc_enc *enc);
#define CLEANUP_ENC __attribute__((cleanup(sc_enc_free)))

void sc_enc_u8(struct sc_enc *enc, uint8_t v);
void sc_enc_u16(struct sc_enc *enc, uint16_t v);
void sc_enc_u32(struct sc_enc *enc, uint32_t v);
void sc_enc_u64(struct sc_enc *enc, uint64_t v);
/* Fixed-size bytes, no length prefix. */
void sc_enc_raw(struct sc_enc *enc, const void *p, size_t len);
/* u32 length and bytes; s may be NULL (= empty). */
void sc_enc_str(struct sc_enc *enc, const char *s);

/* Reads from memory it does not own; never reads past the end. */
struct sc_dec {
	const uint8_t *p;
	size_t left;
	bool failed; /* body too short, string too long or with a NUL inside */
	bool no_memory; /* failed by that */
};

static inline struct sc_dec sc_dec_init(const void *p, size_t len)
{
	return (struct sc_dec){ .p = p, .left = len };
}

uint8_t sc_dec_u8(struct sc_dec *dec);
uint16_t sc_dec_u16(struct sc_dec *dec);
uint32_t sc_dec_u32(struct sc_dec *dec);
uint64_t sc_dec_u64(struct sc_dec *dec);
void sc_dec_raw(struct sc_dec *dec, void *p, size_t len);
/* Copy a string into a caller's array of `cap` bytes, NUL-terminated. */
void sc_dec_str(struct sc_dec *dec, char *buf, size_t cap);
/* A new NUL-terminated string of at most max bytes; caller frees; NULL on
 * failure. */
char *sc_dec_strdup(struct sc_dec *dec, size_t max);
/* 0 when everything was read and nothing failed, else -1. */
int sc_dec_end(const struct sc_dec *dec);

#endif
