/* SPDX-License-Identifier: GPL-2.0-only */
/* See judge.h. */
#include "tests/fault/judge.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static int wrong(struct sc_err *err, const char *who, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s: %s", who, what);
}

/* A daemon ends by itself, in order, unless it was to be killed. */
int judge_ending(const struct ending *e, bool dies, const char *who,
		 struct sc_err *err)
{
	if (!e->used)
		return 0;
	if (e->hung)
		return wrong(err, who, "it did not end by itself");
	if (WIFSIGNALED(e->status) && !(dies && WTERMSIG(e->status) == SIGKILL))
		return wrong(err, who, strsignal(WTERMSIG(e->status)));
	/* Before it has said HELLO there is nobody to tell but by that. */
	if (WIFEXITED(e->status) && WEXITSTATUS(e->status) && e->greeted)
		return wrong(err, who, "exit status is not 0");
	if (e->failed && (!e->code || !*e->message))
		return wrong(err, who, "an error without number or text");
	return 0;
}

static bool no_memory(const char *text)
{
	return strstr(text, "memory") || strstr(text, strerrordesc_np(EAGAIN));
}

/* A call for a file failed, and all went on without a word. Only fstat() needs
 * none: it tells whether a range is a hole, which else is read. */
static bool is_swallowed(const struct fault_case *c, const struct outcome *o)
{
	const struct fault_board *b = &o->board[c->side];

	if (c->dies || !b->hit || !b->after ||
	    (c->class != FAULT_READ && c->class != FAULT_WRITE) ||
	    !strcmp(b->call, "fstat"))
		return false;
	return !strstr(o->end[c->side].log, strerrordesc_np(c->error));
}

/* What a user sees says what happened; when a connection was refused for it,
 * that side's log does. Errors of sockets have words of their
 * own, and a plugin that is lost has nobody to tell. */
int judge_outcome(const struct play *p, const struct fault_case *c,
		  const struct outcome *o, struct sc_err *err)
{
	const struct ending *e = play_error(p, o->end);

	if (!e && o->is_new && is_swallowed(c, o))
		return wrong(err, "nobody was told", "the clone counts");
	if (c->dies || !o->board[c->side].hit || !e || o->end[c->side].told)
		return 0;
	if (c->error == ENOSPC && e->code != SC_ER_CLONE_DISK_SPACE)
		return wrong(err, "not the error of a full disk", e->message);
	if ((c->class == FAULT_READ || c->class == FAULT_WRITE) &&
	    !strstr(e->message, strerrordesc_np(c->error)))
		return wrong(err, "the cause is not named", e->message);
	if (c->class == FAULT_MEMORY && !no_memory(e->message) &&
	    !no_memory(o->end[c->side].log))
		return wrong(err, "the cause is not named", e->message);
	return 0;
}
