/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CLONE LOCAL: a donor job whose daemon writes the target itself. This thread
 * is the statement's; it waits, looks for KILL, and reports.
 */
#include "plugin/clone.h"

#include "plugin/donor.h"
#include "plugin/raise.h"
#include "plugin/services.h"
#include "plugin/status.h"
#include "plugin/sysvars.h"
#include "plugin/target.h"

#include <stdio.h>
#include <string.h>

#define KILL_POLL_MS 100

static void fill_request(const struct sc_target *target,
			 struct sc_donor_request *request)
{
	*request = (struct sc_donor_request){
		.local = true,
		.streams = sc_settings.max_concurrency,
		.data_bandwidth = sc_settings.max_data_bandwidth,
		.ddl_timeout = sc_settings.ddl_timeout,
		.block_ddl = sc_settings.block_ddl,
		.target_fd = target->fd,
		.parent_fd = target->parent_fd,
	};
	snprintf(request->peer, sizeof(request->peer), "%.255s", target->path);
	snprintf(request->target_name, sizeof(request->target_name), "%s",
		 target->name);
}

/* Until the job ended. A KILL cancels it; it then fails with 1317. */
static int watch(struct st_thd *thd, struct sc_donor *donor, struct sc_err *err)
{
	struct sc_donor_state state = { 0 };
	bool told = false;

	for (;;) {
		if (!told && sc_interrupted(thd)) {
			sc_donor_cancel(donor);
			told = true;
		}
		sc_donor_limit(donor, sc_settings.max_data_bandwidth, 0);
		sc_donor_wait(donor, state.phase, KILL_POLL_MS);
		sc_donor_get_state(donor, &state);
		if (state.phase == SC_DONOR_DONE)
			return 0;
		if (state.phase == SC_DONOR_FAILED) {
			*err = state.err;
			return -1;
		}
	}
}

static int run(struct st_thd *thd, struct sc_target *target, struct sc_err *err)
{
	struct sc_donor_request request;
	struct sc_donor *donor;
	int rc;

	fill_request(target, &request);
	donor = sc_donor_start(&request, err);
	if (!donor)
		return -1;
	rc = watch(thd, donor, err);
	if (rc == 0)
		sc_status_seal(sc_donor_seal(donor));
	sc_donor_free(donor);
	return rc;
}

int sc_clone_local(struct st_thd *thd, const char *data_dir)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_target target;

	if (sc_status_begin(thd_get_thread_id(thd), NULL, data_dir, &err) < 0)
		return sc_raise_result(thd, &err);
	if (sc_target_make(&target, data_dir, &err) < 0) {
		sc_raise_result(thd, &err);
		sc_status_end(&err, -1);
		return err.code;
	}
	if (run(thd, &target, &err) < 0) {
		sc_target_remove(&target);
		sc_raise_result(thd, &err);
		sc_status_end(&err, -1);
		return err.code;
	}
	sc_status_end(&err, target.fd);
	sc_target_close(&target);
	return 0;
}
