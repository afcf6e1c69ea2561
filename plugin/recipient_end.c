/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How CLONE INSTANCE ends. A failure shows on both sides at once, mostly as a
 * lost connection on one of them: here the one that started it is found.
 */
#include "plugin/recipient.h"

#include "io/base/clock.h"
#include "plugin/services.h"

#include <string.h>

#define CAUSE_MS 2000 /* how long to wait for the other side's reason */
#define UNDO_MS 4000  /* the daemon stops and removes what it made */
#define DONOR_END_MS 5000

/* The daemon removes what it made, then says so. */
static void cancel_daemon(struct sc_recipient *r)
{
	uint64_t deadline = sc_now_ms() + UNDO_MS;
	struct sc_err ignored = SC_ERR_INIT;

	if (!r->started || r->daemon_gone ||
	    sc_link_send(&r->link, SC_CTL_CANCEL, NULL, NULL, 0, &ignored) < 0)
		return;
	while (!r->daemon_gone && sc_now_ms() < deadline)
		sc_recipient_hear(r);
}

/* A lost data connection has its reason on the other side, which needs a
 * moment to find it out. */
static void hear_other_side(struct sc_recipient *r)
{
	uint64_t deadline = sc_now_ms() + CAUSE_MS;

	while (sc_now_ms() < deadline && !sc_interrupted(r->thd)) {
		if (r->daemon_gone && sc_err_is_set(&r->donor_err))
			return;
		if (!r->daemon_gone)
			sc_recipient_hear(r);
		else if (r->peer.broken || sc_recipient_await_donor(r) < 0)
			return;
	}
}

/* True for errors that say "the other side", not what happened here. */
static bool is_remote(const struct sc_err *err)
{
	return !sc_err_is_set(err) || err->code == SC_ER_CLONE_DONOR ||
	       err->code == SC_ER_CLONE_PROTOCOL ||
	       err->code == SC_ER_QUERY_INTERRUPTED;
}

/* Put the error that started it into err, which has none of its own yet
 * unless this thread found it. */
static void find_cause(struct sc_recipient *r, struct sc_err *err)
{
	if (sc_interrupted(r->thd)) {
		*err = (struct sc_err)SC_ERR_INIT;
		sc_recipient_check_killed(r, err);
		return;
	}
	if (sc_err_is_set(err))
		return;
	if (r->started && is_remote(&r->daemon_err))
		hear_other_side(r);
	if (!is_remote(&r->daemon_err) || !sc_err_is_set(&r->donor_err))
		*err = r->daemon_err;
	else
		*err = r->donor_err;
}

/* Let the donor finish its own end, so that it does not log a failure. */
static void await_donor_end(struct sc_recipient *r)
{
	uint64_t deadline = sc_now_ms() + DONOR_END_MS;

	while (r->state.phase != SC_DONOR_DONE && sc_now_ms() < deadline &&
	       !sc_interrupted(r->thd)) {
		if (sc_recipient_await_donor(r) < 0) {
			/* A KILL breaks the connection: nothing was wrong. */
			if (sc_interrupted(r->thd))
				return;
			sc_server_log(
				ST_LOG_WARNING,
				"clone from %s is complete, but its donor ended with: %s",
				r->donor, r->donor_err.msg);
			return;
		}
	}
}

void sc_recipient_leave(struct sc_recipient *r, int rc, struct sc_err *err)
{
	struct sc_err ignored = SC_ERR_INIT;

	if (rc < 0) {
		find_cause(r, err);
		cancel_daemon(r);
		sc_recipient_undo_replace(r);
	} else {
		/* Before anything else: RESET belongs to the commit. */
		sc_replace_end(r->replace, SC_REPLACE_COMMIT);
		await_donor_end(r);
	}
	if (!r->peer.broken &&
	    sc_peer_end(&r->peer, (uint32_t)err->code, &ignored) < 0)
		r->peer.broken = true;
	if (r->link_open)
		sc_link_close(&r->link);
	sc_peer_disconnect(&r->peer);
	sc_com_config_free(&r->own);
	/* Polls after the daemon's start may have brought it again. */
	explicit_bzero(r->state.key, sizeof(r->state.key));
}
