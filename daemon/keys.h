/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keys of a job: master keys, which the daemon asks the plugin for (only
 * mysqld has a keyring), and the keys of tablespaces that they unwrap. All are
 * cleared when the job is freed. Any thread, but where it says else.
 */
#ifndef SC_DAEMON_KEYS_H
#define SC_DAEMON_KEYS_H

#include "io/base/ctl.h"
#include "io/keys.h"

#include <pthread.h>

struct sc_session;
struct sc_space_block;

struct sc_keys {
	struct sc_key_source source;
	struct sc_session *session;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sc_key_list masters;
	struct sc_aes *aes;
	unsigned asked, answered;
	bool stopped;
	struct sc_space_block *spaces; /* newest first */
};

/* 0 or -1 (out of memory). destroy() is legal after a failure. */
int sc_keys_init(struct sc_keys *keys, struct sc_session *session);
void sc_keys_destroy(struct sc_keys *keys);

/* KEYS came; the session's thread. -1: malformed, or nobody asked. */
int sc_keys_take(struct sc_keys *keys, const struct sc_ctl_msg *msg,
		 struct sc_err *err);

/* The job ends: whoever waits stops waiting. */
void sc_keys_stop(struct sc_keys *keys);

/* Ask the plugin for n keys (none is legal: a recipient gets all there are) and
 * wait for its answer, which may lack some. 0, or -1: the job is stopping, the
 * connection broke. Not the session's thread. */
int sc_keys_ask(struct sc_keys *keys, const struct sc_key_ref *refs, size_t n,
		struct sc_err *err);

/*
 * Unwrap the key in info (SC_KEY_INFO_MAX bytes), asking for its master key
 * when that is not known. Returns 1 with *ret; 0 when info has none; -1.
 */
int sc_keys_unwrap(struct sc_keys *keys, const uint8_t *info,
		   struct sc_space_key *ret, struct sc_err *err);

/* The same, and keep it as a key of that tablespace: 1 with *ret, which stays
 * valid; 0; -1. */
int sc_keys_add_space(struct sc_keys *keys, uint32_t space_id,
		      const uint8_t *info, const struct sc_space_key **ret,
		      struct sc_err *err);

#endif
