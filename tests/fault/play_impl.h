/* SPDX-License-Identifier: GPL-2.0-only */
/* One daemon and its plugin, shared by play*.c only. */
#ifndef SC_FAULT_PLAY_IMPL_H
#define SC_FAULT_PLAY_IMPL_H

#include "tests/fault/play.h"

struct player {
	enum side side;
	const struct play *p;
	struct ending *end;
	struct fault_board *board; /* mapped */
	int sock;
	pid_t pid;
	unsigned passes; /* COPIED came so often */
	bool started;	 /* was sent its START */
};

/* Start the daemon: a fresh board, and its end of the socket in pl->sock. */
int player_start(struct player *pl, struct sc_err *err);

/* The process alone. board: its path, or NULL; sock: the daemon's end. 0 or an
 * errno value. */
int player_spawn(struct player *pl, const char *board, const char *kill_after,
		 int sock);

/* Hang up and wait for the process. One that does not end is killed. */
void player_stop(struct player *pl);

#endif
