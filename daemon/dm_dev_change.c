/* SPDX-License-Identifier: GPL-2.0-only */
/* Device-mapper devices through libdevmapper: making, swapping, removing; see
 * dm_dev.h. */
#include "daemon/dm_dev_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

/* udev answers in milliseconds; one that does not must not hold a job. */
#define UDEV_WAIT_MS 10000
/* Not scanned, not offered to anybody. Source: libdevmapper.h. */
#define OWN_DEVICE_FLAGS                                                       \
	(DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG |                                \
	 DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG)

/* udev has handled the event, or it will not. */
static void wait_for_udev(uint32_t cookie, const char *name)
{
	uint64_t until = sc_now_ms() + UDEV_WAIT_MS;
	int ready = !cookie || !dm_udev_get_sync_support();

	while (!ready && dm_udev_wait_immediate(cookie, &ready) && !ready &&
	       sc_now_ms() < until)
		sc_sleep_ms(5);
	if (!ready)
		sc_warning("udev has not handled the change of %s in %d s",
			   name, UDEV_WAIT_MS / 1000);
}

/* The device must be there. */
static int must_get_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err)
{
	int rc = sc_dm_get_info(dev, ret, err);
	char name[24];

	if (rc == 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the device %s is gone",
				  sc_dm_number(dev, name));
	return rc < 0 ? -1 : 0;
}

static int add_targets(struct dm_task *task, const struct sc_dm_table *table)
{
	for (unsigned i = 0; i < table->n; i++) {
		const struct sc_dm_target *t = &table->targets[i];

		if (!dm_task_add_target(task, t->start, t->len, t->type,
					t->params))
			return 0;
	}
	return 1;
}

int sc_dm_create(const char *name, const char *uuid,
		 const struct sc_dm_table *table, dev_t *ret,
		 struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	uint32_t cookie = 0;
	struct dm_info info;
	SC_LOCK_SCOPE(&sc_dm_lock);

	task = sc_dm_task_new(DM_DEVICE_CREATE);
	if (!task || !dm_task_set_name(task, name) ||
	    !dm_task_set_uuid(task, uuid) || !add_targets(task, table) ||
	    !dm_task_set_mode(task, 0600) ||
	    !dm_task_set_add_node(task, DM_ADD_NODE_ON_CREATE) ||
	    !dm_task_set_cookie(task, &cookie, OWN_DEVICE_FLAGS))
		return sc_dm_task_failed(task, "prepare", name, err);
	if (!dm_task_run(task) || !dm_task_get_info(task, &info)) {
		wait_for_udev(cookie, name);
		return sc_dm_task_failed(task, "create", name, err);
	}
	wait_for_udev(cookie, name);
	*ret = makedev(info.major, info.minor);
	return 0;
}

int sc_dm_load(dev_t dev, const struct sc_dm_table *table, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	char name[24];
	SC_LOCK_SCOPE(&sc_dm_lock);

	task = sc_dm_task_for(DM_DEVICE_RELOAD, dev);
	if (!task || !add_targets(task, table) || !dm_task_run(task))
		return sc_dm_task_failed(task, "load a table into",
					 sc_dm_number(dev, name), err);
	return 0;
}

int sc_dm_clear(dev_t dev, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	char name[24];
	SC_LOCK_SCOPE(&sc_dm_lock);

	task = sc_dm_task_for(DM_DEVICE_CLEAR, dev);
	if (!task || !dm_task_run(task))
		return sc_dm_task_failed(task, "clear the inactive table of",
					 sc_dm_number(dev, name), err);
	return 0;
}

/* One resume, by name, so that the library keeps its nodes. udev gets no
 * flags: told to leave the origin alone, systemd may unmount it. */
static int resume(const struct sc_dm_info *info, uint64_t *ret_us,
		  struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = sc_dm_task_new(DM_DEVICE_RESUME);
	uint32_t cookie = 0;
	uint64_t begin;
	int rc;

	if (!task || !dm_task_set_name(task, info->name) ||
	    !dm_task_set_cookie(task, &cookie, 0))
		return sc_dm_task_failed(task, "resume", info->name, err);
	begin = sc_clock_us(CLOCK_MONOTONIC);
	rc = dm_task_run(task);
	*ret_us = sc_clock_us(CLOCK_MONOTONIC) - begin;
	if (!rc)
		sc_dm_task_failed(task, "swap the table of", info->name, err);
	wait_for_udev(cookie, info->name);
	return rc ? 0 : -1;
}

/* A resume that failed half-way has left the device suspended: with its old
 * table it goes on. */
static void resume_old(dev_t dev)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_dm_info info;
	uint64_t us;

	if (sc_dm_get_info(dev, &info, &err) == 1 && info.suspended &&
	    resume(&info, &us, &err) == 0)
		sc_warning(
			"%s was left suspended and goes on with its old table",
			info.name);
	if (sc_err_is_set(&err))
		sc_error("%s", err.msg);
}

int sc_dm_swap(dev_t dev, uint64_t *ret_us, struct sc_err *err)
{
	struct sc_dm_info info;
	int rc;
	SC_LOCK_SCOPE(&sc_dm_lock);

	if (must_get_info(dev, &info, err) < 0)
		return -1;
	if (info.suspended)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the device %s is suspended by somebody else",
				  info.name);
	/* Should a page of ours lie on the device, it is read now. */
	if (mlockall(MCL_CURRENT) < 0)
		sc_debug("mlockall: %s", strerrordesc_np(errno));
	rc = resume(&info, ret_us, err);
	munlockall();
	if (rc < 0)
		resume_old(dev);
	return rc;
}

/* -1: err says why; with EBUSY it is worth another try. */
static int remove_once(dev_t dev, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	struct sc_dm_info info;
	uint32_t cookie = 0;
	int rc;
	SC_LOCK_SCOPE(&sc_dm_lock);

	rc = sc_dm_get_info(dev, &info, err);
	if (rc <= 0)
		return rc;
	task = sc_dm_task_new(DM_DEVICE_REMOVE);
	if (!task || !dm_task_set_name(task, info.name) ||
	    !dm_task_set_cookie(task, &cookie, OWN_DEVICE_FLAGS))
		return sc_dm_task_failed(task, "remove", info.name, err);
	rc = dm_task_run(task)
		     ? 0
		     : sc_dm_task_failed(task, "remove", info.name, err);
	wait_for_udev(cookie, info.name);
	return rc;
}

int sc_dm_remove(dev_t dev, unsigned most_ms, struct sc_err *err)
{
	uint64_t until = sc_now_ms() + most_ms;

	for (unsigned wait_ms = 1;; wait_ms = SC_MIN(2 * wait_ms, 100u)) {
		struct sc_err once = SC_ERR_INIT;

		if (remove_once(dev, &once) == 0)
			return 0;
		if (once.sys_errno != EBUSY || sc_now_ms() >= until)
			return sc_err_set(err, once.code, "%s", once.msg);
		sc_sleep_ms(wait_ms);
	}
}
