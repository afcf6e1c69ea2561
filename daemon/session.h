/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session: one control connection, from a plugin (one job) or the command
 * line (status). Served by one thread; other threads of its job send through
 * sc_session_send().
 */
#ifndef SC_DAEMON_SESSION_H
#define SC_DAEMON_SESSION_H

#include "daemon/config.h"
#include "daemon/job.h"
#include "daemon/peer.h"

struct sc_registry {
	pthread_mutex_t lock;
	struct sc_job *jobs;
	unsigned n_jobs;
	const struct sc_config *config;
	atomic_bool shutdown; /* sessions end soon */
	bool log_to_peer;     /* embedded: the log goes to the plugin */
};

/* config: borrowed while the registry is used. */
void sc_registry_init(struct sc_registry *registry,
		      const struct sc_config *config);

/*
 * Serve a connection until it ends, the daemon shuts down or the peer breaks
 * the protocol; its job is cancelled and joined before this returns. Takes the
 * socket. may_start: false for sockets that only answer status.
 */
void sc_session_serve(int sock, struct sc_registry *registry, bool may_start);

/* Who asks; as long as the session. */
const struct sc_peer *sc_session_peer(const struct sc_session *session);

/* Send a message on the session's socket, one at a time. Any thread. A failure
 * is a failure of the control connection: callers end their job. */
int sc_session_send(struct sc_session *session, uint16_t type,
		    struct sc_enc *enc, struct sc_err *err);

#endif
