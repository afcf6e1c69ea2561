/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by data_server.c and data_guest.c only. */
#ifndef SC_DAEMON_DATA_SERVER_IMPL_H
#define SC_DAEMON_DATA_SERVER_IMPL_H

#include "daemon/data_server.h"

#include <pthread.h>

/* Connections that are not admitted yet; more are turned away. */
#define MAX_GUESTS 32

/* Somebody who connected: in its handshake, then perhaps a stream. */
struct guest {
	struct sc_data_server *server;
	pthread_t thread;
	uint64_t since_ms;
	bool used;
	/* Under the server's lock: */
	int fd;		      /* -1 once a connection owns it */
	struct sc_conn *conn; /* until it is admitted or turned away */
	bool ended;
};

struct sc_data_server {
	struct sc_data_server_params p;
	int listener;
	int wake; /* eventfd: the accept loop ends */
	pthread_t acceptor;
	bool accepting;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sc_conn *conns[SC_MAX_STREAMS + 1];
	bool taken[SC_MAX_STREAMS + 1];	      /* a stream is admitted once */
	unsigned streams_open, streams_ended; /* data streams */
	bool cancelled;
	struct guest guests[MAX_GUESTS + SC_MAX_STREAMS + 1];
};

/* The thread of a guest (arg): admit it or turn it away; an admitted stream is
 * run to its end. */
void *guest_main(void *arg);

#endif
