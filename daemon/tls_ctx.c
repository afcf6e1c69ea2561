/* SPDX-License-Identifier: GPL-2.0-only */
/* What libssl is told for a handshake; see tls_ctx.h. */
#include "daemon/tls_ctx.h"

#include <string.h>

static const unsigned char suite_id[2] = { 0x13, 0x01 }; /* RFC 8446 B.4 */

/* A session that stands for the external key. Source:
 * SSL_CTX_set_psk_use_session_callback(3). */
static SSL_SESSION *key_session(SSL *ssl, struct sc_tls_secrets *secrets)
{
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite_id);
	SSL_SESSION *s = SSL_SESSION_new();

	if (s && cipher &&
	    SSL_SESSION_set1_master_key(s, secrets->key,
					sizeof(secrets->key)) &&
	    SSL_SESSION_set_cipher(s, cipher) &&
	    SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION))
		return s;
	SSL_SESSION_free(s);
	return NULL;
}

static int psk_find(SSL *ssl, const unsigned char *identity, size_t len,
		    SSL_SESSION **ret)
{
	struct sc_tls_secrets *s = SSL_get_app_data(ssl);

	*ret = NULL;
	/* An unknown identity: no session, so the handshake fails for want of
	 * a certificate, the same way as for a wrong key. */
	if (len == strlen(s->identity) && !memcmp(identity, s->identity, len))
		*ret = key_session(ssl, s);
	return 1;
}

static int psk_use(SSL *ssl, const EVP_MD *md, const unsigned char **id,
		   size_t *id_len, SSL_SESSION **ret)
{
	struct sc_tls_secrets *s = SSL_get_app_data(ssl);

	*ret = NULL;
	*id = (const unsigned char *)s->identity;
	*id_len = strlen(s->identity);
	if (md && EVP_MD_get_type(md) != NID_sha256)
		return 0;
	*ret = key_session(ssl, s);
	return *ret != NULL;
}

/* libssl's only way to tell traffic secrets: a line "LABEL random secret" each,
 * in hex, which it clears itself. Nothing is written anywhere. Source:
 * SSL_CTX_set_keylog_callback(3), NSS key log format. */
static void keep_secret(const SSL *ssl, const char *line)
{
	static const char *const labels[2] = { "CLIENT_TRAFFIC_SECRET_0 ",
					       "SERVER_TRAFFIC_SECRET_0 " };
	struct sc_tls_secrets *s = SSL_get_app_data(ssl);
	const char *hex = strrchr(line, ' ');
	size_t n;

	for (int i = 0; i < 2; i++) {
		if (strncmp(line, labels[i], strlen(labels[i])))
			continue;
		s->have_traffic[i] =
			OPENSSL_hexstr2buf_ex(s->traffic[i], SC_TLS_SECRET, &n,
					      hex + 1, '\0') == 1 &&
			n == SC_TLS_SECRET;
	}
}

SSL_CTX *sc_tls_ctx_new(bool server)
{
	SSL_CTX *ctx =
		SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx)
		return NULL;
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, SC_TLS_SUITE)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
			   NULL);
	if (server)
		SSL_CTX_set_psk_find_session_callback(ctx, psk_find);
	else
		SSL_CTX_set_psk_use_session_callback(ctx, psk_use);
	SSL_CTX_set_keylog_callback(ctx, keep_secret);
	return ctx;
}
