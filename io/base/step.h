/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs are tables of named steps; whoever runs a table reports each step that
 * is done. Builds for the fault tests (SC_TEST_HOOKS) end the process there,
 * as SIGKILL would, when the environment variable SNAPCLONE_KILL_AFTER names
 * the step. In other builds this is nothing.
 */
#ifndef SC_BASE_STEP_H
#define SC_BASE_STEP_H

#ifdef SC_TEST_HOOKS
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static inline void sc_step_done(const char *table, const char *step)
{
	const char *at = getenv("SNAPCLONE_KILL_AFTER");
	size_t n = strlen(table);

	if (at && !strncmp(at, table, n) && at[n] == ':' &&
	    !strcmp(at + n + 1, step))
		raise(SIGKILL);
}
#else
static inline void sc_step_done(const char *table, const char *step)
{
	(void)table;
	(void)step;
}
#endif

#endif
