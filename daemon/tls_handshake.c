/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handshake of TLS 1.3 with the job's one-time key, by libssl, and who
 * makes and opens records after it; see tls_impl.h.
 *
 * Both sides require that the PSK was used (SSL_session_reused), because a
 * handshake with some certificate would otherwise count as success.
 */
#include "daemon/tls_impl.h"

#include "daemon/tls_bio.h"
#include "io/base/log.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

int sc_tls_failed(struct conn_tls *c, int rc, const char *what,
		  struct sc_err *err)
{
	int sys_errno = c->wire.sys_errno ? c->wire.sys_errno : errno;
	int why = rc == 1 ? SSL_ERROR_SYSCALL : SSL_get_error(c->ssl, rc);
	unsigned long e = ERR_peek_last_error();
	char text[160];

	ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	if (why == SSL_ERROR_ZERO_RETURN)
		sys_errno = ECONNRESET;
	else if (why == SSL_ERROR_SSL && !c->wire.sys_errno)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "data connection: %s: %s", what, text);
	return sc_err_sys(err, SC_ER_CLONE_PROTOCOL,
			  sys_errno ? sys_errno : ECONNRESET,
			  "data connection: %s", what);
}

void sc_tls_forget_errors(struct conn_tls *c)
{
	ERR_clear_error();
	c->wire.sys_errno = 0;
	errno = 0;
}

/* The socket itself for what is sent during the handshake: OpenSSL gives the
 * keys to the kernel only through its own BIO of a socket. */
static int connect_bios(struct conn_tls *c, bool kernel)
{
	BIO *in = sc_tls_bio_new(c->method, &c->wire);
	BIO *out = kernel ? BIO_new_socket(c->fd, BIO_NOCLOSE)
			  : sc_tls_bio_new(c->method, &c->wire);

	if (in && out) {
		if (kernel)
			SSL_set_options(c->ssl, SSL_OP_ENABLE_KTLS);
		SSL_set_bio(c->ssl, in, out);
		return 0;
	}
	BIO_free(in);
	BIO_free(out);
	return -1;
}

/* After the handshake: did the kernel take the keys? */
static int choose_sender(struct conn_tls *c, bool kernel)
{
	BIO *out;

	c->in_kernel = kernel && BIO_get_ktls_send(SSL_get_wbio(c->ssl));
	if (!kernel || c->in_kernel)
		return 0;
	out = sc_tls_bio_new(c->method, &c->wire);
	if (!out)
		return -1;
	SSL_set0_wbio(c->ssl, out);
	return 0;
}

static int handshake(struct conn_tls *c, bool server, struct sc_err *err)
{
	int rc;

	SSL_set_app_data(c->ssl, &c->secrets);
	sc_tls_forget_errors(c);
	rc = server ? SSL_accept(c->ssl) : SSL_connect(c->ssl);
	if (rc != 1)
		return sc_tls_failed(
			c, rc,
			"TLS handshake (does the peer hold the job's key?)",
			err);
	if (SSL_session_reused(c->ssl) != 1)
		return sc_err_set(
			err, SC_ER_CLONE_PROTOCOL,
			"data connection: the peer does not hold the job's key");
	/* Nothing asks for it again. */
	OPENSSL_cleanse(c->secrets.key, sizeof(c->secrets.key));
	return 0;
}

/* Has libssl given all that records of ours need, and nothing been sent or
 * received under the traffic keys by itself? Then both directions stand at
 * number 0. Else, why. */
static const char *no_records_because(struct conn_tls *c)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(c->ssl);

	if (SSL_version(c->ssl) != TLS1_3_VERSION || !cipher ||
	    strcmp(SSL_CIPHER_get_name(cipher), SC_TLS_SUITE))
		return "another suite";
	if (!c->secrets.have_traffic[0] || !c->secrets.have_traffic[1])
		return "libssl keeps its keys";
	/* Without read-ahead libssl takes record by record from the wire; what
	 * follows the handshake is still there. */
	if (SSL_has_pending(c->ssl) || c->wire.out_len)
		return "libssl has begun with data";
	return NULL;
}

/* Records of ours in place of libssl's, from the end of the handshake. */
static void take_over(struct conn_tls *c, bool server)
{
	const char *why = no_records_because(c);

	if (!why &&
	    sc_records_init(&c->records, &c->wire, c->secrets.traffic[!server],
			    c->in_kernel ? NULL : c->secrets.traffic[server])) {
		sc_records_free(&c->records);
		ERR_clear_error();
		why = "libcrypto refuses the keys";
	}
	if (why) {
		sc_warning(
			"data connection: libssl makes and opens the TLS records, which takes more CPU: %s",
			why);
		return;
	}
	/* With its own copies of the keys. */
	SSL_free(c->ssl);
	c->ssl = NULL;
}

int sc_tls_handshake(struct conn_tls *c, bool server,
		     const struct sc_tls_options *options, struct sc_err *err)
{
	bool kernel = !options->no_kernel;

	c->ctx = sc_tls_ctx_new(server);
	c->ssl = c->ctx ? SSL_new(c->ctx) : NULL;
	if (!c->ssl)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"cannot set up TLS 1.3 with " SC_TLS_SUITE
			"; HINT: does the system's OpenSSL policy allow it");
	c->method = sc_tls_bio_method();
	if (sc_wire_init(&c->wire, c->fd) < 0 || connect_bios(c, kernel) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (handshake(c, server, err) < 0)
		return -1;
	if (choose_sender(c, kernel) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (!options->no_records)
		take_over(c, server);
	OPENSSL_cleanse(&c->secrets, sizeof(c->secrets));
	return 0;
}
