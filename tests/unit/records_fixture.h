/* SPDX-License-Identifier: GPL-2.0-only */
/* One end with records of ours on a socket, and a peer that makes records of
 * any shape with the right keys. */
#ifndef SC_RECORDS_FIXTURE_H
#define SC_RECORDS_FIXTURE_H

#include "daemon/tls_records.h"

enum { FX_DATA = 23, FX_ALERT = 21, FX_HANDSHAKE = 22 };
enum { FX_RECORD_MAX = 5 + 65535 };

struct fx_records {
	int fd, peer;
	struct sc_wire wire;
	struct sc_records r;
	struct sc_tls_keys tx, rx; /* the peer's */
	struct sc_err err;
};

extern struct fx_records fx;

/* cmocka's setup and teardown. */
int fx_records_setup(void **state);
int fx_records_teardown(void **state);
/* Both: a connection of its own for each case of a test. */
void fx_records_again(void);

/* A record of the peer's: n bytes, this type, so many zeroes behind it. type 0:
 * none. Returns its length on the wire; counts the peer's sequence number. */
size_t fx_make(uint8_t *ret, uint8_t type, const void *data, size_t n,
	       size_t padding);
/* Bytes on the wire as they are. */
void fx_put(const void *bytes, size_t len);
/* fx_make and fx_put. */
void fx_record(uint8_t type, const void *data, size_t n, size_t padding);

/* Bytes that tell where they stand. */
void fx_fill(uint8_t *buf, size_t len, unsigned seed);

/* Read len bytes of ours: they are these. */
void fx_expect(const void *data, size_t len);
/* Reading one byte fails, with this in the text, each time. */
void fx_expect_dead(const char *text);

/* Open the next record that ours sent: its type, and its data without padding;
 * *ret_len is the buffer's length before. */
uint8_t fx_open(uint8_t *buf, size_t *ret_len);

#endif
