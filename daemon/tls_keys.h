/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The traffic keys of one direction of TLS 1.3 with TLS_AES_128_GCM_SHA256
 * (RFC 8446 5.2, 5.3, 7.1 to 7.3), by libcrypto alone. A record is made or
 * opened by begin, any number of add, and seal or open. One thread at a time.
 */
#ifndef SC_DAEMON_TLS_KEYS_H
#define SC_DAEMON_TLS_KEYS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SC_TLS_HEAD = 5,    /* of a record: RFC 8446 5.2 */
	SC_TLS_TAG = 16,    /* AEAD_AES_128_GCM: RFC 5116 5.1 */
	SC_TLS_KEY = 16,    /* the same */
	SC_TLS_IV = 12,	    /* the same, N_MIN */
	SC_TLS_SECRET = 32, /* Hash.length of SHA-256 */
};

struct sc_tls_keys {
	EVP_CIPHER_CTX *ctx; /* NULL: not in use */
	uint64_t seq;	     /* of the next record: RFC 8446 5.3 */
	uint8_t iv[SC_TLS_IV];
	uint8_t secret[SC_TLS_SECRET]; /* that the key and iv came from */
};

/*
 * HKDF-Expand-Label(secret, label, "", len) with SHA-256: RFC 8446 7.1. label:
 * at most 12 characters, without "tls13 "; len: 1 to 255. 0, or -1 when
 * libcrypto refuses.
 */
int sc_tls_expand_label(const uint8_t secret[SC_TLS_SECRET], const char *label,
			uint8_t *ret, size_t len);

/*
 * The keys of a traffic secret, for sealing or opening, from sequence number 0.
 * Makes and throws away a nonce, so that a provider that takes none from us
 * (FIPS) refuses here. 0, or -1 when libcrypto refuses; sc_tls_keys_free() in
 * either case, which takes zeroed keys too and clears all.
 */
int sc_tls_keys_init(struct sc_tls_keys *k, const uint8_t secret[SC_TLS_SECRET],
		     bool seals);
void sc_tls_keys_free(struct sc_tls_keys *k);

/* The next generation: RFC 8446 7.2. 0 or -1. */
int sc_tls_keys_next(struct sc_tls_keys *k);

/* A record with this header, which is the additional data. 0 or -1. */
int sc_tls_begin(struct sc_tls_keys *k, const uint8_t head[SC_TLS_HEAD]);

/* The next len bytes, 0 to INT_MAX, from one buffer into another or in place.
 * What was opened is worth nothing before sc_tls_open() has said so. 0 or -1.
 */
int sc_tls_add(struct sc_tls_keys *k, const void *from, void *to, size_t len);

/* End of the record: make its tag, or check it. 0; -1: for open, it was
 * changed, replayed or is not the next one. */
int sc_tls_seal(struct sc_tls_keys *k, uint8_t ret_tag[SC_TLS_TAG]);
int sc_tls_open(struct sc_tls_keys *k, const uint8_t tag[SC_TLS_TAG]);

#endif
