/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The recipient's job as a list of steps: connects to the donor's daemon,
 * receives files, chunks and redo into the stage, seals and commits it. The
 * job's thread runs them and reads stream 0; every data stream has a thread of
 * its own (recipient_stream.c). What they made is undone by recipient.c.
 */
#include "daemon/recipient.h"

#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/base/step.h"

#include <inttypes.h>
#include <string.h>

static int open_stage(struct recipient *r, struct sc_err *err)
{
	struct sc_stage_params params = {
		.target = r->target,
		.parent = r->parent,
		.name = r->start.target_name,
		.in_place = r->start.in_place,
		.roots = &r->roots,
		.page_size = r->start.page_size,
		.streams = r->start.streams,
	};

	return sc_stage_open(&params, &r->stage, err);
}

static int step_connect(struct recipient *r, struct sc_err *err)
{
	return recipient_connect(r, 0, err);
}

int recipient_await_streams(struct recipient *r, struct sc_err *err)
{
	recipient_join_streams(r);
	if (r->job.stopping)
		return sc_job_cancelled(err);
	if (r->lost_since_ms) {
		*err = r->lost;
		return -1;
	}
	return 0;
}

/*
 * Everything of the donor is here: the plugin stores the master keys it needs
 * in this server's keyring, and gives them to us for the redo log, when that is
 * encrypted. Always asked, so that no clone counts without its keys.
 */
static int step_keys(struct recipient *r, struct sc_err *err)
{
	struct sc_space_key key;
	int rc;

	if (sc_keys_ask(&r->keys, NULL, 0, err) < 0)
		return -1;
	rc = sc_keys_unwrap(&r->keys,
			    r->seal.redo_encryption + SC_KEY_INFO_REDO, &key,
			    err);
	if (rc > 0)
		rc = sc_stage_redo_key(r->stage, &key, err);
	explicit_bzero(&key, sizeof(key));
	return rc < 0 ? sc_err_context(err, "redo log") : 0;
}

static int step_seal(struct recipient *r, struct sc_err *err)
{
	sc_job_stage(&r->job, SC_STAGE_REDO_COPY);
	sc_job_stage(&r->job, SC_STAGE_FILE_SYNC);
	sc_stage_set_network(r->stage, r->network);
	return sc_stage_seal(r->stage, &r->seal, err);
}

/* ---- in place: the plugin's part of the commit lies between ours
 * --------------- */

static int await_order(struct recipient *r, const bool *order,
		       struct sc_err *err)
{
	SC_LOCK_SCOPE(&r->lock);
	while (!*order && !r->job.stopping)
		pthread_cond_wait(&r->changed, &r->lock);
	return *order ? 0 : sc_job_cancelled(err);
}

/* Complete and checked: the plugin stops what would disturb the commit. */
static int step_await_prepare(struct recipient *r, struct sc_err *err)
{
	struct sc_ctl_done done = { .seal = r->seal.mark,
				    .checkpoint_lsn = r->job.checkpoint_lsn };
	struct sc_enc enc = { 0 };

	if (!r->start.in_place)
		return 0;
	sc_ctl_put_done(&enc, &done);
	if (sc_session_send(r->job.session, SC_CTL_STAGED, &enc, err) < 0)
		return -1;
	return await_order(r, &r->prepare, err);
}

static int step_prepare(struct recipient *r, struct sc_err *err)
{
	if (!r->start.in_place)
		return 0;
	return sc_stage_prepare(r->stage, err);
}

/* The plugin resets binary logs and GTIDs. */
static int step_await_commit(struct recipient *r, struct sc_err *err)
{
	if (!r->start.in_place)
		return 0;
	if (sc_session_send(r->job.session, SC_CTL_PREPARED, NULL, err) < 0)
		return -1;
	return await_order(r, &r->commit, err);
}

static int step_commit(struct recipient *r, struct sc_err *err)
{
	if (sc_job_keep_done(&r->job, &r->seal.mark, err) < 0 ||
	    sc_stage_commit(r->stage, err) < 0)
		return -1;
	r->committed = true;
	sc_info("clone complete: %zu files, %" PRIu64 " MiB, end LSN %" PRIu64,
		sc_filelist_present(&r->list), r->list.bytes / SC_MIB,
		r->seal.mark.end_lsn);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct recipient *r, struct sc_err *err);
} steps[] = {
	{ "open stage", open_stage },
	{ "connect", step_connect },
	{ "receive", recipient_receive_control },
	{ "await streams", recipient_await_streams },
	{ "keys", step_keys },
	{ "seal", step_seal },
	{ "await prepare", step_await_prepare },
	{ "prepare", step_prepare },
	{ "await commit", step_await_commit },
	{ "commit", step_commit },
};

int recipient_run_steps(struct recipient *r, struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(steps); i++) {
		sc_debug("recipient step: %s", steps[i].name);
		if (r->job.stopping)
			return sc_job_cancelled(err);
		if (steps[i].run(r, err) < 0)
			return -1;
		sc_step_done("recipient", steps[i].name);
	}
	return 0;
}
