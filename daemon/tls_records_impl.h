/* SPDX-License-Identifier: GPL-2.0-only */
/* What both directions of the records share; tls_records*.c alone. */
#ifndef SC_DAEMON_TLS_RECORDS_IMPL_H
#define SC_DAEMON_TLS_RECORDS_IMPL_H

#include "daemon/tls_records.h"

/* RFC 8446 5.1 (ContentType), 4 (HandshakeType) and 4.6.3 (KeyUpdateRequest).
 */
enum { ALERT = 21, HANDSHAKE = 22, APPLICATION_DATA = 23 };
enum { KEY_UPDATE = 24, UPDATE_NOT_REQUESTED = 0, UPDATE_REQUESTED = 1 };

/* RFC 8446 6. */
enum { FATAL = 2 };
enum alert {
	CLOSE_NOTIFY = 0,
	UNEXPECTED_MESSAGE = 10,
	BAD_RECORD_MAC = 20,
	RECORD_OVERFLOW = 22,
	DECODE_ERROR = 50,
	PROTOCOL_VERSION = 70,
	INTERNAL_ERROR = 80,
	USER_CANCELED = 90,
};

/* Say again why the connection is dead; an earlier error of the caller's stays.
 * Returns -1. */
int sc_records_dead(const struct sc_records *r, struct sc_err *err);

/* Something that RFC 8446 does not allow, or libcrypto cannot do: the peer is
 * told, and the connection is dead. Returns -1. */
int sc_records_die(struct sc_records *r, enum alert alert, const char *what,
		   struct sc_err *err);

#endif
