/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of a replacement, shared by the replace*.c files. */
#ifndef SC_PLUGIN_REPLACE_JOB_H
#define SC_PLUGIN_REPLACE_JOB_H

#include "plugin/killer.h"
#include "plugin/replace.h"
#include "plugin/sql.h"

#include <pthread.h>

struct sc_replace {
	unsigned ddl_timeout; /* s */
	pthread_t thread;
	struct sc_killer killer;
	/* The thread's own: */
	size_t reached;			 /* steps begun */
	bool read_only, super_read_only; /* as they were, */
	bool read_only_known;		 /* once they were read */
	struct sc_rows channels; /* name, quoted, receiver ran, applier ran */

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t changed;
	bool quiescing, quiesced;
	struct sc_err err;
	enum sc_replace_verdict verdict;
	unsigned session_id;
};

/* run may have done half when it fails: undo copes with that. */
struct sc_replace_step {
	const char *name;
	int (*run)(struct sc_replace *r, struct sc_sql *sql,
		   struct sc_err *err);
	int (*undo)(struct sc_replace *r, struct sc_sql *sql,
		    struct sc_err *err); /* NULL: the session's end does it */
};

extern const struct sc_replace_step sc_replace_steps[];
extern const size_t sc_replace_n_steps;

/* True when the statement's thread has decided already. */
bool sc_replace_cancelled(struct sc_replace *r);

/*
 * RESET BINARY LOGS AND GTIDS. The commit counts already: a failure is logged
 * and the start-up does it (SC_RESET_PENDING stays). sql may be NULL.
 */
void sc_replace_reset(struct sc_sql *sql);

#endif
