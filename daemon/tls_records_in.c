/* SPDX-License-Identifier: GPL-2.0-only */
/* Opening the records of TLS 1.3 that come; see tls_records.h. */
#include "daemon/tls_records_impl.h"

#include "io/base/num.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

/* Every control message that is taken is this long, or shorter. */
enum { CONTROL_MAX = 5 };

static int peer_ended(struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_CLONE_PROTOCOL, ECONNRESET,
			  "data connection: read");
}

static int receive_failed(struct sc_records *r, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_CLONE_PROTOCOL, r->wire->sys_errno,
			  "data connection: read");
}

/* A record that brought no data; too many of them are an attack on our CPU. */
static int count_idle(struct sc_records *r, struct sc_err *err)
{
	if (++r->idle > SC_TLS_MAX_IDLE)
		return sc_records_die(r, UNEXPECTED_MESSAGE,
				      "too many TLS records without data", err);
	return 0;
}

/* RFC 8446 6: an alert is alone in its record; all but these two are the end,
 * whatever their level says. */
static int take_alert(struct sc_records *r, const uint8_t *msg, size_t len,
		      struct sc_err *err)
{
	char text[80];

	if (len != 2)
		return sc_records_die(r, DECODE_ERROR, "malformed TLS alert",
				      err);
	/* The end of this direction; the other one goes on: RFC 8446 6.1. */
	if (msg[1] == CLOSE_NOTIFY) {
		r->ended = true;
		return peer_ended(err);
	}
	if (msg[1] == USER_CANCELED)
		return count_idle(r, err);
	snprintf(text, sizeof(text),
		 "the peer ends the connection with TLS alert %u%s", msg[1],
		 msg[1] == BAD_RECORD_MAC ? " (bad record mac)" : "");
	/* An alert is not answered. */
	sc_err_set(&r->dead, SC_ER_CLONE_PROTOCOL, "data connection: read: %s",
		   text);
	return sc_records_dead(r, err);
}

/* After the handshake nothing but KeyUpdate, and that is the last of its
 * record, since keys change behind it: RFC 8446 4.6.3, 5.1. A server of ours
 * sends no tickets. */
static int take_handshake(struct sc_records *r, const uint8_t *msg, size_t len,
			  struct sc_err *err)
{
	if (len != 5 || msg[0] != KEY_UPDATE || msg[1] || msg[2] || msg[3] != 1)
		return sc_records_die(r, UNEXPECTED_MESSAGE,
				      "unexpected TLS handshake message", err);
	if (msg[4] > UPDATE_REQUESTED)
		return sc_records_die(r, DECODE_ERROR,
				      "malformed TLS KeyUpdate", err);
	if (msg[4] == UPDATE_REQUESTED && !r->out.ctx)
		return sc_records_die(
			r, INTERNAL_ERROR,
			"the peer asks for new keys, and the kernel's TLS cannot change them",
			err);
	/* One answer is enough for several requests: RFC 8446 4.6.3. */
	if (msg[4] == UPDATE_REQUESTED)
		r->answer = true;
	if (sc_tls_keys_next(&r->in) < 0)
		return sc_records_die(r, INTERNAL_ERROR,
				      "libcrypto cannot derive new TLS keys",
				      err);
	return count_idle(r, err);
}

static int take_control(struct sc_records *r, uint8_t type, const uint8_t *msg,
			size_t len, struct sc_err *err)
{
	if (type == ALERT)
		return take_alert(r, msg, len, err);
	if (type == HANDSHAKE)
		return take_handshake(r, msg, len, err);
	return sc_records_die(r, UNEXPECTED_MESSAGE,
			      "unexpected type of TLS record", err);
}

/* A record's plain text: its first `direct` bytes went into the caller's
 * buffer, the others into the spill. */
struct opened {
	uint8_t *buf;
	size_t direct, len;
};

static uint8_t byte_at(const struct sc_records *r, const struct opened *o,
		       size_t i)
{
	return i < o->direct ? o->buf[i] : r->spill[i - o->direct];
}

/* What an authentic record says. Bytes of the caller's that were delivered,
 * from 0, or -1. */
static ssize_t take_opened(struct sc_records *r, struct opened *o,
			   struct sc_err *err)
{
	uint8_t msg[CONTROL_MAX], type = 0;
	size_t n = o->len;

	/* RFC 8446 5.4: the type is the last byte that is not zero. */
	while (n && !type)
		type = byte_at(r, o, --n);
	if (!type)
		return sc_records_die(r, UNEXPECTED_MESSAGE,
				      "TLS record without a type", err);
	if (type == APPLICATION_DATA) {
		o->direct = SC_MIN(o->direct, n);
		r->spill_at = 0;
		r->spill_len = n - o->direct;
		if (!n)
			return count_idle(r, err);
		r->idle = 0;
		return (ssize_t)o->direct;
	}
	for (size_t i = 0; i < SC_MIN(n, CONTROL_MAX); i++)
		msg[i] = byte_at(r, o, i);
	return take_control(r, type, msg, n, err);
}

/* The header: what libssl says to it, in the same order. */
static int check_head(struct sc_records *r, const uint8_t *head,
		      struct sc_err *err)
{
	size_t len = sc_load_be16(head + 3);

	/* Neither plain alerts nor change_cipher_spec after the handshake: RFC
	 * 8446 5. */
	if (head[0] != APPLICATION_DATA)
		return sc_records_die(r, UNEXPECTED_MESSAGE,
				      "wrong type of TLS record", err);
	if (sc_load_be16(head + 1) != 0x0303)
		return sc_records_die(r, PROTOCOL_VERSION,
				      "wrong version of TLS record", err);
	if (len > SC_TLS_CIPHER)
		return sc_records_die(r, RECORD_OVERFLOW,
				      "TLS record is too long", err);
	/* RFC 8446 5.4: TLSInnerPlaintext has at most 2^14 + 1 bytes. */
	if (len > SC_TLS_PLAIN + 1 + SC_TLS_TAG)
		return sc_records_die(r, RECORD_OVERFLOW,
				      "data of TLS record is too long", err);
	if (len < 1 + SC_TLS_TAG)
		return sc_records_die(r, DECODE_ERROR,
				      "TLS record is too short", err);
	return 0;
}

/*
 * The plain text, as much as is wanted straight into the caller's buffer. The
 * type and padding go there too when there is room for them: the caller wants
 * more bytes, which will overwrite them.
 */
static int open_record(struct sc_records *r, const uint8_t *head,
		       struct opened *o, struct sc_err *err)
{
	const uint8_t *text = head + SC_TLS_HEAD;

	if (sc_tls_begin(&r->in, head) == 0 &&
	    sc_tls_add(&r->in, text, o->buf, o->direct) == 0 &&
	    sc_tls_add(&r->in, text + o->direct, r->spill,
		       o->len - o->direct) == 0 &&
	    sc_tls_open(&r->in, text + o->len) == 0)
		return 0;
	/* RFC 5116 2.2: nothing of a forged record is to be seen. */
	OPENSSL_cleanse(o->buf, o->direct);
	OPENSSL_cleanse(r->spill, o->len - o->direct);
	return sc_records_die(
		r, BAD_RECORD_MAC,
		"decryption failed or bad record mac: data was changed on its way",
		err);
}

/* One record; the spill is empty. Bytes delivered, from 0, or -1. */
static ssize_t read_record(struct sc_records *r, uint8_t *buf, size_t want,
			   struct sc_err *err)
{
	const uint8_t *head = sc_wire_need(r->wire, SC_TLS_HEAD);
	struct opened o = { .buf = buf };
	size_t body;

	if (!head)
		return receive_failed(r, err);
	if (check_head(r, head, err) < 0)
		return -1;
	body = sc_load_be16(head + 3);
	head = sc_wire_need(r->wire, SC_TLS_HEAD + body);
	if (!head)
		return receive_failed(r, err);
	o.len = body - SC_TLS_TAG;
	o.direct = SC_MIN(want, o.len);
	if (open_record(r, head, &o, err) < 0)
		return -1;
	r->wire->in_at += SC_TLS_HEAD + body;
	return take_opened(r, &o, err);
}

static ssize_t take_spill(struct sc_records *r, uint8_t *buf, size_t want)
{
	size_t n = SC_MIN(want, r->spill_len);

	memcpy(buf, r->spill + r->spill_at, n);
	r->spill_at += n;
	r->spill_len -= n;
	return (ssize_t)n;
}

int sc_records_read(struct sc_records *r, void *buf, size_t len,
		    struct sc_err *err)
{
	uint8_t *to = buf;

	if (sc_err_is_set(&r->dead))
		return sc_records_dead(r, err);
	if (r->ended)
		return peer_ended(err);
	r->wire->sys_errno = 0;
	while (len) {
		ssize_t n = r->spill_len ? take_spill(r, to, len)
					 : read_record(r, to, len, err);

		if (n < 0)
			return -1;
		to += n;
		len -= (size_t)n;
	}
	return 0;
}
