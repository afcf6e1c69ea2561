/* SPDX-License-Identifier: GPL-2.0-only */
/* Cleaning the data directory; see clean.h. Any thread. */
#include "plugin/clean.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "plugin/daemon_link.h"
#include "plugin/roots.h"

#include <unistd.h>

#define CLEAN_MS 60000
#define STAGE_MARK "#clone/#snapclone_stage"

bool sc_clean_needed(void)
{
	return access(STAGE_MARK, F_OK) == 0;
}

void sc_clean_forget(void)
{
	unlink(STAGE_MARK);
}

static int await_cleaned(struct sc_link *link, struct sc_err *err)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	uint64_t deadline = sc_now_ms() + CLEAN_MS;
	struct sc_ctl_error error;
	struct sc_dec dec;
	int rc = 0;

	while (rc == 0 && sc_now_ms() < deadline)
		rc = sc_link_recv(link, &msg, 1000, err);
	if (rc < 0)
		return -1;
	dec = sc_ctl_body(&msg);
	if (rc == 1 && msg.type == SC_CTL_CLEANED)
		return 0;
	if (rc == 1 && msg.type == SC_CTL_ERROR &&
	    sc_ctl_get_error(&dec, &error) == 0)
		return sc_err_set(err, (int)error.code, "%s", error.message);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "the daemon did not clean the data directory");
}

int sc_clean_data_directory(struct sc_err *err)
{
	CLEANUP_ROOTS struct sc_own_roots roots = { 0 };
	struct sc_ctl_places places;
	struct sc_enc enc = { 0 };
	struct sc_link link;
	int rc;

	if (sc_own_places_open(&roots, &places, err) < 0)
		return -1;
	rc = sc_link_open(&link, err);
	if (rc == 0) {
		sc_ctl_put_places(&enc, &places);
		rc = sc_link_send(&link, SC_CTL_CLEAN, &enc, roots.fd,
				  roots.m.n, err);
	}
	if (rc == 0)
		rc = await_cleaned(&link, err);
	sc_link_close(&link);
	return rc;
}
