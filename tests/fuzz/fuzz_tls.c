/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TLS records. First byte 0: what follows is what a stranger sends. Others: a
 * peer with the key: {u8 type, u8 padding, u16 length, bytes} again and again,
 * each made into an authentic record.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/tls_records.h"
#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_STREAM = 128 << 10 };

static const uint8_t secret[2][SC_TLS_SECRET] = { { 1, 2, 3 }, { 0xff, 9 } };
static uint8_t stream[MAX_STREAM];

/* One record; its length, or 0 at the end. Key changes are followed. */
static size_t make(struct sc_tls_keys *tx, struct fuzz_in *in, uint8_t *ret,
		   size_t room)
{
	uint8_t type = fuzz_u8(in), padding = fuzz_u8(in);
	size_t n = SC_MIN(fuzz_u8(in) | (size_t)fuzz_u8(in) << 8, in->left);
	size_t inner = n + 1 + padding;
	uint8_t *text = ret + SC_TLS_HEAD, *bytes;

	if (SC_TLS_HEAD + inner + SC_TLS_TAG > room)
		return 0;
	memcpy(ret, (uint8_t[]){ 23, 3, 3 }, 3);
	sc_store_be16(ret + 3, (uint16_t)(inner + SC_TLS_TAG));
	memset(text, 0, inner);
	bytes = fuzz_take(in, n);
	memcpy(text, bytes, n);
	text[n] = type;
	free(bytes);
	FUZZ_CHECK(sc_tls_begin(tx, ret) == 0 &&
		   sc_tls_add(tx, text, text, inner) == 0 &&
		   sc_tls_seal(tx, text + inner) == 0);
	if (type == 22 && n == 5)
		FUZZ_CHECK(sc_tls_keys_next(tx) == 0);
	return SC_TLS_HEAD + inner + SC_TLS_TAG;
}

static size_t make_all(struct fuzz_in *in)
{
	struct sc_tls_keys tx;
	size_t len = 0, n;

	FUZZ_CHECK(sc_tls_keys_init(&tx, secret[0], true) == 0);
	while (in->left &&
	       (n = make(&tx, in, stream + len, sizeof(stream) - len)) > 0)
		len += n;
	sc_tls_keys_free(&tx);
	return len;
}

static void read_all(struct sc_records *r, bool authentic, size_t limit)
{
	struct sc_err err = SC_ERR_INIT, again = SC_ERR_INIT;
	uint8_t byte;
	size_t n = 0;

	while (sc_records_read(r, &byte, 1, &err) == 0)
		FUZZ_CHECK(++n <= limit);
	FUZZ_CHECK(sc_err_is_set(&err) && (authentic || n == 0));
	FUZZ_CHECK(sc_records_read(r, &byte, 1, &again) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	bool authentic = fuzz_u8(&in) != 0;
	struct sc_records r = { 0 };
	struct sc_wire wire;
	int sv[2];
	size_t len = SC_MIN(in.left, sizeof(stream));

	if (authentic)
		len = make_all(&in);
	else if (len)
		memcpy(stream, in.p, len);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	(void)!send(sv[1], stream, len, MSG_DONTWAIT);
	shutdown(sv[1], SHUT_WR);
	FUZZ_CHECK(sc_wire_init(&wire, sv[0]) == 0 &&
		   sc_records_init(&r, &wire, secret[0], secret[1]) == 0);
	read_all(&r, authentic, len);
	sc_records_free(&r);
	sc_wire_free(&wire);
	close(sv[0]);
	close(sv[1]);
	return 0;
}
