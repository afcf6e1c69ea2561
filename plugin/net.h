/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses of a connected socket, numeric. Pure system calls, any thread. */
#ifndef SC_PLUGIN_NET_H
#define SC_PLUGIN_NET_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The address (no port) of this end or of the peer of a TCP socket; an IPv4
 * address mapped into IPv6 comes as IPv4. A Unix socket is 127.0.0.1, since
 * its peer is on this machine. Returns 0 or -1.
 */
int sc_net_address(int fd, bool peer, char *buf, size_t cap,
		   struct sc_err *err);

/* Wait until fd is readable or closed: 1 yes, 0 timeout, -1 error. */
int sc_net_wait_readable(int fd, int timeout_ms);

#endif
