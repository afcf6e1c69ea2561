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
	bool started; /* was sent its START */
};

/* Start the daemon: a fresh board, and its end of the socket in pl->sock. */
int player_start(struct player *pl, struct sc_err *err);

/* The process alone. board: its path, or NULL; sock: the daemon's end. 0 or an
 * errno value. */
int player_spawn(struct player *pl, const char *board, const char *kill_after,
		 int sock);

/* It is over with its daemon, one way or the other. */
bool player_ended(const struct player *pl);

/* The daemon is gone. */
void player_lose(struct player *pl);

/* Send a message; enc: its body, freed here, NULL: none. A daemon that is gone
 * is noticed when it is heard. */
void player_say(struct player *pl, uint16_t type, struct sc_enc *enc,
		const int *fds, int n);

/* Keep the body of an ERROR. */
void player_take_error(struct player *pl, struct sc_dec *dec);

/* Say DONOR_START. */
void player_start_donor(struct player *pl);

/* Take the next message, and answer as the plugin does. The donor's player is
 * the first of SIDES in an array: it starts the other. */
void player_hear(struct player *pl);

/* Hang up and wait for the process. One that does not end is killed. */
void player_stop(struct player *pl);

#endif
