/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handshake's rules for libssl: TLS 1.3 with the job's key as external PSK.
 *
 * Only TLS_AES_128_GCM_SHA256 is offered: a PSK is bound to the hash of its
 * cipher suite, and with the default list OpenSSL prefers a SHA-384 suite and
 * ignores the key. There is no certificate and no ticket.
 */
#ifndef SC_DAEMON_TLS_CTX_H
#define SC_DAEMON_TLS_CTX_H

#include "daemon/tls_keys.h"
#include "io/base/ctl.h"

#include <openssl/ssl.h>

#define SC_TLS_SUITE "TLS_AES_128_GCM_SHA256"

/* Of one connection, which sets it as app data of its SSL object and clears it
 * when it has what it needs. */
struct sc_tls_secrets {
	char identity[2 * SC_JOB_ID_SIZE + 1]; /* job id in hex */
	uint8_t key[SC_JOB_KEY_SIZE];
	/* What libssl says at the end of the handshake: {CLIENT,SERVER}_
	 * TRAFFIC_SECRET_0, RFC 8446 7.1. */
	uint8_t traffic[2][SC_TLS_SECRET];
	bool have_traffic[2];
};

/* NULL when OpenSSL refuses: no memory, or a policy against TLS 1.3 or the
 * suite. The caller frees it. */
SSL_CTX *sc_tls_ctx_new(bool server);

#endif
