/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection of one job to its daemon: the service's socket, or a daemon
 * of our own started for the job, which ends with the socket. Never blocks
 * mysqld for longer than the waits named here.
 */
#ifndef SC_PLUGIN_DAEMON_LINK_H
#define SC_PLUGIN_DAEMON_LINK_H

#include "io/base/ctl.h"
#include "io/base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct sc_link {
	int sock;		   /* -1 = closed */
	pid_t pid;		   /* daemon of our own, 0 = the service */
	pthread_mutex_t send_lock; /* several threads may send */
	char name[160];		   /* for messages: path of socket or program */
	bool greeted;		   /* it answered, its version is ours */
};

/*
 * Connect as clone_daemon_socket and clone_daemon_path say. A daemon of our own
 * takes some 10 ms to answer: do something else before sc_link_greet(). Any
 * thread. Returns 0, or -1 with an error that says what to do. sc_link_close()
 * is legal and needed in both cases, as in those of the next two.
 */
int sc_link_start(struct sc_link *link, struct sc_err *err);

/* Wait up to 10 s for its answer and compare versions; before anything else is
 * received. Legal again once it returned 0. 0 or -1. */
int sc_link_greet(struct sc_link *link, struct sc_err *err);

/* Both in one. */
int sc_link_open(struct sc_link *link, struct sc_err *err);

/*
 * Close the socket, which ends a daemon of our own; wait for it up to 2 s,
 * then kill it. Only then is what the job had open really closed.
 */
void sc_link_close(struct sc_link *link);

/* Send a message; serialises senders. Returns 0 or -1. */
int sc_link_send(struct sc_link *link, uint16_t type, struct sc_enc *enc,
		 const int *fds, int nfds, struct sc_err *err);

/*
 * Receive one message within timeout_ms; LOG messages go to mysqld's log and
 * count as nothing. Returns 1, 0 when nothing came, -1 on error: a daemon that
 * is gone is an error that names it and says where to look.
 */
int sc_link_recv(struct sc_link *link, struct sc_ctl_msg *msg, int timeout_ms,
		 struct sc_err *err);

#endif
