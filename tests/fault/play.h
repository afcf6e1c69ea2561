/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plays the plugins: starts a donor's and a recipient's daemon, each with its
 * fault board, and leads them through a clone over their control sockets as
 * the two plugins and their COM_CLONE connection do. The one place of the
 * campaign that knows the control messages; see docs/protocol.md.
 *
 * One thread; one job at a time.
 */
#ifndef SC_FAULT_PLAY_H
#define SC_FAULT_PLAY_H

#include "tests/fault/board.h"
#include "tests/fault/how.h"

#include "io/base/keylist.h"

#include <sys/types.h>

enum side { DONOR, RECIPIENT, SIDES };

extern const char *const side_names[SIDES];

/* What a daemon is told by its environment. */
struct orders {
	struct fault_board plan;     /* only its plan is used */
	char kill_after[FAULT_NAME]; /* "table:step", "": none */
};

struct play {
	enum how how;
	const char *daemon;	  /* path of snapcloned, built with hooks */
	char boards[160];	  /* directory for the boards' files */
	int datadir, redo, spool; /* of the donor, borrowed */
	int target, parent; /* of the recipient; in place the target is its data
			       directory; borrowed */
	const char *target_name;
	uint64_t begin_lsn; /* of a moment before the job */
	/* What the donor's DDL does during the copy; NULL: none. */
	void (*ddl)(void *arg);
	void *arg;
	uint64_t end_lsn;		/* E */
	const struct sc_key_list *keys; /* in the keyring of either server */
	struct orders orders[SIDES];
};

/* How one side ended. */
struct ending {
	bool used;
	bool greeted;	 /* it answered HELLO */
	bool done;	 /* DONE came */
	bool failed;	 /* ERROR came */
	bool lost;	 /* its daemon was gone before either */
	bool told;	 /* it was still at work and was told to end (CANCEL) */
	bool hung;	 /* it did not end by itself */
	unsigned passes; /* COPIED came so often */
	uint32_t code;
	char message[512];
	int status;	 /* of the process, as waitpid(2) says */
	unsigned ms;	 /* since the start */
	char log[16384]; /* its first lines */
};

/*
 * Play the job to its end. ret: SIDES of them. board: what the boards say
 * afterwards. 0, or -1 when it could not be played at all.
 */
int play(const struct play *p, struct ending ret[SIDES],
	 struct fault_board board[SIDES], struct sc_err *err);

/* What the statement fails with, as the plugin decides it: end[].code and
 * message of the side that has the cause; NULL: it succeeds, or the plugin
 * words the error (a daemon that is gone). */
const struct ending *play_error(const struct play *p,
				const struct ending end[SIDES]);

/* A daemon of its own cleans a data directory, as after a job that died. */
int play_clean(const struct play *p, struct sc_err *err);

#endif
