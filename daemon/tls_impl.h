/* SPDX-License-Identifier: GPL-2.0-only */
/* A TLS connection: tls.c and its handshake, tls_handshake.c. */
#ifndef SC_DAEMON_TLS_IMPL_H
#define SC_DAEMON_TLS_IMPL_H

#include "daemon/conn.h"
#include "daemon/tls_ctx.h"
#include "daemon/tls_records.h"

struct conn_tls {
	struct sc_conn base;
	SSL_CTX *ctx;
	SSL *ssl; /* NULL when records took over */
	BIO_METHOD *method;
	struct sc_wire wire;
	struct sc_records records;
	int fd;
	bool in_kernel;	     /* encrypts what is sent */
	atomic_bool stopped; /* by a shutdown, for writes */
	uint64_t rekey_bytes;
	uint64_t rekey_at; /* bytes_out */
	struct sc_tls_secrets secrets;
};

/*
 * Shake hands over c->fd, as a server or client: then c->in_kernel is set when
 * the kernel encrypts, c->ssl when libssl makes or opens records, else
 * c->records does. Blocks. 0 or -1; what was made is released by the caller.
 */
int sc_tls_handshake(struct conn_tls *c, bool server,
		     const struct sc_tls_options *options, struct sc_err *err);

/* What the wire, the error queue of OpenSSL and errno say of a call of libssl
 * that returned rc (1: its bytes could not be sent). Returns -1. */
int sc_tls_failed(struct conn_tls *c, int rc, const char *what,
		  struct sc_err *err);

/* Before each call of libssl: what failed in an earlier one is no reason. */
void sc_tls_forget_errors(struct conn_tls *c);

#endif
