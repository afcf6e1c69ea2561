/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How an image of a device is made and undone, step by step; docs/design.md,
 * "Images of devices", has the table. At no moment is anything suspended from
 * user space: the kernel freezes, swaps and thaws within one ioctl, so a
 * process that is killed at any point leaves a device that works.
 */
#include "daemon/dm_steps.h"

#include "daemon/dm_dev.h"
#include "daemon/dm_mount.h"
#include "daemon/dm_sysfs.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/base/step.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A syncfs that takes no longer leaves little for the freeze to write. */
#define SYNC_SHORT_MS 20
/* A donor that writes all the time is synced no longer. */
#define SYNC_LIMIT_MS 20000
#define SYNC_PASSES 20
/* How long somebody else's change of the origin is waited for. */
#define FOREIGN_MS 5000

/* "<origin>-snapclone-real"; with numbers when that is too long. */
static void make_name(const struct sc_dm_origin *o, const char *part,
		      char name[static SC_DM_NAME_SIZE])
{
	int n = snprintf(name, SC_DM_NAME_SIZE, "%s-snapclone-%s", o->name,
			 part);

	if (n >= SC_DM_NAME_SIZE)
		snprintf(name, SC_DM_NAME_SIZE, "snapclone-%u-%u-%s",
			 major(o->dev), minor(o->dev), part);
}

static void make_uuid(const struct sc_dm_origin *o, const char *part,
		      char uuid[static SC_DM_UUID_SIZE])
{
	snprintf(uuid, SC_DM_UUID_SIZE, SC_DM_UUID_PREFIX "%s-%u:%u-%.90s",
		 part, major(o->dev), minor(o->dev), o->uuid);
}

static int create(struct sc_dm_image *im, const char *part,
		  const struct sc_dm_table *table, dev_t *ret,
		  struct sc_err *err)
{
	char name[SC_DM_NAME_SIZE], uuid[SC_DM_UUID_SIZE];

	make_name(&im->origin, part, name);
	make_uuid(&im->origin, part, uuid);
	return sc_dm_create(name, uuid, table, ret, err);
}

/* What a device is in use by stays: then that is not waited for again. */
static unsigned wait_ms(const struct sc_dm_image *im)
{
	return im->stays ? 0 : SC_DM_REMOVE_MS;
}

/* Remove a device of ours and forget it. */
static int drop(struct sc_dm_image *im, dev_t *dev, struct sc_err *err)
{
	int rc = *dev ? sc_dm_remove(*dev, wait_ms(im), err) : 0;

	*dev = 0;
	return rc;
}

/* ---- steps ----------------------------------------------------------------
 */

static int make_cow(struct sc_dm_image *im, struct sc_err *err)
{
	char name[SC_DM_NAME_SIZE], uuid[SC_DM_UUID_SIZE];

	make_name(&im->origin, "cow", name);
	make_uuid(&im->origin, "cow", uuid);
	return sc_dm_cow_open(im->sys, &im->settings, &im->origin, name, uuid,
			      &im->cow, err);
}

static int undo_cow(struct sc_dm_image *im, struct sc_err *err)
{
	return sc_dm_cow_close(&im->cow, wait_ms(im), err);
}

static int make_real(struct sc_dm_image *im, struct sc_err *err)
{
	return create(im, "real", &im->origin.table, &im->real, err);
}

static int undo_real(struct sc_dm_image *im, struct sc_err *err)
{
	return drop(im, &im->real, err);
}

/* Transient (N): no image is wanted after a crash of the host. Nothing reads
 * it before the swap. */
static int make_snapshot(struct sc_dm_image *im, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table table = { 0 };

	if (sc_dm_table_one(&table, im->origin.bytes / SC_DM_SECTOR, "snapshot",
			    err, "%u:%u %u:%u N %u", major(im->real),
			    minor(im->real), major(im->cow.dev),
			    minor(im->cow.dev),
			    im->settings.chunk / SC_DM_SECTOR) < 0)
		return -1;
	return create(im, "snap", &table, &im->snap, err);
}

static int undo_snapshot(struct sc_dm_image *im, struct sc_err *err)
{
	return drop(im, &im->snap, err);
}

/* What is dirty when the file system is frozen is written while writers wait:
 * leave little. */
static int sync_before(struct sc_dm_image *im, struct sc_err *err)
{
	uint64_t begin = sc_now_ms(), now = begin, took = 0;
	unsigned pass = 0;

	do {
		uint64_t before = now;

		if (syncfs(im->dir) < 0)
			return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
					  "cannot sync the file system on %s",
					  im->origin.name);
		now = sc_now_ms();
		took = now - before;
		sc_debug("syncfs pass %u: %" PRIu64 " ms", pass, took);
	} while (took > SYNC_SHORT_MS && ++pass < SYNC_PASSES &&
		 now - begin < SYNC_LIMIT_MS);
	return 0;
}

static int load_origin(struct sc_dm_image *im, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table live = { 0 }, ours = { 0 };

	if (sc_dm_read(im->origin.dev, false, &live, err) < 0)
		return -1;
	if (!sc_dm_table_equal(&live, &im->origin.table))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "somebody changed the device %s meanwhile",
				  im->origin.name);
	if (sc_dm_table_one(&ours, im->origin.bytes / SC_DM_SECTOR,
			    "snapshot-origin", err, "%u:%u", major(im->real),
			    minor(im->real)) < 0)
		return -1;
	return sc_dm_load(im->origin.dev, &ours, err);
}

/* Empty the inactive slot when what is in it is ours. */
static int undo_load(struct sc_dm_image *im, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table table = { 0 };

	if (sc_dm_read(im->origin.dev, true, &table, err) < 0)
		return -1;
	return sc_dm_table_is_origin(&table, im->real)
		       ? sc_dm_clear(im->origin.dev, err)
		       : 0;
}

int sc_dm_swap_keeping(int sys, const struct sc_dm_info *origin,
		       uint64_t *ret_us, struct sc_err *err)
{
	static const char attr[] = "queue/read_ahead_kb";
	char read_ahead[32];
	bool known = sc_sys_get(sys, origin->dev, attr, read_ahead,
				sizeof(read_ahead)) > 0;

	if (sc_dm_swap(origin->dev, ret_us, err) < 0)
		return -1;
	if (known && sc_sys_set(sys, origin->dev, attr, read_ahead) < 0)
		sc_warning("cannot set %s of %s back to %s", attr, origin->name,
			   read_ahead);
	return 0;
}

static int swap_origin(struct sc_dm_image *im, uint64_t *ret_us,
		       struct sc_err *err)
{
	struct sc_dm_info info;

	if (sc_dm_info(im->origin.dev, &info, err) < 0)
		return -1;
	return sc_dm_swap_keeping(im->sys, &info, ret_us, err);
}

static int swap(struct sc_dm_image *im, struct sc_err *err)
{
	im->made_us = sc_clock_us(CLOCK_MONOTONIC);
	if (swap_origin(im, &im->swap_us, err) < 0)
		return -1;
	im->swapped = true;
	return 0;
}

int sc_dm_runs_through_us(struct sc_dm_image *im, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table live = { 0 };

	if (sc_dm_read(im->origin.dev, false, &live, err) < 0)
		return -1;
	return sc_dm_table_is_origin(&live, im->real);
}

/* Somebody is between load and resume: let them. */
static void await_foreign(struct sc_dm_image *im)
{
	uint64_t until = sc_now_ms() + FOREIGN_MS;
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_dm_info info;

	while (sc_dm_info(im->origin.dev, &info, &ignored) == 1 &&
	       (info.inactive || info.suspended) && sc_now_ms() < until)
		sc_sleep_ms(20);
}

static int swap_back(struct sc_dm_image *im, struct sc_err *err)
{
	struct sc_err ignored = SC_ERR_INIT;
	int rc;

	if (im->swapped)
		await_foreign(im);
	rc = sc_dm_runs_through_us(im, err);
	if (rc == 0 && im->swapped)
		sc_warning(
			"somebody else changed the table of %s, it stays as it is",
			im->origin.name);
	if (rc <= 0)
		return rc;
	(void)sync_before(im, &ignored);
	if (sc_dm_load(im->origin.dev, &im->origin.table, err) < 0)
		return -1;
	sc_step_done("dm undo", "load");
	if (swap_origin(im, &im->undo_us, err) < 0) {
		(void)sc_dm_clear(im->origin.dev, &ignored);
		return -1;
	}
	im->swapped = false;
	return 0;
}

static int make_mount(struct sc_dm_image *im, struct sc_err *err)
{
	im->device = sc_sys_open_node(im->sys, im->snap, O_RDONLY);
	if (im->device < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -im->device,
				  "cannot open the image's device");
	im->mounted = sc_dm_mount(im->origin.fs, im->device, err);
	return im->mounted < 0 ? -1 : 0;
}

static int undo_mount(struct sc_dm_image *im, struct sc_err *err)
{
	(void)err;
	if (im->mounted >= 0)
		close(im->mounted);
	if (im->device >= 0)
		close(im->device);
	im->mounted = im->device = -1;
	return 0;
}

/* undo: also when the step failed half-way; NULL: nothing to undo. */
static const struct {
	const char *name;
	int (*make)(struct sc_dm_image *im, struct sc_err *err);
	int (*undo)(struct sc_dm_image *im, struct sc_err *err);
} steps[] = {
	{ "cow", make_cow, undo_cow },
	{ "real", make_real, undo_real },
	{ "snapshot", make_snapshot, undo_snapshot },
	{ "sync", sync_before, NULL },
	{ "load", load_origin, undo_load },
	{ "swap", swap, swap_back },
	{ "mount", make_mount, undo_mount },
};

int sc_dm_steps_make(struct sc_dm_image *im, struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(steps); i++) {
		im->done++;
		if (steps[i].make(im, err) < 0)
			return sc_err_context(err, "step %s", steps[i].name);
		sc_step_done("dm", steps[i].name);
	}
	return 0;
}

int sc_dm_steps_undo(struct sc_dm_image *im, struct sc_err *err)
{
	int rc = 0;

	for (; im->done; im->done--) {
		unsigned i = im->done - 1;

		if (!steps[i].undo)
			continue;
		if (steps[i].undo(im, err) < 0) {
			im->stays = true;
			rc = -1;
		}
		sc_step_done("dm undo", steps[i].name);
	}
	return rc;
}
