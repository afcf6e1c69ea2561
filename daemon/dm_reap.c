/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a process that died left: origins that run through us, tables of ours
 * in inactive slots (anybody's next resume would make them live), devices,
 * memory. Ours are known by their uuid, the rest is not touched. The table an
 * origin had is that of the device under it, so nothing else has to be kept.
 */
#include "daemon/dm_image.h"

#include "daemon/dm_dev.h"
#include "daemon/dm_lock.h"
#include "daemon/dm_steps.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/base/step.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct reaping {
	struct sc_dm_info *devices; /* all of the host */
	unsigned n;
	struct sc_err *err; /* the first failure */
};

static bool is_part(const struct sc_dm_info *info, const char *part)
{
	size_t n = strlen(SC_DM_UUID_PREFIX);

	return !strncmp(info->uuid, SC_DM_UUID_PREFIX, n) &&
	       !strncmp(info->uuid + n, part, strlen(part)) &&
	       info->uuid[n + strlen(part)] == '-';
}

static int look_at_all(struct reaping *r)
{
	CLEANUP_FREE dev_t *devs = NULL;
	unsigned n;

	if (sc_dm_list(&devs, &n, r->err) < 0)
		return -1;
	r->devices = calloc(n + 1, sizeof(*r->devices));
	if (!r->devices)
		return sc_err_set(r->err, SC_ER_INTERNAL_ERROR,
				  "out of memory");
	for (unsigned i = 0; i < n; i++) {
		int rc = sc_dm_info(devs[i], &r->devices[r->n], r->err);

		if (rc < 0)
			return -1;
		r->n += rc == 1;
	}
	return 0;
}

/* The live table of `origin` is ours: give it back what it had. */
static int give_back(const struct sc_dm_info *origin,
		     const struct sc_dm_info *real, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table first = { 0 };
	CLEANUP_CLOSE int sys = sc_sys_open(err);
	uint64_t us;

	if (sys < 0 || sc_dm_read(real->dev, false, &first, err) < 0)
		return -1;
	if (!first.n)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "%s has no table to give back to %s",
				  real->name, origin->name);
	if (sc_dm_load(origin->dev, &first, err) < 0)
		return -1;
	sc_step_done("dm reap", "load");
	if (sc_dm_swap_keeping(sys, origin, &us, err) < 0)
		return -1;
	sc_info("%s has the table back that it had before an image was made; a write waited at most %" PRIu64
		" us for it",
		origin->name, us);
	return 0;
}

/* Take a device of the host out of what `real` is part of. */
static void free_origin(struct reaping *r, const struct sc_dm_info *device,
			const struct sc_dm_info *real)
{
	CLEANUP_DM_TABLE struct sc_dm_table live = { 0 }, inactive = { 0 };
	struct sc_err err = SC_ERR_INIT;
	int rc = 0;

	if (sc_dm_read(device->dev, false, &live, &err) < 0 ||
	    sc_dm_read(device->dev, true, &inactive, &err) < 0)
		rc = -1;
	else if (sc_dm_table_is_origin(&live, real->dev))
		rc = give_back(device, real, &err);
	else if (sc_dm_table_is_origin(&inactive, real->dev))
		rc = sc_dm_clear(device->dev, &err);
	if (rc < 0)
		sc_err_set(r->err, err.code, "%s", err.msg);
}

static void free_origins(struct reaping *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		if (!is_part(&r->devices[i], "real"))
			continue;
		for (unsigned k = 0; k < r->n; k++) {
			if (k != i)
				free_origin(r, &r->devices[k], &r->devices[i]);
		}
	}
	sc_step_done("dm reap", "origins");
}

/* Number removed. */
static int remove_parts(struct reaping *r, const char *part)
{
	int n = 0;

	for (unsigned i = 0; i < r->n; i++) {
		struct sc_err err = SC_ERR_INIT;

		if (!is_part(&r->devices[i], part))
			continue;
		if (sc_dm_remove(r->devices[i].dev, SC_DM_REMOVE_MS, &err) == 0)
			n++;
		else
			sc_err_set(r->err, err.code, "%s", err.msg);
	}
	sc_step_done("dm reap", part);
	return n;
}

static int reap(struct reaping *r)
{
	int snaps, reals, cows, zrams;

	if (look_at_all(r) < 0)
		return -1;
	free_origins(r);
	snaps = remove_parts(r, "snap");
	reals = remove_parts(r, "real");
	cows = remove_parts(r, "cow");
	zrams = sc_dm_cow_reap_zram(r->err);
	if (sc_err_is_set(r->err))
		return -1;
	/* An image that was being made may lack any of them. */
	return SC_MAX(SC_MAX(snaps, reals), SC_MAX(cows, zrams));
}

bool sc_dm_remains(void)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct reaping r = { .err = &ignored };
	bool found = sc_dm_setup(&ignored) < 0 || look_at_all(&r) < 0 ||
		     sc_dm_cow_has_zram();

	for (unsigned i = 0; i < r.n; i++)
		found |= !strncmp(r.devices[i].uuid, SC_DM_UUID_PREFIX,
				  strlen(SC_DM_UUID_PREFIX));
	free(r.devices);
	return found;
}

int sc_dm_reap(struct sc_err *err)
{
	struct reaping r = { .err = err };
	int rc = sc_dm_lock_idle(err);

	if (rc <= 0)
		return rc;
	rc = sc_dm_setup(err) < 0 ? -1 : reap(&r);
	sc_dm_lock_drop();
	free(r.devices);
	return rc;
}
