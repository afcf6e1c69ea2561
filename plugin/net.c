/* SPDX-License-Identifier: GPL-2.0-only */
/* Socket addresses as text; see net.h. */
#include "plugin/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ::ffff:a.b.c.d becomes a.b.c.d; the daemon then needs no dual stack. */
static void unmap(struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four = { .sin_family = AF_INET };

	memcpy(&six, addr, sizeof(six));
	if (addr->ss_family != AF_INET6 ||
	    !IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	memcpy(&four.sin_addr, six.sin6_addr.s6_addr + 12, 4);
	memcpy(addr, &four, sizeof(four));
	*len = sizeof(four);
}

int sc_net_address(int fd, bool peer, char *buf, size_t cap, struct sc_err *err)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	int rc = peer ? getpeername(fd, (struct sockaddr *)&addr, &len)
		      : getsockname(fd, (struct sockaddr *)&addr, &len);

	if (rc < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "address of the clone connection");
	if (addr.ss_family == AF_UNIX) {
		snprintf(buf, cap, "127.0.0.1");
		return 0;
	}
	unmap(&addr, &len);
	rc = getnameinfo((struct sockaddr *)&addr, len, buf, (socklen_t)cap,
			 NULL, 0, NI_NUMERICHOST);
	if (rc)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "address of the clone connection: %s",
				  gai_strerror(rc));
	return 0;
}

int sc_net_wait_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -1;
	return n > 0;
}
