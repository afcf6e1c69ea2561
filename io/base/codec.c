/* SPDX-License-Identifier: GPL-2.0-only */
/* Message body encoding; see codec.h. No global state, any thread. */
#include "io/base/codec.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

void sc_enc_free(struct sc_enc *enc)
{
	/* Bodies may hold keys. */
	if (enc->data)
		explicit_bzero(enc->data, enc->len);
	free(enc->data);
	*enc = (struct sc_enc){ 0 };
}

/* Not realloc(3): that leaves a copy behind. */
static int enc_grow(struct sc_enc *enc, size_t cap)
{
	uint8_t *data = malloc(cap);
	size_t len = enc->len;

	if (!data)
		return -1;
	if (len)
		memcpy(data, enc->data, len);
	sc_enc_free(enc);
	*enc = (struct sc_enc){ .data = data, .len = len, .cap = cap };
	return 0;
}

static uint8_t *enc_room(struct sc_enc *enc, size_t n)
{
	size_t need;

	if (enc->failed || __builtin_add_overflow(enc->len, n, &need))
		return NULL;
	if (need > enc->cap) {
		if (enc_grow(enc, SC_MAX(need, enc->cap * 2 + 64)) < 0) {
			enc->failed = true;
			return NULL;
		}
	}
	enc->len = need;
	return enc->data + need - n;
}

void sc_enc_raw(struct sc_enc *enc, const void *p, size_t len)
{
	uint8_t *to = enc_room(enc, len);

	if (to && len)
		memcpy(to, p, len);
}

void sc_enc_u8(struct sc_enc *enc, uint8_t v)
{
	sc_enc_raw(enc, &v, 1);
}

void sc_enc_u16(struct sc_enc *enc, uint16_t v)
{
	v = htole16(v);
	sc_enc_raw(enc, &v, sizeof(v));
}

void sc_enc_u32(struct sc_enc *enc, uint32_t v)
{
	v = htole32(v);
	sc_enc_raw(enc, &v, sizeof(v));
}

void sc_enc_u64(struct sc_enc *enc, uint64_t v)
{
	v = htole64(v);
	sc_enc_raw(enc, &v, sizeof(v));
}

void sc_enc_str(struct sc_enc *enc, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len > UINT32_MAX) {
		enc->failed = true;
		return;
	}
	sc_enc_u32(enc, (uint32_t)len);
	sc_enc_raw(enc, s, len);
}

static const uint8_t *dec_take(struct sc_dec *dec, size_t n)
{
	const uint8_t *p = dec->p;

	if (dec->failed || n > dec->left) {
		dec->failed = true;
		return NULL;
	}
	dec->p += n;
	dec->left -= n;
	return p;
}

void sc_dec_raw(struct sc_dec *dec, void *p, size_t len)
{
	const uint8_t *from = dec_take(dec, len);

	if (from)
		memcpy(p, from, len);
	else
		memset(p, 0, len);
}

uint8_t sc_dec_u8(struct sc_dec *dec)
{
	const uint8_t *p = dec_take(dec, 1);

	return p ? *p : 0;
}

uint16_t sc_dec_u16(struct sc_dec *dec)
{
	const uint8_t *p = dec_take(dec, 2);

	return p ? sc_load_le16(p) : 0;
}

uint32_t sc_dec_u32(struct sc_dec *dec)
{
	const uint8_t *p = dec_take(dec, 4);

	return p ? sc_load_le32(p) : 0;
}

uint64_t sc_dec_u64(struct sc_dec *dec)
{
	const uint8_t *p = dec_take(dec, 8);

	return p ? sc_load_le64(p) : 0;
}

/* The bytes of the next string, or NULL; a NUL byte inside is a failure. */
static const uint8_t *dec_str(struct sc_dec *dec, size_t max, size_t *ret_len)
{
	uint32_t len = sc_dec_u32(dec);
	const uint8_t *p;

	if (dec->failed || len > max) {
		dec->failed = true;
		return NULL;
	}
	p = dec_take(dec, len);
	if (p && memchr(p, '\0', len)) {
		dec->failed = true;
		return NULL;
	}
	*ret_len = len;
	return p;
}

void sc_dec_str(struct sc_dec *dec, char *buf, size_t cap)
{
	size_t len;
	const uint8_t *p = dec_str(dec, cap - 1, &len);

	if (!p) {
		buf[0] = '\0';
		return;
	}
	memcpy(buf, p, len);
	buf[len] = '\0';
}

char *sc_dec_strdup(struct sc_dec *dec, size_t max)
{
	size_t len;
	const uint8_t *p = dec_str(dec, max, &len);
	char *s = p ? malloc(len + 1) : NULL;

	if (!s) {
		dec->no_memory |= !dec->failed;
		dec->failed = true;
		return NULL;
	}
	memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

int sc_dec_end(const struct sc_dec *dec)
{
	return dec->failed || dec->left ? -1 : 0;
}
