/* SPDX-License-Identifier: GPL-2.0-only */
/* A BIO of OpenSSL whose other end is a wire. */
#ifndef SC_DAEMON_TLS_BIO_H
#define SC_DAEMON_TLS_BIO_H

#include "daemon/wire.h"

#include <openssl/bio.h>

/* The kind of BIO; NULL when out of memory. BIO_meth_free() after its BIOs. */
BIO_METHOD *sc_tls_bio_method(void);

/* A BIO that borrows the wire, for reading or writing or both; NULL when out of
 * memory. What fails on the wire is in its sys_errno. */
BIO *sc_tls_bio_new(const BIO_METHOD *method, struct sc_wire *wire);

#endif
