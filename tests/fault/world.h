/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The directories of a fault campaign: a donor's data directory, saved from a
 * real server that was killed, the place for a new clone, and a small data
 * directory of a recipient. And what must hold of them after a job. One
 * thread.
 */
#ifndef SC_FAULT_WORLD_H
#define SC_FAULT_WORLD_H

#include "tests/fault/play.h"

struct world {
	const char *where;	 /* the directory it is in, borrowed */
	char base[128];		 /* removed by world_close() */
	struct play play;	 /* how, orders: to be set for each job */
	char *donor_files;	 /* as they were, see world.c */
	char *old_files;	 /* of the recipient's data directory */
	struct sc_key_list keys; /* of both servers */
	int later;     /* files that DDL brings to the donor and takes */
	bool altered;  /* it has done so in this job */
	int recipient; /* that directory */
	int clones;    /* where new clones are made */
};

/*
 * Make it in the directory where, borrowed. data: the saved data directory;
 * `data`.lsn and `data`.keys belong to it (tests/fault/make_data). 0, or -1;
 * world_close() also then.
 */
int world_open(struct world *w, const char *daemon, const char *where,
	       const char *data, struct sc_err *err);
void world_close(struct world *w);

/* Make the target of the next job. */
int world_begin(struct world *w, enum how how, struct sc_err *err);

/*
 * Look at everything after a job, and tidy up as the plugins do when a daemon
 * has died: 0 when all is as it must be, else -1 with err, which names what is
 * not. *ret_new: the clone counts.
 */
int world_check(struct world *w, const struct ending end[SIDES], bool *ret_new,
		struct sc_err *err);

#endif
