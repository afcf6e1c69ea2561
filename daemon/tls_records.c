/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of TLS 1.3 without libssl; see tls_records.h. */
#include "daemon/tls_records_impl.h"

#include "io/base/num.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>

_Static_assert(SC_WIRE_SIZE >= SC_TLS_HEAD + SC_TLS_CIPHER,
	       "a record fits into a buffer of the wire");

int sc_records_init(struct sc_records *r, struct sc_wire *wire,
		    const uint8_t *in_secret, const uint8_t *out_secret)
{
	*r = (struct sc_records){ .wire = wire,
				  .spill = malloc(SC_TLS_PLAIN + 1) };
	if (!r->spill || sc_tls_keys_init(&r->in, in_secret, false) < 0)
		return -1;
	return out_secret ? sc_tls_keys_init(&r->out, out_secret, true) : 0;
}

void sc_records_free(struct sc_records *r)
{
	sc_tls_keys_free(&r->in);
	sc_tls_keys_free(&r->out);
	if (r->spill)
		OPENSSL_cleanse(r->spill, SC_TLS_PLAIN + 1);
	free(r->spill);
	*r = (struct sc_records){ 0 };
}

int sc_records_dead(const struct sc_records *r, struct sc_err *err)
{
	if (!sc_err_is_set(err))
		*err = r->dead;
	return -1;
}

/* ---- sending ----------------------------------------------------------------
 */

static int send_failed(struct sc_records *r, struct sc_err *err)
{
	/* Part of a record may have gone: no other can follow it. */
	if (!r->out_errno)
		r->out_errno = r->wire->sys_errno;
	return sc_err_sys(err, SC_ER_CLONE_PROTOCOL, r->out_errno,
			  "data connection: write");
}

/* libcrypto failed: what it has made so far must not be sent. */
static int seal_failed(struct sc_records *r, struct sc_err *err)
{
	ERR_clear_error();
	r->wire->out_len = 0;
	sc_err_set(
		&r->dead, SC_ER_INTERNAL_ERROR,
		"data connection: libcrypto cannot encrypt with AES-128-GCM");
	return sc_records_dead(r, err);
}

/* The next n bytes of the parts, which have as many, into the record. */
static int add_parts(struct sc_tls_keys *k, struct iovec **parts, uint8_t *to,
		     size_t n)
{
	while (n) {
		struct iovec *p = *parts;
		size_t len = SC_MIN(n, p->iov_len);

		if (sc_tls_add(k, p->iov_base, to, len) < 0)
			return -1;
		p->iov_base = (char *)p->iov_base + len;
		p->iov_len -= len;
		if (!p->iov_len)
			++*parts;
		to += len;
		n -= len;
	}
	return 0;
}

/* A record of n <= SC_TLS_PLAIN bytes: TLSCiphertext of a TLSInnerPlaintext
 * without padding, RFC 8446 5.2. */
static int put_record(struct sc_records *r, uint8_t type, struct iovec **parts,
		      size_t n, struct sc_err *err)
{
	size_t inner = n + 1;
	uint8_t *head = sc_wire_room(r->wire, SC_TLS_HEAD + inner + SC_TLS_TAG);
	uint8_t *text;

	if (!head)
		return send_failed(r, err);
	text = head + SC_TLS_HEAD;
	head[0] = APPLICATION_DATA;
	sc_store_be16(head + 1, 0x0303);
	sc_store_be16(head + 3, (uint16_t)(inner + SC_TLS_TAG));
	text[n] = type;
	if (sc_tls_begin(&r->out, head) < 0 ||
	    add_parts(&r->out, parts, text, n) < 0 ||
	    sc_tls_add(&r->out, text + n, text + n, 1) < 0 ||
	    sc_tls_seal(&r->out, text + inner) < 0)
		return seal_failed(r, err);
	r->wire->out_len += SC_TLS_HEAD + inner + SC_TLS_TAG;
	return 0;
}

int sc_records_update(struct sc_records *r, struct sc_err *err)
{
	uint8_t msg[] = { KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED };
	struct iovec part = { msg, sizeof(msg) }, *parts = &part;

	/* The message goes under the old keys, all after it under the new. */
	if (put_record(r, HANDSHAKE, &parts, sizeof(msg), err) < 0)
		return -1;
	return sc_tls_keys_next(&r->out) < 0 ? seal_failed(r, err) : 0;
}

/* May anything be sent? */
static int check_out(struct sc_records *r, struct sc_err *err)
{
	if (sc_err_is_set(&r->dead))
		return sc_records_dead(r, err);
	if (r->out_errno)
		return send_failed(r, err);
	return 0;
}

/* New keys where they are due, then the next record. */
static int put_data(struct sc_records *r, struct iovec **parts, size_t n,
		    struct sc_err *err)
{
	/* RFC 8446 4.6.3: an answer before the next application data. */
	if (r->answer || r->out.seq >= SC_TLS_KEY_RECORDS) {
		if (sc_records_update(r, err) < 0)
			return -1;
		r->answer = false;
	}
	return put_record(r, APPLICATION_DATA, parts, n, err);
}

int sc_records_writev(struct sc_records *r, struct iovec *parts, int n,
		      struct sc_err *err)
{
	size_t left = 0;

	for (int i = 0; i < n; i++)
		left += parts[i].iov_len;
	if (check_out(r, err) < 0)
		return -1;
	r->wire->sys_errno = 0;
	while (left) {
		size_t len = SC_MIN(left, SC_TLS_PLAIN);

		if (put_data(r, &parts, len, err) < 0)
			return -1;
		left -= len;
	}
	return sc_wire_flush(r->wire) < 0 ? send_failed(r, err) : 0;
}

/* ---- the end ----------------------------------------------------------------
 */

/* Tell the peer, if that goes without waiting: RFC 8446 6.2. It learns of the
 * end in any case, when the caller hangs up. */
static void send_alert(struct sc_records *r, enum alert alert)
{
	uint8_t msg[] = { FATAL, (uint8_t)alert };
	struct iovec part = { msg, sizeof(msg) }, *parts = &part;
	struct sc_err ignored = SC_ERR_INIT;

	if (r->out.ctx && !r->out_errno && !r->wire->out_len &&
	    put_record(r, ALERT, &parts, sizeof(msg), &ignored) == 0)
		sc_wire_try(r->wire);
}

int sc_records_die(struct sc_records *r, enum alert alert, const char *what,
		   struct sc_err *err)
{
	struct sc_err why = SC_ERR_INIT;

	ERR_clear_error();
	sc_err_set(&why, SC_ER_CLONE_PROTOCOL, "data connection: read: %s",
		   what);
	send_alert(r, alert);
	r->dead = why;
	return sc_records_dead(r, err);
}
