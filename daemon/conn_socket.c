/* SPDX-License-Identifier: GPL-2.0-only */
/* TCP sockets of the data channel, and the connection without TLS. */
#include "daemon/conn.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * A peer whose host vanished is noticed by keep-alives within 40 s, or when
 * data stays unacknowledged that long. Source: tcp(7).
 */
enum {
	KEEP_IDLE_S = 20,
	KEEP_INTERVAL_S = 5,
	KEEP_COUNT = 4,
	USER_TIMEOUT_MS = 40000
};
/* How soon a waiting connect notices that it should stop. */
#define STOP_CHECK_MS 100

void sc_job_id_hex(const uint8_t job_id[], char ret[2 * SC_JOB_ID_SIZE + 1])
{
	for (int i = 0; i < SC_JOB_ID_SIZE; i++)
		snprintf(ret + 2 * i, 3, "%02x", job_id[i]);
}

static void set_opt(int fd, int level, int name, int value)
{
	/* All of these are improvements; a kernel without one still works. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Every data connection, whatever goes over it: called where descriptors are
 * made. */
static void tune(int fd)
{
	set_opt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_opt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_opt(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
	set_opt(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
	set_opt(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
	set_opt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

void sc_socket_timeout(int fd, int timeout_ms)
{
	struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int resolve(const char *address, uint16_t port, struct addrinfo **ret,
		   struct sc_err *err)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	char service[8];
	int rc;

	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(address, service, &hints, ret);
	if (rc)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "'%s' is not a numeric address: %s", address,
				  gai_strerror(rc));
	return 0;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	return ntohs(ss.ss_family == AF_INET6
			     ? ((struct sockaddr_in6 *)&ss)->sin6_port
			     : ((struct sockaddr_in *)&ss)->sin_port);
}

int sc_listen(const char *address, uint16_t port, uint16_t *ret_port,
	      struct sc_err *err)
{
	struct addrinfo *ai;
	int fd, rc;

	if (resolve(address, port, &ai, err) < 0)
		return -1;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		set_opt(fd, SOL_SOCKET, SO_REUSEADDR, port != 0);
	rc = fd < 0 ? -1 : bind(fd, ai->ai_addr, ai->ai_addrlen);
	if (rc == 0)
		rc = listen(fd, 64);
	freeaddrinfo(ai);
	if (rc < 0) {
		sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			   "cannot listen for data connections on %s port %u",
			   address, port);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*ret_port = port_of(fd);
	return fd;
}

int sc_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		tune(fd);
	return fd;
}

/* Finish a non-blocking connect; 0 or an errno value. */
static int await_connect(int fd, int timeout_ms, const atomic_bool *stop)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int soerr = 0;
	socklen_t len = sizeof(soerr);
	int n = 0;

	for (int waited = 0; n == 0; waited += STOP_CHECK_MS) {
		if (*stop)
			return ECANCELED;
		if (waited >= timeout_ms)
			return ETIMEDOUT;
		n = poll(&p, 1, STOP_CHECK_MS);
		if (n < 0 && errno == EINTR)
			n = 0;
	}
	if (n < 0)
		return errno;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &soerr, &len);
	return soerr;
}

int sc_connect(const char *address, uint16_t port, int timeout_ms,
	       const atomic_bool *stop, struct sc_err *err)
{
	struct addrinfo *ai;
	int fd, rc = 0;

	if (resolve(address, port, &ai, err) < 0)
		return -1;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
		rc = errno;
	freeaddrinfo(ai);
	if (rc == EINPROGRESS)
		rc = await_connect(fd, timeout_ms, stop);
	if (rc == 0 && fcntl(fd, F_SETFL, 0) < 0)
		rc = errno;
	if (rc) {
		if (fd >= 0)
			close(fd);
		return sc_err_sys(
			err, SC_ER_CLONE_DONOR, rc,
			"cannot connect to the donor's data port, %s port %u; HINT: is the port open in the firewall (option data_port of snapcloned on the donor)",
			address, port);
	}
	tune(fd);
	return fd;
}

int sc_socket_send(int fd, struct iovec *parts, size_t n)
{
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = n };

	sc_msg_skip(&msg, 0);
	while (msg.msg_iovlen) {
		ssize_t done = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (done < 0 && errno != EINTR)
			return errno;
		if (done > 0)
			sc_msg_skip(&msg, (size_t)done);
	}
	return 0;
}

/* ---- plain connection -------------------------------------------------------
 */

struct conn_plain {
	struct sc_conn base;
	int fd;
};

static int plain_failed(int sys_errno, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_CLONE_PROTOCOL, sys_errno,
			  "data connection");
}

static int plain_read(struct sc_conn *conn, void *buf, size_t len,
		      struct sc_err *err)
{
	struct conn_plain *c = (struct conn_plain *)conn;
	size_t done = 0;

	while (done < len) {
		ssize_t n = recv(c->fd, (char *)buf + done, len - done,
				 MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return plain_failed(n < 0 ? errno : ECONNRESET, err);
		done += (size_t)n;
	}
	return 0;
}

static int plain_writev(struct sc_conn *conn, struct iovec *parts, int n,
			struct sc_err *err)
{
	int sys_errno = sc_socket_send(((struct conn_plain *)conn)->fd, parts,
				       (size_t)n);

	return sys_errno ? plain_failed(sys_errno, err) : 0;
}

static void plain_shutdown(struct sc_conn *conn, bool read_only)
{
	shutdown(((struct conn_plain *)conn)->fd,
		 read_only ? SHUT_RD : SHUT_RDWR);
}

static void plain_free(struct sc_conn *conn)
{
	close(((struct conn_plain *)conn)->fd);
	free(conn);
}

static const struct sc_conn_ops plain_ops = {
	.read = plain_read,
	.writev = plain_writev,
	.shutdown = plain_shutdown,
	.free = plain_free,
};

struct sc_conn *sc_conn_plain_new(int fd)
{
	struct conn_plain *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->base.ops = &plain_ops;
	c->fd = fd;
	return &c->base;
}
