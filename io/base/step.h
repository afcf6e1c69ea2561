/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs are tables of named steps; whoever runs a table reports each step that
 * is done. Builds for the fault tests (SC_TEST_HOOKS) end the process there,
 * as SIGKILL would, when the environment variable SNAPCLONE_KILL_AFTER names
 * the step (table:step), and with SNAPCLONE_KILL_PARENT=1 the parent too (an
 * embedded daemon's mysqld); SNAPCLONE_STOP_AFTER stops it there (SIGSTOP).
 * sc_step_report() is the fault campaign's (tests/fault/hooks.c). And
 * sc_test_ms() takes times from the environment that tests do not wait for, or
 * want to. In other builds this is nothing.
 */
#ifndef SC_BASE_STEP_H
#define SC_BASE_STEP_H

#ifdef SC_TEST_HOOKS
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline int sc_step_is(const char *variable, const char *table,
			     const char *step)
{
	const char *at = getenv(variable);
	size_t n = strlen(table);

	return at && !strncmp(at, table, n) && at[n] == ':' &&
	       !strcmp(at + n + 1, step);
}

/* Not in the plugin, nor in unit tests. */
__attribute__((weak)) void sc_step_report(const char *table, const char *step);

static inline void sc_step_done(const char *table, const char *step)
{
	const char *parent = getenv("SNAPCLONE_KILL_PARENT");

	if (sc_step_report)
		sc_step_report(table, step);
	if (sc_step_is("SNAPCLONE_STOP_AFTER", table, step))
		raise(SIGSTOP);
	if (!sc_step_is("SNAPCLONE_KILL_AFTER", table, step))
		return;
	if (parent && !strcmp(parent, "1"))
		kill(getppid(), SIGKILL);
	raise(SIGKILL);
}

static inline int sc_test_ms(const char *variable, int ms)
{
	const char *value = getenv(variable);

	return value ? atoi(value) : ms;
}
#else
static inline void sc_step_done(const char *table, const char *step)
{
	(void)table;
	(void)step;
}

static inline int sc_test_ms(const char *variable, int ms)
{
	(void)variable;
	return ms;
}
#endif

#endif
