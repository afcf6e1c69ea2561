/* SPDX-License-Identifier: GPL-2.0-only */
/* Decryption and decompression of pages; see page_open.h. */
#include "io/page_open.h"

#include "io/aes.h"
#include "io/page_inflate.h"

#include <stdlib.h>

/*
 * Header fields, big-endian; 26 to 33 hold control data here. Source:
 * storage/innobase/include/fil0types.h (FIL_PAGE_VERSION and following).
 */
enum {
	OFF_TYPE = 24,
	OFF_VERSION = 26,
	OFF_ALGORITHM = 27,
	OFF_ORIGINAL_TYPE = 28,
	OFF_ORIGINAL_SIZE = 30,
	OFF_COMPRESSED_SIZE = 32,
	OFF_DATA = 38,
	CONTROL_LEN = 8,
};

/* Compression::FIL_PAGE_VERSION_1 and _2 in os0file.h. */
enum { VERSION_1 = 1, VERSION_2 = 2 };

/* Version 2 encrypts at least that much. Source: os0enc.cc,
 * MIN_ENCRYPTION_LEN. */
enum { ENCRYPTED_MIN = 2 * SC_AES_BLOCK + OFF_DATA };

/* FIL_PAGE_RTREE in fil0fil.h. */
enum { TYPE_RTREE = 17854 };

struct sc_page_opener {
	struct sc_aes *aes;
	struct sc_inflate *inflate;
	uint8_t clear[SC_PAGE_SIZE_MAX]; /* decrypted */
	uint8_t whole[SC_PAGE_SIZE_MAX]; /* decompressed */
};

struct sc_page_opener *sc_page_opener_new(void)
{
	struct sc_page_opener *opener = calloc(1, sizeof(*opener));

	if (!opener)
		return NULL;
	opener->aes = sc_aes_new();
	opener->inflate = sc_inflate_new();
	if (opener->aes && opener->inflate)
		return opener;
	sc_page_opener_free(opener);
	return NULL;
}

void sc_page_opener_free(struct sc_page_opener *opener)
{
	if (!opener)
		return;
	sc_aes_free(opener->aes);
	sc_inflate_free(opener->inflate);
	explicit_bzero(opener, sizeof(*opener));
	free(opener);
}

bool sc_page_control_ok(const struct sc_page_spec *spec, const void *page)
{
	const uint8_t *p = page;
	uint32_t body = spec->physical_size - OFF_DATA;
	uint32_t compressed = sc_load_be16(p + OFF_COMPRESSED_SIZE);

	/* The server compresses whole pages only, all but their header. Source:
	 * os_file_compress_page() in os0file.cc. */
	return !spec->compressed &&
	       (p[OFF_VERSION] == VERSION_1 || p[OFF_VERSION] == VERSION_2) &&
	       (p[OFF_ALGORITHM] == SC_PAGE_ZLIB ||
		p[OFF_ALGORITHM] == SC_PAGE_LZ4) &&
	       sc_load_be16(p + OFF_ORIGINAL_SIZE) == body && compressed > 0 &&
	       compressed < body;
}

uint32_t sc_page_used_len(const struct sc_page_spec *spec, const void *page)
{
	uint32_t len = spec->physical_size;
	uint16_t type = sc_page_type(page);

	if (type == SC_PAGE_TYPE_COMPRESSED ||
	    type == SC_PAGE_TYPE_COMPRESSED_AND_ENCRYPTED)
		len = SC_MIN(len, sc_load_be16((const uint8_t *)page +
					       OFF_COMPRESSED_SIZE) +
					  (uint32_t)OFF_DATA);
	return SC_MAX(len, (uint32_t)ENCRYPTED_MIN);
}

/*
 * The body was encrypted as far as whole blocks go; when a rest remained, the
 * last two blocks' length, rest included, was encrypted once more: so that is
 * undone first. Source: Encryption::encrypt_low() and decrypt() in os0enc.cc.
 */
static int decrypt_body(struct sc_page_opener *o,
			const struct sc_space_key *key, const uint8_t *in,
			uint8_t *out, uint32_t len)
{
	uint32_t whole = len / SC_AES_BLOCK * SC_AES_BLOCK;
	uint32_t twice = len - 2 * SC_AES_BLOCK;

	if (whole == len)
		return sc_aes256_cbc(o->aes, false, key->key, key->iv, in, out,
				     len);
	memcpy(out, in, twice);
	if (sc_aes256_cbc(o->aes, false, key->key, key->iv, in + twice,
			  out + twice, 2 * SC_AES_BLOCK) < 0)
		return -1;
	return sc_aes256_cbc(o->aes, false, key->key, key->iv, out, out, whole);
}

/* The type a decrypted page had before. */
static uint16_t type_before(const uint8_t *p)
{
	switch (sc_page_type(p)) {
	case SC_PAGE_TYPE_COMPRESSED_AND_ENCRYPTED:
		return SC_PAGE_TYPE_COMPRESSED;
	case SC_PAGE_TYPE_ENCRYPTED_RTREE:
		return TYPE_RTREE;
	default:
		return sc_load_be16(p + OFF_ORIGINAL_TYPE);
	}
}

static bool decrypt(struct sc_page_opener *o, const struct sc_page_spec *spec,
		    const uint8_t *p)
{
	uint32_t len = sc_page_used_len(spec, p);

	if (decrypt_body(o, spec->key, p + OFF_DATA, o->clear + OFF_DATA,
			 len - OFF_DATA) < 0)
		return false;
	memcpy(o->clear, p, OFF_DATA);
	/* The header's type was overwritten; the other control bytes are not
	 * under the checksum, or (in R-trees) were left alone. */
	sc_store_be16(o->clear + OFF_TYPE, type_before(p));
	memset(o->clear + len, 0, spec->physical_size - len);
	return true;
}

static bool decompress(struct sc_page_opener *o,
		       const struct sc_page_spec *spec, const uint8_t *p)
{
	if (!sc_page_control_ok(spec, p) ||
	    sc_inflate_run(o->inflate, p[OFF_ALGORITHM], p + OFF_DATA,
			   sc_load_be16(p + OFF_COMPRESSED_SIZE),
			   o->whole + OFF_DATA,
			   spec->physical_size - OFF_DATA) < 0)
		return false;
	memcpy(o->whole, p, OFF_DATA);
	sc_store_be16(o->whole + OFF_TYPE, sc_load_be16(p + OFF_ORIGINAL_TYPE));
	memset(o->whole + OFF_VERSION, 0, CONTROL_LEN);
	return true;
}

/* Decrypt where it is needed; *p is where to go on. */
static enum sc_page_verdict open_encrypted(struct sc_page_opener *o,
					   const struct sc_page_spec *spec,
					   const uint8_t **p)
{
	bool both = sc_page_type(*p) == SC_PAGE_TYPE_COMPRESSED_AND_ENCRYPTED;

	if (both && !sc_page_control_ok(spec, *p))
		return SC_PAGE_BAD;
	if (!spec->key)
		return SC_PAGE_ENCRYPTED;
	if (both && (*p)[OFF_VERSION] == VERSION_1)
		return SC_PAGE_UNCHECKED;
	if (!decrypt(o, spec, *p))
		return SC_PAGE_BAD;
	*p = o->clear;
	return SC_PAGE_OK;
}

enum sc_page_verdict sc_page_open(struct sc_page_opener *opener,
				  const struct sc_page_spec *spec,
				  const void *page, const uint8_t **ret)
{
	const uint8_t *p = page;
	enum sc_page_verdict v;

	if (sc_page_type(p) != SC_PAGE_TYPE_COMPRESSED) {
		v = open_encrypted(opener, spec, &p);
		if (v != SC_PAGE_OK)
			return v;
	}
	if (sc_page_type(p) == SC_PAGE_TYPE_COMPRESSED) {
		if (!decompress(opener, spec, p))
			return SC_PAGE_BAD;
		p = opener->whole;
	}
	*ret = p;
	return SC_PAGE_OK;
}
