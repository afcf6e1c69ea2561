/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CLONE INSTANCE ... DATA DIRECTORY: agree with the donor's plugin, then let
 * the daemon fetch and write while this thread, the statement's, keeps the
 * donor polled, looks for KILL and fills the status tables. Whatever fails,
 * one error is raised: the one that started it.
 */
#include "plugin/clone.h"

#include "io/base/clock.h"
#include "plugin/config.h"
#include "plugin/daemon_link.h"
#include "plugin/net.h"
#include "plugin/peer.h"
#include "plugin/raise.h"
#include "plugin/services.h"
#include "plugin/status.h"
#include "plugin/sysvars.h"
#include "plugin/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_DONOR_MS 200
#define RECV_MS 100
#define CAUSE_MS 2000 /* how long to wait for the other side's reason */
#define UNDO_MS 4000  /* the daemon stops and removes what it made */
#define DONOR_END_MS 5000

struct recipient {
	struct st_thd *thd;
	int ssl_mode;
	char donor[300]; /* host:port */
	struct sc_peer peer;
	struct sc_link link;
	bool link_open;
	struct sc_target target;
	bool target_made;
	struct sc_com_config own;
	char donor_uuid[SC_UUID_LEN + 1];
	struct sc_com_state state; /* of the donor, last polled */
	uint64_t polled_ms;
	bool started;     /* the daemon has a job */
	bool done;        /* the daemon's DONE came */
	bool daemon_gone; /* its ERROR came, or its socket closed */
	struct sc_err daemon_err, donor_err;
};

/* ---- agreeing ------------------------------------------------------------ */

static int compare_servers(struct recipient *r, struct sc_err *err)
{
	CLEANUP_CONFIG struct sc_com_config theirs = { 0 };
	char plugin_dir[1024] = "";

	if (sc_peer_config(&r->peer, &theirs, err) < 0 ||
	    sc_config_collect(&r->own, err) < 0)
		return -1;
	sc_server_variable("plugin_dir", plugin_dir, sizeof(plugin_dir));
	snprintf(r->donor_uuid, sizeof(r->donor_uuid), "%s",
		 sc_config_variable(&theirs, "server_uuid") ?: "");
	return sc_config_compare(&theirs, &r->own, plugin_dir, err);
}

/* Encrypted as the connection is, unless the statement says else. */
static int decide_tls(struct recipient *r, bool *ret, struct sc_err *err)
{
	if (r->ssl_mode == ST_SSL_REQUIRED && !r->peer.tls)
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"the connection to the donor has no TLS, which REQUIRE SSL asks for");
	*ret = r->ssl_mode != ST_SSL_DISABLED && r->peer.tls;
	if (!*ret)
		sc_server_log(
			ST_LOG_WARNING,
			"clone from %s receives its data unencrypted: %s",
			r->donor,
			r->ssl_mode == ST_SSL_DISABLED ?
				"REQUIRE NO SSL was given" :
				"the donor offers no TLS");
	return 0;
}

static int start_donor(struct recipient *r, bool tls, struct sc_err *err)
{
	struct sc_com_start start = {
		.tls = tls,
		.block_ddl = sc_settings.block_ddl,
		.ddl_timeout = sc_settings.ddl_timeout,
		.streams = sc_settings.max_concurrency,
		.data_bandwidth = sc_settings.max_data_bandwidth,
		.network_bandwidth = sc_settings.max_network_bandwidth,
	};

	return sc_peer_start(&r->peer, &start, err);
}

/* ---- the two conversations ----------------------------------------------- */

static int check_killed(struct recipient *r, struct sc_err *err)
{
	if (!thd_killed(r->thd))
		return 0;
	return sc_err_set(err, SC_ER_QUERY_INTERRUPTED,
			  "Query execution was interrupted");
}

/* Ask the donor where it is, when it is time. -1: it failed or is gone. */
static int poll_donor(struct recipient *r)
{
	if (sc_now_ms() < r->polled_ms + POLL_DONOR_MS)
		return 0;
	r->polled_ms = sc_now_ms();
	if (sc_peer_poll(&r->peer, &r->state, &r->donor_err) < 0)
		return -1;
	if (r->state.phase == SC_DONOR_FAILED)
		return sc_err_set(&r->donor_err, SC_ER_CLONE_DONOR,
				  SC_DONOR_ERROR_FORMAT, r->state.error_no,
				  r->state.error_text);
	return 0;
}

static int on_done(struct recipient *r, struct sc_dec *dec)
{
	struct sc_ctl_done done = { 0 };
	int rc = sc_ctl_get_done(dec, &done);

	if (rc == 0) {
		sc_status_seal(&done.seal);
		r->done = true;
	}
	sc_ctl_seal_free(&done.seal);
	return rc;
}

static int on_daemon_error(struct recipient *r, struct sc_dec *dec)
{
	struct sc_ctl_error error;

	if (sc_ctl_get_error(dec, &error) < 0)
		return -1;
	sc_err_set(&r->daemon_err,
		   error.code ? (int)error.code : SC_ER_INTERNAL_ERROR, "%s",
		   error.message);
	r->daemon_gone = true;
	return 0;
}

static int handle(struct recipient *r, struct sc_ctl_msg *msg)
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
		return on_done(r, &dec);
	case SC_CTL_ERROR:
		return on_daemon_error(r, &dec);
	}
	return -1;
}

/* Wait a moment for the daemon. -1: it failed or is gone. */
static int hear_daemon(struct recipient *r)
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

/* ---- steps --------------------------------------------------------------- */

static int await_ready(struct recipient *r, struct sc_err *err)
{
	while (r->state.phase != SC_DONOR_READY) {
		if (check_killed(r, err) < 0 || poll_donor(r) < 0)
			return -1;
		if (r->state.phase > SC_DONOR_READY)
			return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
					  "the donor went on without us");
		sc_sleep_ms(20);
	}
	return 0;
}

static int send_start(struct recipient *r, bool tls, struct sc_err *err)
{
	struct sc_ctl_recipient_start m = {
		.tls = tls,
		.streams = sc_settings.max_concurrency,
		.data_bandwidth = sc_settings.max_data_bandwidth,
		.network_bandwidth = sc_settings.max_network_bandwidth,
		.port = r->state.port,
	};
	const char *page_size = sc_config_variable(&r->own, "innodb_page_size");
	int fds[] = { r->target.fd, r->target.parent_fd };
	struct sc_enc enc = { 0 };

	m.page_size = page_size ? (uint32_t)atoi(page_size) : 0;
	memcpy(m.job_id, r->state.job_id, sizeof(m.job_id));
	memcpy(m.key, r->state.key, sizeof(m.key));
	snprintf(m.peer, sizeof(m.peer), "%.255s", r->donor);
	snprintf(m.target_name, sizeof(m.target_name), "%s", r->target.name);
	if (sc_net_address(r->peer.fd, true, m.address, sizeof(m.address),
			   err) < 0)
		return -1;
	sc_ctl_put_recipient_start(&enc, &m);
	explicit_bzero(m.key, sizeof(m.key));
	explicit_bzero(r->state.key, sizeof(r->state.key));
	r->started = true;
	sc_status_copying(1, r->state.bytes);
	return sc_link_send(&r->link, SC_CTL_RECIPIENT_START, &enc, fds, 2,
			    err);
}

static int copy(struct recipient *r, struct sc_err *err)
{
	while (!r->done) {
		if (check_killed(r, err) < 0 || hear_daemon(r) < 0 ||
		    (!r->done && poll_donor(r) < 0))
			return -1;
	}
	return 0;
}

static int agree(struct recipient *r, bool *ret_tls, struct sc_err *err)
{
	if (sc_peer_hello(&r->peer, err) < 0 || compare_servers(r, err) < 0)
		return -1;
	return decide_tls(r, ret_tls, err);
}

/* As stock: the donor refuses a recipient that would overwrite it. */
static int check_loopback(struct recipient *r, struct sc_err *err)
{
	const char *own = sc_config_variable(&r->own, "server_uuid");

	if (!own || strcmp(own, r->donor_uuid))
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_DONOR,
		"%d : Clone cannot use loop back connection while cloning into current data directory.",
		SC_ER_CLONE_LOOPBACK);
}

static int prepare(struct recipient *r, const char *data_dir,
		   struct sc_err *err)
{
	if (!data_dir && check_loopback(r, err) < 0)
		return -1;
	if (!data_dir)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"this release of snapclone does not replace a server's own data; nothing was changed; add DATA DIRECTORY");
	if (sc_target_make(&r->target, data_dir, err) < 0)
		return -1;
	r->target_made = true;
	r->link_open = true;
	return sc_link_open(&r->link, err);
}

static int run(struct recipient *r, const char *data_dir, struct sc_err *err)
{
	bool tls = false;

	if (agree(r, &tls, err) < 0 || prepare(r, data_dir, err) < 0 ||
	    start_donor(r, tls, err) < 0 || await_ready(r, err) < 0 ||
	    send_start(r, tls, err) < 0)
		return -1;
	return copy(r, err);
}

/* ---- the end ------------------------------------------------------------- */

/* The daemon removes what it made, then says so. */
static void cancel_daemon(struct recipient *r)
{
	uint64_t deadline = sc_now_ms() + UNDO_MS;
	struct sc_err ignored = SC_ERR_INIT;

	if (!r->started || r->daemon_gone ||
	    sc_link_send(&r->link, SC_CTL_CANCEL, NULL, NULL, 0, &ignored) < 0)
		return;
	while (!r->daemon_gone && sc_now_ms() < deadline)
		hear_daemon(r);
}

/* A lost data connection has its reason on the other side, which needs a
 * moment to find it out. */
static void hear_other_side(struct recipient *r)
{
	uint64_t deadline = sc_now_ms() + CAUSE_MS;

	while (sc_now_ms() < deadline && !thd_killed(r->thd)) {
		if (r->daemon_gone && sc_err_is_set(&r->donor_err))
			return;
		if (!r->daemon_gone)
			hear_daemon(r);
		else if (r->peer.broken || poll_donor(r) < 0)
			return;
		else
			sc_sleep_ms(50);
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
static void find_cause(struct recipient *r, struct sc_err *err)
{
	if (thd_killed(r->thd)) {
		*err = (struct sc_err)SC_ERR_INIT;
		check_killed(r, err);
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
static void await_donor_end(struct recipient *r)
{
	uint64_t deadline = sc_now_ms() + DONOR_END_MS;

	while (r->state.phase != SC_DONOR_DONE && sc_now_ms() < deadline &&
	       !thd_killed(r->thd)) {
		if (poll_donor(r) < 0) {
			sc_server_log(
				ST_LOG_WARNING,
				"clone from %s is complete, but its donor ended with: %s",
				r->donor, r->donor_err.msg);
			return;
		}
		sc_sleep_ms(20);
	}
}

static void leave(struct recipient *r, int rc, struct sc_err *err)
{
	struct sc_err ignored = SC_ERR_INIT;

	if (rc < 0) {
		find_cause(r, err);
		cancel_daemon(r);
	} else {
		await_donor_end(r);
	}
	if (!r->peer.broken &&
	    sc_peer_end(&r->peer, (uint32_t)err->code, &ignored) < 0)
		r->peer.broken = true;
	if (r->link_open)
		sc_link_close(&r->link);
	sc_peer_disconnect(&r->peer);
	sc_com_config_free(&r->own);
}

/* Everything between the status row's begin and its end. */
static int clone_to(struct recipient *r, const char *host, unsigned port,
		    const char *user, const char *password,
		    const char *data_dir, struct sc_err *err)
{
	int rc;

	if (sc_peer_connect(&r->peer, r->thd, host, port, user, password,
			    r->ssl_mode, err) < 0)
		return -1;
	rc = run(r, data_dir, err);
	leave(r, rc, err);
	if (rc < 0 && r->target_made)
		sc_target_remove(&r->target);
	return rc;
}

int sc_clone_instance(struct st_thd *thd, const char *host, unsigned port,
		      const char *user, const char *password,
		      const char *data_dir, int ssl_mode)
{
	struct recipient r = { .thd = thd, .ssl_mode = ssl_mode };
	struct sc_err err = SC_ERR_INIT;
	int rc;

	if (sc_donor_check_valid(host, port, &err) < 0)
		return sc_raise_result(thd, &err);
	snprintf(r.donor, sizeof(r.donor), "%.255s:%u", host, port);
	if (sc_status_begin(thd_get_thread_id(thd), r.donor, data_dir, &err) <
	    0)
		return sc_raise_result(thd, &err);
	rc = clone_to(&r, host, port, user, password, data_dir, &err);
	if (rc < 0)
		rc = sc_raise_result(thd, &err);
	sc_status_end(&err, rc ? -1 : r.target.fd);
	if (!rc)
		sc_target_close(&r.target);
	return rc;
}
