/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs are tables of named steps; whoever runs a table reports each step that
 * is done. Builds for the fault tests (SC_TEST_HOOKS) end the process there,
 * as SIGKILL would, when the environment variable SNAPCLONE_KILL_AFTER names
 * the step (table:step), and with SNAPCLONE_KILL_PARENT=1 the parent too (an
 * embedded daemon's mysqld). In other builds this is nothing.
 */
#ifndef SC_BASE_STEP_H
#define SC_BASE_STEP_H

#ifdef SC_TEST_HOOKS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void sc_step_done(const char *table, const char *step)
{
	const char *at = getenv("SNAPCLONE_KILL_AFTER");
	const char *parent = getenv("SNAPCLONE_KILL_PARENT");
	size_t n = strlen(table);

	if (!at || strncmp(at, table, n) != 0 || at[n] != ':' ||
	    strcmp(at + n + 1, step) != 0)
		return;
	if (parent && !strcmp(parent, "1"))
		kill(getppid(), SIGKILL);
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
