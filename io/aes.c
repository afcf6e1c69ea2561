/* SPDX-License-Identifier: GPL-2.0-only */
/* AES-256 by libcrypto; see aes.h. */
#include "io/aes.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct sc_aes {
	EVP_CIPHER *ecb, *cbc; /* fetched once: a lookup by name is slow */
	EVP_CIPHER_CTX *ctx;
};

struct sc_aes *sc_aes_new(void)
{
	struct sc_aes *aes = calloc(1, sizeof(*aes));

	if (!aes)
		return NULL;
	aes->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	aes->cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	aes->ctx = EVP_CIPHER_CTX_new();
	if (aes->ecb && aes->cbc && aes->ctx)
		return aes;
	ERR_clear_error();
	sc_aes_free(aes);
	return NULL;
}

void sc_aes_free(struct sc_aes *aes)
{
	if (!aes)
		return;
	EVP_CIPHER_CTX_free(aes->ctx);
	EVP_CIPHER_free(aes->ecb);
	EVP_CIPHER_free(aes->cbc);
	free(aes);
}

static int run(struct sc_aes *aes, const EVP_CIPHER *cipher, bool encrypt,
	       const uint8_t *key, const uint8_t *iv, const void *in, void *out,
	       size_t len)
{
	int n = 0, tail = 0;

	if (len % SC_AES_BLOCK || len > INT_MAX)
		return -EINVAL;
	if (EVP_CipherInit_ex2(aes->ctx, cipher, key, iv, encrypt, NULL) &&
	    EVP_CIPHER_CTX_set_padding(aes->ctx, 0) &&
	    EVP_CipherUpdate(aes->ctx, out, &n, in, (int)len) &&
	    EVP_CipherFinal_ex(aes->ctx, (uint8_t *)out + n, &tail) &&
	    (size_t)n + (size_t)tail == len)
		return 0;
	/* The queue is this thread's: daemon/tls.c reads it after its calls. */
	ERR_clear_error();
	return -EIO;
}

int sc_aes256_ecb(struct sc_aes *aes, bool encrypt,
		  const uint8_t key[SC_AES256_KEY], const void *in, void *out,
		  size_t len)
{
	return run(aes, aes->ecb, encrypt, key, NULL, in, out, len);
}

int sc_aes256_cbc(struct sc_aes *aes, bool encrypt,
		  const uint8_t key[SC_AES256_KEY],
		  const uint8_t iv[SC_AES_BLOCK], const void *in, void *out,
		  size_t len)
{
	return run(aes, aes->cbc, encrypt, key, iv, in, out, len);
}
