/* SPDX-License-Identifier: GPL-2.0-only */
/* Traffic keys of TLS 1.3; see tls_keys.h. */
#include "daemon/tls_keys.h"

#include "io/base/num.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <string.h>

/* ---- key schedule -----------------------------------------------------------
 */

static int expand(const uint8_t *secret, uint8_t *info, size_t info_len,
		  uint8_t *ret, size_t len)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256",
				       6),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
					SC_TLS_SECRET),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, info_len),
		OSSL_PARAM_END
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int ok = ctx && EVP_KDF_derive(ctx, ret, len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? 0 : -1;
}

int sc_tls_expand_label(const uint8_t secret[SC_TLS_SECRET], const char *label,
			uint8_t *ret, size_t len)
{
	/* HkdfLabel: u16 length, "tls13 " + label and an empty context, each
	 * after a byte with its length. */
	static const char prefix[6] = { 't', 'l', 's', '1', '3', ' ' };
	uint8_t info[2 + 1 + 6 + 12 + 1];
	size_t n = strlen(label);

	if (n > 12 || len > 255)
		return -1;
	sc_store_be16(info, (uint16_t)len);
	info[2] = (uint8_t)(sizeof(prefix) + n);
	memcpy(info + 3, prefix, sizeof(prefix));
	memcpy(info + 9, label, n);
	info[9 + n] = 0;
	return expand(secret, info, 10 + n, ret, len);
}

static int set_nonce(struct sc_tls_keys *k)
{
	uint8_t nonce[SC_TLS_IV];
	uint64_t tail;

	/* RFC 8446 5.3: the sequence number, padded on the left, xor iv. */
	memcpy(nonce, k->iv, sizeof(nonce));
	tail = sc_load_be64(nonce + 4) ^ k->seq;
	sc_store_be64(nonce + 4, tail);
	return EVP_CipherInit_ex(k->ctx, NULL, NULL, NULL, nonce, -1) == 1 ? 0
									   : -1;
}

/* Key and iv of k->secret: RFC 8446 7.3. Each key starts at number 0: 5.3. */
static int derive(struct sc_tls_keys *k, int seals)
{
	uint8_t key[SC_TLS_KEY];
	int rc = -1;

	k->seq = 0;
	if (sc_tls_expand_label(k->secret, "key", key, sizeof(key)) == 0 &&
	    sc_tls_expand_label(k->secret, "iv", k->iv, sizeof(k->iv)) == 0 &&
	    EVP_CipherInit_ex(k->ctx, EVP_aes_128_gcm(), NULL, key, NULL,
			      seals) == 1)
		rc = 0;
	OPENSSL_cleanse(key, sizeof(key));
	return rc;
}

int sc_tls_keys_init(struct sc_tls_keys *k, const uint8_t secret[SC_TLS_SECRET],
		     bool seals)
{
	*k = (struct sc_tls_keys){ .ctx = EVP_CIPHER_CTX_new() };
	memcpy(k->secret, secret, sizeof(k->secret));
	if (!k->ctx || derive(k, seals) < 0)
		return -1;
	return set_nonce(k);
}

void sc_tls_keys_free(struct sc_tls_keys *k)
{
	EVP_CIPHER_CTX_free(k->ctx); /* clears its key */
	OPENSSL_cleanse(k, sizeof(*k));
}

int sc_tls_keys_next(struct sc_tls_keys *k)
{
	uint8_t next[SC_TLS_SECRET];
	int rc = sc_tls_expand_label(k->secret, "traffic upd", next,
				     sizeof(next));

	if (rc == 0) {
		memcpy(k->secret, next, sizeof(next));
		rc = derive(k, EVP_CIPHER_CTX_is_encrypting(k->ctx));
	}
	OPENSSL_cleanse(next, sizeof(next));
	return rc;
}

/* ---- a record ---------------------------------------------------------------
 */

int sc_tls_begin(struct sc_tls_keys *k, const uint8_t head[SC_TLS_HEAD])
{
	int n;

	if (set_nonce(k) < 0)
		return -1;
	return EVP_CipherUpdate(k->ctx, NULL, &n, head, SC_TLS_HEAD) == 1 ? 0
									  : -1;
}

int sc_tls_add(struct sc_tls_keys *k, const void *from, void *to, size_t len)
{
	int n;

	if (!len)
		return 0;
	return EVP_CipherUpdate(k->ctx, to, &n, from, (int)len) == 1 &&
			       n == (int)len
		       ? 0
		       : -1;
}

int sc_tls_seal(struct sc_tls_keys *k, uint8_t ret_tag[SC_TLS_TAG])
{
	int n;

	if (EVP_CipherFinal_ex(k->ctx, ret_tag, &n) != 1 || n != 0 ||
	    EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_GET_TAG, SC_TLS_TAG,
				ret_tag) != 1)
		return -1;
	/* Never the same nonce twice: 2^64 records cannot be sent. */
	k->seq++;
	return 0;
}

int sc_tls_open(struct sc_tls_keys *k, const uint8_t tag[SC_TLS_TAG])
{
	uint8_t none[SC_TLS_TAG];
	int n;

	if (EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_SET_TAG, SC_TLS_TAG,
				(void *)tag) != 1 ||
	    EVP_CipherFinal_ex(k->ctx, none, &n) != 1)
		return -1;
	k->seq++;
	return 0;
}
