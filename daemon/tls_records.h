/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Application data records of TLS 1.3 with TLS_AES_128_GCM_SHA256, after a
 * handshake that libssl has made: what the kernel does with kTLS, in user
 * space. Nothing on the wire tells it from libssl, but libssl copies plain text
 * into its record before it encrypts, and out of it after decrypting; here it
 * goes from the caller's buffer into the record, and back, in one pass.
 *
 * One thread at a time. After a record that is not what RFC 8446 allows, the
 * connection is dead: every later call fails with the same error.
 */
#ifndef SC_DAEMON_TLS_RECORDS_H
#define SC_DAEMON_TLS_RECORDS_H

#include "daemon/tls_keys.h"
#include "daemon/wire.h"
#include "io/base/err.h"

#include <sys/uio.h>

/* RFC 8446 5.2: plain text of a record; with its type and padding, on the wire
 * (of which AES-GCM can use 17). */
enum { SC_TLS_PLAIN = 1 << 14, SC_TLS_CIPHER = (1 << 14) + 256 };

/* Records under one key before the sender takes the next. RFC 8446 5.5 allows
 * 2^24.5 full ones; half of it, and 64 GiB (tls.c), come earlier. */
#define SC_TLS_KEY_RECORDS ((uint64_t)1 << 23)

/* Records without data, in a row, that are taken. Source: MAX_EMPTY_RECORDS in
 * ssl/record/record.h, OpenSSL 3.0. */
#define SC_TLS_MAX_IDLE 32

struct sc_records {
	struct sc_wire *wire;	/* borrowed */
	struct sc_tls_keys in;	/* what comes */
	struct sc_tls_keys out; /* what goes; unused when the kernel sends */
	uint8_t *spill;		/* plain text nobody has asked for yet */
	size_t spill_at, spill_len;
	unsigned idle;	    /* records since the last with data */
	bool answer;	    /* the peer is owed a KeyUpdate */
	bool ended;	    /* the peer says no more: close_notify */
	int out_errno;	    /* a send failed: it may have cut a record */
	struct sc_err dead; /* why, when set */
};

/*
 * Take over both directions of a connection whose handshake is complete, at
 * number 0 of CLIENT_ and SERVER_TRAFFIC_SECRET_0; what the wire has already
 * received and libssl has not taken is read first. out_secret NULL: something
 * else sends, sc_records_writev() is not to be called. The secrets are copied.
 * 0, or -1 when libcrypto refuses or memory is short; sc_records_free() in
 * either case (zeroed: legal).
 */
int sc_records_init(struct sc_records *r, struct sc_wire *wire,
		    const uint8_t *in_secret, const uint8_t *out_secret);
void sc_records_free(struct sc_records *r);

/*
 * Read exactly len bytes; blocks. 0 or -1: sys_errno ECONNRESET when the peer
 * ended, EAGAIN when the time of the socket is over (the connection goes on), 0
 * and a text of what was wrong when the connection is dead. After -1 the buffer
 * holds nothing that was not authenticated, and nothing to be used.
 */
int sc_records_read(struct sc_records *r, void *buf, size_t len,
		    struct sc_err *err);

/* Seal all parts into full records and send them. Uses the array up. 0 or -1,
 * after which nothing can be sent any more. */
int sc_records_writev(struct sc_records *r, struct iovec *parts, int n,
		      struct sc_err *err);

/* New keys for what is sent next: KeyUpdate, RFC 8446 4.6.3. It leaves with the
 * next data. 0 or -1. */
int sc_records_update(struct sc_records *r, struct sc_err *err);

#endif
