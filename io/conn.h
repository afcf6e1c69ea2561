/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A byte stream to the other daemon: TLS (daemon/tls.c) or a plain socket
 * (daemon/conn_socket.c). Used by one thread at a time (an OpenSSL connection
 * is not safe for two); only shutdown may be called from any other.
 */
#ifndef SC_CONN_H
#define SC_CONN_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct sc_conn;

struct sc_conn_ops {
	/* Read exactly len bytes. 0 or -1; a clean end before the first byte
	 * has sys_errno ECONNRESET. */
	int (*read)(struct sc_conn *conn, void *buf, size_t len,
		    struct sc_err *err);
	/* Write all parts, in order, with as few system calls as there can
	 * be; nothing is held back. Uses the array up. 0 or -1. */
	int (*writev)(struct sc_conn *conn, struct iovec *parts, int n,
		      struct sc_err *err);
	/* Wake a blocked read, and unless read_only a blocked write, with an
	 * error. Any thread. */
	void (*shutdown)(struct sc_conn *conn, bool read_only);
	void (*free)(struct sc_conn *conn);
};

struct sc_conn {
	const struct sc_conn_ops *ops;
	uint64_t bytes_out; /* on the wire, without TLS overhead; sender's */
};

static inline int sc_conn_read(struct sc_conn *c, void *buf, size_t len,
			       struct sc_err *err)
{
	return c->ops->read(c, buf, len, err);
}

/*
 * Write n >= 0 parts, all or an error: a header and its data leave in one call
 * to the kernel. Parts may be empty; the array is used up, the bytes are only
 * read. 0 or -1, after which the connection cannot be written any more.
 */
static inline int sc_conn_writev(struct sc_conn *c, struct iovec *parts, int n,
				 struct sc_err *err)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += parts[i].iov_len;
	if (c->ops->writev(c, parts, n, err) < 0)
		return -1;
	c->bytes_out += len;
	return 0;
}

static inline int sc_conn_write(struct sc_conn *c, const void *buf, size_t len,
				struct sc_err *err)
{
	struct iovec part = { (void *)buf, len };

	return sc_conn_writev(c, &part, 1, err);
}

#endif
