/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is at the other end of a control connection, and which directories he may
 * hand over. A service has more rights than mysqld: a descriptor proves only
 * that its sender could open the directory, not that he may have files made or
 * removed in it, nor that he may read all that lies below it.
 *
 * Any thread.
 */
#ifndef SC_DAEMON_PEER_H
#define SC_DAEMON_PEER_H

#include "io/base/err.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct sc_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool trusted; /* root or the daemon's own user: he could do all of it
			 himself */
};

/* What a directory must be to a peer that is not trusted. */
enum sc_peer_need {
	SC_PEER_OWN,	/* his: what is made there is given to its owner */
	SC_PEER_SHARED, /* his, or his group may do all in it */
	SC_PEER_WRITE,	/* he may make files in it */
};

/* Who connected, as the kernel says. 0 or -1. */
int sc_peer_of(int sock, struct sc_peer *ret, struct sc_err *err);

/* By owner, group and mode; supplementary groups and ACLs do not count. */
bool sc_peer_may(const struct sc_peer *peer, const struct stat *st,
		 enum sc_peer_need need);

/* The same of a descriptor that came from him; it must be a directory's. 0, or
 * -1 with what a DBA can do about it. */
int sc_peer_check(const struct sc_peer *peer, int dir, enum sc_peer_need need,
		  struct sc_err *err);

#endif
