/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CLONE INSTANCE: agree with the donor's plugin, then let
 * the daemon fetch and write while this thread, the statement's, keeps the
 * donor polled, looks for KILL and fills the status tables. Whatever fails,
 * one error is raised: the one that started it.
 */
#include "plugin/clone.h"

#include "io/base/clock.h"
#include "io/base/outside.h"
#include "plugin/config.h"
#include "plugin/drop_data.h"
#include "plugin/keyring.h"
#include "plugin/net.h"
#include "plugin/raise.h"
#include "plugin/recipient.h"
#include "plugin/services.h"
#include "plugin/status.h"
#include "plugin/sysvars.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- agreeing ------------------------------------------------------------ */

/* As stock: the donor refuses a recipient that would overwrite it. */
static int check_loopback(struct sc_recipient *r, struct sc_err *err)
{
	const char *own = sc_config_variable(&r->own, "server_uuid");

	if (!own || strcmp(own, r->donor_uuid))
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_DONOR,
		"%d : Clone cannot use loop back connection while cloning into current data directory.",
		SC_ER_CLONE_LOOPBACK);
}

static int compare_servers(struct sc_recipient *r, struct sc_err *err)
{
	CLEANUP_CONFIG struct sc_com_config theirs = { 0 };
	char plugin_dir[1024] = "";

	if (sc_peer_config(&r->peer, &theirs, err) < 0 ||
	    sc_config_collect(&r->own, err) < 0)
		return -1;
	sc_server_variable("plugin_dir", plugin_dir, sizeof(plugin_dir));
	snprintf(r->donor_uuid, sizeof(r->donor_uuid), "%s",
		 sc_config_variable(&theirs, "server_uuid") ?: "");
	r->donor_encrypted =
		atoi(sc_config_variable(&theirs, SC_ENCRYPTED) ?: "0") > 0;
	if (sc_config_compare(&theirs, &r->own, plugin_dir, err) < 0)
		return -1;
	if (!r->in_place)
		return 0;
	return check_loopback(r, err) < 0
		       ? -1
		       : sc_recipient_check_in_place(&r->own, &theirs, err);
}

/* Encrypted as the connection is, unless the statement says else. */
static int decide_tls(struct sc_recipient *r, bool *ret, struct sc_err *err)
{
	if (r->ssl_mode == ST_SSL_REQUIRED && !r->peer.tls)
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"the connection to the donor has no TLS, which REQUIRE SSL asks for");
	*ret = r->ssl_mode != ST_SSL_DISABLED && r->peer.tls;
	if (!*ret)
		sc_server_log(ST_LOG_WARNING,
			      "clone from %s receives its data unencrypted: %s",
			      r->donor,
			      r->ssl_mode == ST_SSL_DISABLED
				      ? "REQUIRE NO SSL was given"
				      : "the donor offers no TLS");
	return 0;
}

static int start_donor(struct sc_recipient *r, bool tls, struct sc_err *err)
{
	struct sc_com_start start = {
		.tls = tls,
		.block_ddl = sc_settings.block_ddl,
		.compress = sc_settings.enable_compression,
		.ddl_timeout = sc_settings.ddl_timeout,
		.streams = sc_settings.max_concurrency,
		.data_bandwidth = sc_settings.max_data_bandwidth,
		.network_bandwidth = sc_settings.max_network_bandwidth,
	};

	return sc_peer_start(&r->peer, &start, err);
}

/* ---- steps --------------------------------------------------------------- */

static int await_ready(struct sc_recipient *r, struct sc_err *err)
{
	while (r->state.phase != SC_DONOR_READY) {
		if (sc_recipient_check_killed(r, err) < 0 ||
		    sc_recipient_await_donor(r) < 0)
			return -1;
		if (r->state.phase > SC_DONOR_READY)
			return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
					  "the donor went on without us");
	}
	return 0;
}

/* Descriptors for the daemon: the target first, of a new one its parent too,
 * and the other directories. */
static int put_fds(const struct sc_recipient *r, int *fds)
{
	int n = 0;

	fds[n++] = r->in_place ? r->roots.fd[0] : r->target.fd;
	if (!r->in_place)
		fds[n++] = r->target.parent_fd;
	for (int i = 1; i < r->roots.m.n; i++)
		fds[n++] = r->roots.fd[i];
	return n;
}

static int send_start(struct sc_recipient *r, bool tls, struct sc_err *err)
{
	struct sc_ctl_recipient_start m = {
		.tls = tls,
		.autotune = sc_settings.autotune_concurrency,
		.streams = sc_settings.max_concurrency,
		.data_bandwidth = sc_settings.max_data_bandwidth,
		.network_bandwidth = sc_settings.max_network_bandwidth,
		.port = r->state.port,
	};
	const char *page_size = sc_config_variable(&r->own, "innodb_page_size");
	int fds[SC_RECIPIENT_FDS_MAX];
	int n = put_fds(r, fds);
	struct sc_enc enc = { 0 };

	m.page_size = page_size ? (uint32_t)atoi(page_size) : 0;
	memcpy(m.job_id, r->state.job_id, sizeof(m.job_id));
	memcpy(m.key, r->state.key, sizeof(m.key));
	snprintf(m.peer, sizeof(m.peer), "%.255s", r->donor);
	m.in_place = r->in_place;
	m.places = r->places;
	snprintf(m.target_name, sizeof(m.target_name), "%s",
		 r->in_place ? "" : r->target.name);
	if (sc_net_address(r->peer.fd, true, m.address, sizeof(m.address),
			   err) < 0)
		return -1;
	sc_ctl_put_recipient_start(&enc, &m);
	explicit_bzero(m.key, sizeof(m.key));
	explicit_bzero(r->state.key, sizeof(r->state.key));
	r->started = true;
	sc_status_copying(1, r->state.bytes);
	return sc_link_send(&r->link, SC_CTL_RECIPIENT_START, &enc, fds, n,
			    err);
}

static int copy(struct sc_recipient *r, struct sc_err *err)
{
	while (!r->done && !r->staged) {
		if (sc_recipient_check_killed(r, err) < 0 ||
		    sc_recipient_hear(r) < 0 ||
		    (r->keys_wanted && sc_recipient_answer_keys(r, err) < 0) ||
		    (!r->done && sc_recipient_poll(r) < 0))
			return -1;
	}
	return 0;
}

/* Before data moves, so that a keyring that is missing costs nothing. */
static int store_keys(struct sc_recipient *r, struct sc_err *err)
{
	CLEANUP_KEYS struct sc_key_list keys = { 0 };

	return sc_recipient_store_keys(r, &keys, err);
}

/* What the donor would refuse, or the keyring, is refused before anything is
 * dropped. */
static int check_encryption(struct sc_recipient *r, bool tls,
			    struct sc_err *err)
{
	if (!r->donor_encrypted)
		return 0;
	if (!tls)
		return sc_err_set(
			err, SC_ER_CLONE_DONOR, SC_DONOR_ERROR_FORMAT,
			SC_ER_CLONE_ENCRYPTION,
			"Clone needs SSL connection for encrypted table.");
	if (sc_keyring_check(err) < 0)
		return sc_err_context(
			err,
			"the donor's data is encrypted and its keys cannot be stored here, nothing was replaced");
	return 0;
}

static int agree(struct sc_recipient *r, bool *ret_tls, struct sc_err *err)
{
	if (sc_peer_hello(&r->peer, err) < 0 || compare_servers(r, err) < 0 ||
	    decide_tls(r, ret_tls, err) < 0)
		return -1;
	return check_encryption(r, *ret_tls, err);
}

/* The target is this server's own data directory, mysqld's current one, with
 * the other directories of its tablespaces. */
static int prepare_in_place(struct sc_recipient *r, struct sc_err *err)
{
	return sc_own_places_open(&r->roots, &r->places, err);
}

/* A new directory is the only one of its clone, but for external tablespaces:
 * where this server may have some. */
static int prepare_new(struct sc_recipient *r, const char *data_dir,
		       struct sc_err *err)
{
	if (sc_external_places_open(&r->roots, &r->places, err) < 0)
		return -1;
	return sc_target_make(&r->target, data_dir, err);
}

static int prepare(struct sc_recipient *r, const char *data_dir,
		   struct sc_err *err)
{
	if (r->in_place ? prepare_in_place(r, err) < 0
			: prepare_new(r, data_dir, err) < 0)
		return -1;
	r->target_made = !r->in_place;
	r->link_open = true;
	return sc_link_start(&r->link, err);
}

/* Only when the user prefers room to safety. */
static int drop_data(struct sc_recipient *r, struct sc_err *err)
{
	if (!r->in_place || !sc_settings.drop_data_first)
		return 0;
	if (sc_link_greet(&r->link, err) < 0)
		return -1;
	return sc_drop_data(r->thd, sc_settings.delay_after_data_drop, err);
}

static int run(struct sc_recipient *r, const char *data_dir, struct sc_err *err)
{
	bool tls = false;

	if (agree(r, &tls, err) < 0 || prepare(r, data_dir, err) < 0 ||
	    drop_data(r, err) < 0 || start_donor(r, tls, err) < 0 ||
	    sc_link_greet(&r->link, err) < 0 || await_ready(r, err) < 0 ||
	    store_keys(r, err) < 0 || send_start(r, tls, err) < 0 ||
	    copy(r, err) < 0)
		return -1;
	return r->in_place ? sc_recipient_replace(r, err) : 0;
}

/* Everything between the status row's begin and its end. */
static int clone_to(struct sc_recipient *r, const char *host, unsigned port,
		    const char *user, const char *password,
		    const char *data_dir, struct sc_err *err)
{
	int rc;

	if (sc_peer_connect(&r->peer, r->thd, host, port, user, password,
			    r->ssl_mode, err) < 0)
		return -1;
	rc = run(r, data_dir, err);
	sc_recipient_leave(r, rc, err);
	sc_recipient_end_keys(r, rc);
	if (rc < 0 && r->target_made)
		sc_target_remove(&r->target);
	else if (r->target_made)
		sc_outside_forget(r->target.fd);
	sc_own_roots_close(&r->roots);
	return rc;
}

/* The record of a clone that ended: in place it goes on after the restart. */
static void end_status(struct sc_recipient *r, int rc, const struct sc_err *err)
{
	if (rc == 0 && r->in_place)
		sc_status_restarting();
	else
		sc_status_end(err, rc ? -1 : r->target.fd);
	if (rc == 0 && !r->in_place)
		sc_target_close(&r->target);
}

int sc_clone_instance(struct st_thd *thd, const char *host, unsigned port,
		      const char *user, const char *password,
		      const char *data_dir, int ssl_mode)
{
	struct sc_recipient r = { .thd = thd,
				  .ssl_mode = ssl_mode,
				  .in_place = !data_dir,
				  .target = { .fd = -1, .parent_fd = -1 } };
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
	end_status(&r, rc, &err);
	return rc;
}
