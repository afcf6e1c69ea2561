/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How daemons must end, and what must be said of what failed in them. What must
 * hold of directories is world.h's.
 */
#ifndef SC_FAULT_JUDGE_H
#define SC_FAULT_JUDGE_H

#include "tests/fault/cases.h"

/* What came of a job. */
struct outcome {
	struct ending end[SIDES];
	struct fault_board board[SIDES];
	bool is_new;
	uint64_t ms;
};

/* A daemon ends by itself, in order, unless it was to be killed. who: its side.
 * 0, or -1 when it did not. */
int judge_ending(const struct ending *e, bool dies, const char *who,
		 struct sc_err *err);

/* The call that failed ended the job with an error that names it, or is in the
 * log of its daemon. 0, or -1. */
int judge_outcome(const struct play *p, const struct fault_case *c,
		  const struct outcome *o, struct sc_err *err);

#endif
