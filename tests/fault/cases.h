/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cases of a campaign: which call of which side fails in which step of
 * which kind of job, and after which step a daemon dies. Made from the boards
 * of jobs in which nothing failed.
 */
#ifndef SC_FAULT_CASES_H
#define SC_FAULT_CASES_H

#include "tests/fault/play.h"

#include <stddef.h>

struct fault_case {
	enum how how;
	enum side side;
	char step[FAULT_NAME]; /* in which it is meant to be */
	bool dies; /* SIGKILL after the step; else the call fails: */
	enum fault_class class;
	int error; /* errno */
	uint64_t at;
};

struct cases {
	struct fault_case *list; /* owned */
	size_t n, cap;
};

/*
 * Append the cases of one side of a job. board: of a job that succeeded. picks:
 * of the calls of a class in a step, so many fail, spread over the step; each
 * with every error of its class. 0 or -1: out of memory.
 */
int cases_add(struct cases *cases, enum how how, enum side side,
	      const struct fault_board *board, unsigned picks);

/* What a call of that class fails with; NULL: does not fail with it. */
const char *case_error_name(const struct fault_case *c);

/* "remote donor memory ENOMEM 17 [donor:copy]", of up to 160 bytes. */
void case_text(const struct fault_case *c, char text[160]);

#endif
