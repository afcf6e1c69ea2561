/* SPDX-License-Identifier: GPL-2.0-only */
/* Between OpenSSL and the wire; see tls_bio.h. */
#include "daemon/tls_bio.h"

static int wire_write(BIO *bio, const char *buf, int len)
{
	return sc_wire_put(BIO_get_data(bio), buf, (size_t)len) < 0 ? -1 : len;
}

static int wire_read(BIO *bio, char *buf, int len)
{
	return (int)sc_wire_get(BIO_get_data(bio), buf, (size_t)len);
}

static long wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_FLUSH)
		return sc_wire_flush(BIO_get_data(bio)) == 0;
	/* No kTLS for what is received: see tls.c. No BIO_CTRL_EOF: an end is
	 * an error of reading alone, so that the last words can still be
	 * written. Nothing can be cut off unnoticed: frames say their length,
	 * the job its end. */
	return 0;
}

/* Source: BIO_meth_new(3). The type needs no number of its own, of which there
 * are only 128: nothing searches for it. */
BIO_METHOD *sc_tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_START | BIO_TYPE_SOURCE_SINK,
				     "snapclone");

	if (m && BIO_meth_set_write(m, wire_write) &&
	    BIO_meth_set_read(m, wire_read) && BIO_meth_set_ctrl(m, wire_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

BIO *sc_tls_bio_new(const BIO_METHOD *method, struct sc_wire *wire)
{
	BIO *bio = method ? BIO_new(method) : NULL;

	if (bio) {
		BIO_set_data(bio, wire);
		BIO_set_init(bio, 1);
	}
	return bio;
}
