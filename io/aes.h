/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AES-256 in CBC and ECB mode over whole blocks, without padding, as InnoDB
 * uses it for pages, redo and the keys it stores. The only user of libcrypto in
 * io/. An object holds cipher contexts, so that nothing is allocated per call;
 * it belongs to one thread at a time.
 */
#ifndef SC_IO_AES_H
#define SC_IO_AES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Source: FIPS 197 (AES-256: 32 byte key, 16 byte block). */
#define SC_AES_BLOCK 16
#define SC_AES256_KEY 32

struct sc_aes;

/* NULL when out of memory. The caller frees it with sc_aes_free(), which takes
 * NULL too and clears the keys. */
struct sc_aes *sc_aes_new(void);
void sc_aes_free(struct sc_aes *aes);

/*
 * Encrypt or decrypt len bytes, 0 to INT_MAX, a multiple of SC_AES_BLOCK. in
 * and out: len bytes each, the same buffer or apart. Returns 0; -EINVAL for
 * another len; -EIO when libcrypto refuses (no memory, a provider without
 * AES). Source: os0enc.cc uses my_aes_encrypt() with no padding.
 */
int sc_aes256_ecb(struct sc_aes *aes, bool encrypt,
		  const uint8_t key[SC_AES256_KEY], const void *in, void *out,
		  size_t len);
int sc_aes256_cbc(struct sc_aes *aes, bool encrypt,
		  const uint8_t key[SC_AES256_KEY],
		  const uint8_t iv[SC_AES_BLOCK], const void *in, void *out,
		  size_t len);

#endif
