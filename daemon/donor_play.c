/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In builds for tests redo is lost when the environment variable
 * SNAPCLONE_LOSE_REDO says so:
 *
 *	image	when the image is made; the follower has looked once
 *	unread	the same, but it has not
 *	copy	when files are copied
 *	pass	when a pass has changed the list
 *	change	the same, before anything of it is copied
 *
 * Once in a job. The follower waits for that, but for passes.
 */
#include "daemon/donor.h"

#include "io/base/clock.h"

#include <stdlib.h>
#include <string.h>

#ifdef SC_TEST_HOOKS
static const char *when_to_lose(const struct donor *d)
{
	return d->restarts || d->end_lsn ? NULL : getenv("SNAPCLONE_LOSE_REDO");
}

static bool in_a_pass(const char *when)
{
	return !strcmp(when, "pass") || !strcmp(when, "change");
}

static bool is_due(const struct donor *d, const char *when)
{
	if (in_a_pass(when))
		return d->list_changed;
	return !strcmp(when, "copy") ? d->copy.next_chunk : d->one_moment;
}

bool donor_plays_lost(struct donor *d, bool has_looked, struct sc_err *err)
{
	const char *when = when_to_lose(d);

	if (!when || has_looked == !strcmp(when, "unread"))
		return false;
	while (!in_a_pass(when) && !is_due(d, when) && !d->job.stopping)
		sc_sleep_ms(1);
	if (!is_due(d, when))
		return false;
	d->played_lost = true;
	sc_err_set(err, SC_ER_INTERNAL_ERROR, "redo was lost in a test");
	return true;
}

void donor_play_change(struct donor *d)
{
	const char *when = when_to_lose(d);

	while (when && !strcmp(when, "change") && !d->redo_lost &&
	       !d->job.stopping)
		sc_sleep_ms(1);
}
#else
bool donor_plays_lost(struct donor *d, bool has_looked, struct sc_err *err)
{
	(void)d;
	(void)has_looked;
	(void)err;
	return false;
}

void donor_play_change(struct donor *d)
{
	(void)d;
}
#endif
