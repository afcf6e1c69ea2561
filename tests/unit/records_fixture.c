/* SPDX-License-Identifier: GPL-2.0-only */
#include "tests/unit/records_fixture.h"

#include "daemon/conn.h"
#include "io/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t secret[2][SC_TLS_SECRET] = { { 1, 2, 3 }, { 0xff, 9 } };

struct fx_records fx;

int fx_records_setup(void **state)
{
	int sv[2];

	(void)state;
	fx = (struct fx_records){ .err = SC_ERR_INIT };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	fx.fd = sv[0];
	fx.peer = sv[1];
	sc_socket_timeout(fx.fd, 2000);
	sc_socket_timeout(fx.peer, 2000);
	return sc_wire_init(&fx.wire, fx.fd) |
	       sc_records_init(&fx.r, &fx.wire, secret[0], secret[1]) |
	       sc_tls_keys_init(&fx.tx, secret[0], true) |
	       sc_tls_keys_init(&fx.rx, secret[1], false);
}

int fx_records_teardown(void **state)
{
	(void)state;
	sc_records_free(&fx.r);
	sc_wire_free(&fx.wire);
	sc_tls_keys_free(&fx.tx);
	sc_tls_keys_free(&fx.rx);
	close(fx.fd);
	if (fx.peer >= 0)
		close(fx.peer);
	return 0;
}

void fx_records_again(void)
{
	assert_int_equal(fx_records_teardown(NULL), 0);
	assert_int_equal(fx_records_setup(NULL), 0);
}

size_t fx_make(uint8_t *ret, uint8_t type, const void *data, size_t n,
	       size_t padding)
{
	size_t inner = n + (type != 0) + padding;
	uint8_t *text = ret + SC_TLS_HEAD;

	assert_true(inner + SC_TLS_TAG <= UINT16_MAX);
	ret[0] = FX_DATA;
	sc_store_be16(ret + 1, 0x0303);
	sc_store_be16(ret + 3, (uint16_t)(inner + SC_TLS_TAG));
	memset(text, 0, inner);
	if (n)
		memcpy(text, data, n);
	if (type)
		text[n] = type;
	assert_int_equal(sc_tls_begin(&fx.tx, ret), 0);
	assert_int_equal(sc_tls_add(&fx.tx, text, text, inner), 0);
	assert_int_equal(sc_tls_seal(&fx.tx, text + inner), 0);
	return SC_TLS_HEAD + inner + SC_TLS_TAG;
}

void fx_put(const void *bytes, size_t len)
{
	struct iovec part = { (void *)bytes, len };

	assert_int_equal(sc_socket_send(fx.peer, &part, 1), 0);
}

void fx_record(uint8_t type, const void *data, size_t n, size_t padding)
{
	static uint8_t record[FX_RECORD_MAX];

	fx_put(record, fx_make(record, type, data, n, padding));
}

void fx_fill(uint8_t *buf, size_t len, unsigned seed)
{
	uint64_t x = seed * 2654435761u + 88172645463325252u;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(x >> 56);
	}
}

void fx_expect(const void *data, size_t len)
{
	uint8_t *got = malloc(len + 1);

	assert_non_null(got);
	if (sc_records_read(&fx.r, got, len, &fx.err) < 0)
		fail_msg("'%s'", fx.err.msg);
	assert_memory_equal(got, data, len);
	free(got);
}

void fx_expect_dead(const char *text)
{
	for (int i = 0; i < 3; i++) {
		struct sc_err err = SC_ERR_INIT;
		uint8_t byte;

		assert_int_equal(sc_records_read(&fx.r, &byte, 1, &err), -1);
		if (!strstr(err.msg, text))
			fail_msg("'%s', not '%s'", err.msg, text);
	}
}

uint8_t fx_open(uint8_t *buf, size_t *ret_len)
{
	static uint8_t rec[SC_TLS_HEAD + SC_TLS_CIPHER];
	size_t len;

	assert_int_equal(recv(fx.peer, rec, SC_TLS_HEAD, MSG_WAITALL),
			 SC_TLS_HEAD);
	assert_int_equal(rec[0], FX_DATA);
	assert_int_equal(sc_load_be16(rec + 1), 0x0303);
	len = sc_load_be16(rec + 3);
	assert_true(len > SC_TLS_TAG && len <= SC_TLS_CIPHER);
	assert_int_equal(recv(fx.peer, rec + SC_TLS_HEAD, len, MSG_WAITALL),
			 (int)len);
	len -= SC_TLS_TAG;
	assert_int_equal(sc_tls_begin(&fx.rx, rec), 0);
	assert_int_equal(sc_tls_add(&fx.rx, rec + 5, rec + 5, len), 0);
	assert_int_equal(sc_tls_open(&fx.rx, rec + 5 + len), 0);
	while (len && !rec[5 + len - 1])
		len--;
	assert_true(len > 0 && len - 1 <= *ret_len);
	*ret_len = len - 1;
	memcpy(buf, rec + 5, len - 1);
	return rec[5 + len - 1];
}
