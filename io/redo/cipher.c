/* SPDX-License-Identifier: GPL-2.0-only */
/* Encrypted redo blocks; see cipher.h. */
#include "io/redo/cipher.h"

#include "io/aes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	DATA_LEN = 4, /* offset of the data length, LOG_BLOCK_HDR_DATA_LEN */
	ENCRYPTED_BIT =
		0x80, /* in its first byte: LOG_BLOCK_ENCRYPT_BIT_MASK */
	MAIN = 496,   /* whole cipher blocks behind the header */
	TAIL = 2 * SC_AES_BLOCK,
	TAIL_AT = SC_REDO_BLOCK - TAIL,
};

struct sc_redo_cipher {
	struct sc_aes *aes;
	struct sc_space_key key;
};

struct sc_redo_cipher *sc_redo_cipher_new(const struct sc_space_key *key)
{
	struct sc_redo_cipher *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->key = *key;
	c->aes = sc_aes_new();
	if (c->aes)
		return c;
	sc_redo_cipher_free(c);
	return NULL;
}

void sc_redo_cipher_free(struct sc_redo_cipher *c)
{
	if (!c)
		return;
	sc_aes_free(c->aes);
	explicit_bzero(&c->key, sizeof(c->key));
	free(c);
}

static int cbc(struct sc_redo_cipher *c, bool encrypt, uint8_t *p, size_t len)
{
	return sc_aes256_cbc(c->aes, encrypt, c->key.key, c->key.iv, p, p, len);
}

int sc_redo_cipher_open(struct sc_redo_cipher *c, const uint8_t *block,
			uint8_t *plain)
{
	memcpy(plain, block, SC_REDO_BLOCK);
	if (cbc(c, false, plain + TAIL_AT, TAIL) ||
	    cbc(c, false, plain + SC_REDO_BLOCK_HEADER, MAIN))
		return -EIO;
	plain[DATA_LEN] &= (uint8_t)~ENCRYPTED_BIT;
	return 0;
}

int sc_redo_cipher_seal(struct sc_redo_cipher *c, const uint8_t *plain,
			uint8_t *block)
{
	memcpy(block, plain, SC_REDO_BLOCK);
	if (cbc(c, true, block + SC_REDO_BLOCK_HEADER, MAIN) ||
	    cbc(c, true, block + TAIL_AT, TAIL))
		return -EIO;
	block[DATA_LEN] |= ENCRYPTED_BIT;
	return 0;
}

enum sc_redo_verdict sc_redo_cipher_judge(struct sc_redo_cipher *c,
					  const uint8_t *block, uint64_t lsn,
					  struct sc_redo_block *ret,
					  uint8_t *plain)
{
	uint8_t clear[SC_REDO_BLOCK];
	enum sc_redo_verdict v = sc_redo_block_judge(block, lsn, ret);

	if (v != SC_REDO_ENCRYPTED || !c) {
		if (plain)
			memcpy(plain, block, SC_REDO_BLOCK);
		return v;
	}
	if (sc_redo_cipher_open(c, block, clear))
		return SC_REDO_TORN;
	v = sc_redo_block_judge(clear, lsn, NULL);
	if (plain)
		memcpy(plain, clear, SC_REDO_BLOCK);
	return v;
}

size_t sc_redo_cipher_judge_all(struct sc_redo_cipher *c, const uint8_t *blocks,
				size_t count, uint64_t lsn,
				enum sc_redo_verdict *ret_stop)
{
	size_t i;

	*ret_stop = SC_REDO_FULL;
	for (i = 0; i < count && *ret_stop == SC_REDO_FULL; i++)
		*ret_stop = sc_redo_cipher_judge(c, blocks + i * SC_REDO_BLOCK,
						 lsn + i * SC_REDO_BLOCK, NULL,
						 NULL);
	return *ret_stop == SC_REDO_FULL ? i : i - 1;
}

int sc_redo_cipher_cut(struct sc_redo_cipher *c, uint8_t *block, uint64_t lsn,
		       uint64_t end_lsn)
{
	uint8_t plain[SC_REDO_BLOCK];
	int rc;

	if (sc_redo_block_judge(block, lsn, NULL) != SC_REDO_ENCRYPTED)
		return sc_redo_block_cut(block, lsn, end_lsn);
	if (!c)
		return -ENOKEY;
	rc = sc_redo_cipher_open(c, block, plain);
	if (rc == 0)
		rc = sc_redo_block_cut(plain, lsn, end_lsn);
	return rc ? rc : sc_redo_cipher_seal(c, plain, block);
}
