/* SPDX-License-Identifier: GPL-2.0-only */
/* TLS records in few system calls; see wire.h. */
#include "daemon/wire.h"

#include "daemon/conn.h"
#include "io/base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int sc_wire_init(struct sc_wire *w, int fd)
{
	/* Memory that is never touched, as the sender's `in`, costs nothing. */
	*w = (struct sc_wire){ .fd = fd,
			       .out = malloc(SC_WIRE_SIZE),
			       .in = malloc(SC_WIRE_SIZE) };
	return w->out && w->in ? 0 : -1;
}

void sc_wire_free(struct sc_wire *w)
{
	free(w->out);
	free(w->in);
	*w = (struct sc_wire){ .fd = -1 };
}

static int wire_failed(struct sc_wire *w, int sys_errno)
{
	if (!w->sys_errno)
		w->sys_errno = sys_errno;
	return -1;
}

int sc_wire_flush(struct sc_wire *w)
{
	struct iovec part = { w->out, w->out_len };
	int rc;

	w->out_len = 0;
	rc = sc_socket_send(w->fd, &part, 1);
	return rc ? wire_failed(w, rc) : 0;
}

int sc_wire_put(struct sc_wire *w, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		size_t n = SC_MIN(len, SC_WIRE_SIZE - w->out_len);

		memcpy(w->out + w->out_len, p, n);
		w->out_len += n;
		p += n;
		len -= n;
		if (w->out_len == SC_WIRE_SIZE && sc_wire_flush(w) < 0)
			return -1;
	}
	return 0;
}

uint8_t *sc_wire_room(struct sc_wire *w, size_t len)
{
	if (len > SC_WIRE_SIZE - w->out_len && sc_wire_flush(w) < 0)
		return NULL;
	return w->out + w->out_len;
}

void sc_wire_try(struct sc_wire *w)
{
	(void)!send(w->fd, w->out, w->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	w->out_len = 0;
}

/* Receive behind what is there, which moves to the front: it is less than a
 * record, and the front of the buffer is in the cache. */
static int wire_fill(struct sc_wire *w)
{
	size_t have = w->in_len - w->in_at;
	ssize_t n;

	memmove(w->in, w->in + w->in_at, have);
	w->in_at = 0;
	w->in_len = have;
	do
		n = recv(w->fd, w->in + have, SC_WIRE_SIZE - have, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return wire_failed(w, n < 0 ? errno : ECONNRESET);
	w->in_len += (size_t)n;
	return 0;
}

ssize_t sc_wire_get(struct sc_wire *w, void *buf, size_t len)
{
	size_t n;

	if (w->in_at == w->in_len && wire_fill(w) < 0)
		return -1;
	n = SC_MIN(len, w->in_len - w->in_at);
	memcpy(buf, w->in + w->in_at, n);
	w->in_at += n;
	return (ssize_t)n;
}

const uint8_t *sc_wire_need(struct sc_wire *w, size_t len)
{
	while (w->in_len - w->in_at < len) {
		if (wire_fill(w) < 0)
			return NULL;
	}
	return w->in + w->in_at;
}
