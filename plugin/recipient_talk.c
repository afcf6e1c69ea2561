/* SPDX-License-Identifier: GPL-2.0-only */
/* Listening to the donor and to the daemon; see recipient.h. */
#include "plugin/recipient.h"

#include "io/base/clock.h"
#include "plugin/raise.h"
#include "plugin/services.h"
#include "plugin/status.h"

#define POLL_DONOR_MS 200 /* at most SC_COM_POLL_MS */
#define RECV_MS 100

int sc_recipient_check_killed(struct sc_recipient *r, struct sc_err *err)
{
	if (!sc_interrupted(r->thd))
		return 0;
	return sc_err_interrupted(err);
}

/* One that failed, or is gone, is not asked again: the connection may be in no
 * state for it. */
static int ask_donor(struct sc_recipient *r, unsigned wait_ms)
{
	if (sc_err_is_set(&r->donor_err))
		return -1;
	r->polled_ms = sc_now_ms();
	if (sc_peer_poll(&r->peer, wait_ms, &r->state, &r->donor_err) < 0)
		return -1;
	if (r->state.phase == SC_DONOR_FAILED)
		return sc_err_set(&r->donor_err, SC_ER_CLONE_DONOR,
				  SC_DONOR_ERROR_FORMAT, r->state.error_no,
				  r->state.error_text);
	return 0;
}

int sc_recipient_poll(struct sc_recipient *r)
{
	if (sc_now_ms() < r->polled_ms + POLL_DONOR_MS)
		return 0;
	return ask_donor(r, 0);
}

int sc_recipient_await_donor(struct sc_recipient *r)
{
	return ask_donor(r, POLL_DONOR_MS);
}

/* STAGED and DONE carry the same. */
static int on_done(struct sc_dec *dec, bool *flag)
{
	struct sc_ctl_done done = { 0 };
	int rc = sc_ctl_get_done(dec, &done);

	if (rc == 0) {
		sc_status_seal(&done.seal);
		*flag = true;
	}
	sc_ctl_seal_free(&done.seal);
	return rc;
}

static int on_daemon_error(struct sc_recipient *r, struct sc_dec *dec)
{
	struct sc_ctl_error error;

	if (sc_ctl_get_error(dec, &error) < 0)
		return -1;
	sc_err_set(&r->daemon_err, (int)error.code, "%s", error.message);
	r->daemon_gone = true;
	return 0;
}

static int handle(struct sc_recipient *r, struct sc_ctl_msg *msg)
{
	struct sc_dec dec = sc_ctl_body(msg);
	struct sc_ctl_progress progress;

	switch (msg->type) {
	case SC_CTL_PROGRESS:
		if (sc_ctl_get_progress(&dec, &progress) < 0)
			return -1;
		sc_status_progress(&progress);
		return 0;
	case SC_CTL_DONE:
		return on_done(&dec, &r->done);
	case SC_CTL_STAGED:
		return r->in_place ? on_done(&dec, &r->staged) : -1;
	case SC_CTL_PREPARED:
		r->prepared = true;
		return r->staged ? 0 : -1;
	case SC_CTL_KEYS_WANTED:
		r->keys_wanted = true;
		return 0;
	case SC_CTL_ERROR:
		return on_daemon_error(r, &dec);
	}
	return -1;
}

int sc_recipient_hear(struct sc_recipient *r)
{
	struct sc_ctl_msg msg = { 0 };
	int rc = sc_link_recv(&r->link, &msg, RECV_MS, &r->daemon_err);

	if (rc < 0) {
		r->daemon_gone = true;
	} else if (rc == 1 && handle(r, &msg) < 0) {
		sc_err_set(
			&r->daemon_err, SC_ER_INTERNAL_ERROR,
			"unexpected message %u from the daemon (%s); restart the service or reinstall the plugin",
			msg.type, r->link.name);
		r->daemon_gone = true;
	}
	sc_ctl_msg_clear(&msg);
	return r->daemon_gone ? -1 : 0;
}
