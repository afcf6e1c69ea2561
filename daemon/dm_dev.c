/* SPDX-License-Identifier: GPL-2.0-only */
/* Device-mapper devices through libdevmapper; see dm_dev.h. */
#include "daemon/dm_dev.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <libdevmapper.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

/* udev answers in milliseconds; one that does not must not hold a job. */
#define UDEV_WAIT_MS 10000
/* Not scanned, not offered to anybody. Source: libdevmapper.h. */
#define OWN_DEVICE_FLAGS                                                       \
	(DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG |                                \
	 DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG)

static struct {
	pthread_mutex_t lock;
	bool ready;
	char said[256]; /* the library's last error */
} dm = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void cleanup_task(struct dm_task **task)
{
	if (*task)
		dm_task_destroy(*task);
}
#define CLEANUP_TASK __attribute__((cleanup(cleanup_task)))

/* Levels as in syslog(3): 3 is an error; the rest is chatter. */
static void keep_message(int level, const char *file, int line, int class,
			 const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void keep_message(int level, const char *file, int line, int class,
			 const char *fmt, ...)
{
	va_list ap;

	(void)file;
	(void)line;
	(void)class;
	if ((level & 7) > 3)
		return;
	va_start(ap, fmt);
	vsnprintf(dm.said, sizeof(dm.said), fmt, ap);
	va_end(ap);
}

/* What the library said, else the error of the ioctl. */
static int failed(struct dm_task *task, const char *what, const char *name,
		  struct sc_err *err)
{
	int sys_errno = task ? dm_task_get_errno(task) : ENOMEM;

	if (dm.said[0])
		sc_err_set(err, SC_ER_INTERNAL_ERROR,
			   "device-mapper: cannot %s %s: %s", what, name,
			   dm.said);
	else
		sc_err_sys(err, SC_ER_INTERNAL_ERROR,
			   sys_errno ? sys_errno : EIO,
			   "device-mapper: cannot %s %s", what, name);
	err->sys_errno = sys_errno;
	return -1;
}

static struct dm_task *new_task(int type)
{
	struct dm_task *task = dm_task_create(type);

	dm.said[0] = '\0';
	if (task && dm_task_no_open_count(task) && dm_task_secure_data(task))
		return task;
	if (task)
		dm_task_destroy(task);
	return NULL;
}

static struct dm_task *task_for(int type, dev_t dev)
{
	struct dm_task *task = new_task(type);

	if (task && dm_task_set_major(task, (int)major(dev)) &&
	    dm_task_set_minor(task, (int)minor(dev)))
		return task;
	if (task)
		dm_task_destroy(task);
	return NULL;
}

static const char *number(dev_t dev, char buf[static 24])
{
	snprintf(buf, 24, "%u:%u", major(dev), minor(dev));
	return buf;
}

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

int sc_dm_setup(struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	SC_LOCK_SCOPE(&dm.lock);

	if (dm.ready)
		return 0;
	dm_log_with_errno_init(keep_message);
	dm_set_name_mangling_mode(DM_STRING_MANGLING_NONE);
	dm_hold_control_dev(1);
	task = new_task(DM_DEVICE_VERSION);
	if (!task || !dm_task_run(task))
		return failed(task, "use", "the kernel's control device", err);
	dm.ready = true;
	return 0;
}

/* The lock is held. */
static int get_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err)
{
	/* The open count is wanted here. */
	CLEANUP_TASK struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
	struct dm_info info;
	char name[24];

	dm.said[0] = '\0';
	if (!task || !dm_task_set_major(task, (int)major(dev)) ||
	    !dm_task_set_minor(task, (int)minor(dev)) || !dm_task_run(task) ||
	    !dm_task_get_info(task, &info))
		return failed(task, "look at", number(dev, name), err);
	*ret = (struct sc_dm_info){ .dev = dev };
	if (!info.exists)
		return 0;
	ret->suspended = info.suspended;
	ret->live = info.live_table;
	ret->inactive = info.inactive_table;
	ret->open_count = info.open_count;
	snprintf(ret->name, sizeof(ret->name), "%s", dm_task_get_name(task));
	snprintf(ret->uuid, sizeof(ret->uuid), "%s", dm_task_get_uuid(task));
	return 1;
}

/* The same, but the device must be there. */
static int must_get_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err)
{
	int rc = get_info(dev, ret, err);
	char name[24];

	if (rc == 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the device %s is gone", number(dev, name));
	return rc < 0 ? -1 : 0;
}

int sc_dm_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err)
{
	SC_LOCK_SCOPE(&dm.lock);

	return get_info(dev, ret, err);
}

int sc_dm_list(dev_t **ret, unsigned *ret_n, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	struct dm_names *names;
	SC_LOCK_SCOPE(&dm.lock);

	*ret = NULL;
	*ret_n = 0;
	task = new_task(DM_DEVICE_LIST);
	if (!task || !dm_task_run(task) || !(names = dm_task_get_names(task)))
		return failed(task, "list", "devices", err);
	while (names->dev) {
		dev_t *more = reallocarray(*ret, *ret_n + 1, sizeof(**ret));

		if (!more) {
			free(*ret);
			*ret = NULL;
			return sc_err_set(err, SC_ER_INTERNAL_ERROR,
					  "out of memory");
		}
		*ret = more;
		more[(*ret_n)++] = (dev_t)names->dev;
		if (!names->next)
			break;
		names = (struct dm_names *)((char *)names + names->next);
	}
	return 0;
}

int sc_dm_read(dev_t dev, bool inactive, struct sc_dm_table *ret,
	       struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	uint64_t start, len;
	char *type, *params, name[24];
	void *next = NULL;
	SC_LOCK_SCOPE(&dm.lock);

	*ret = (struct sc_dm_table){ 0 };
	task = task_for(DM_DEVICE_TABLE, dev);
	if (!task || (inactive && !dm_task_query_inactive_table(task)) ||
	    !dm_task_run(task))
		return failed(task, "read the table of", number(dev, name),
			      err);
	do {
		next = dm_get_next_target(task, next, &start, &len, &type,
					  &params);
		if (type &&
		    sc_dm_table_add(ret, start, len, type, params, err) < 0) {
			sc_dm_table_free(ret);
			return -1;
		}
	} while (next);
	return 0;
}

int sc_dm_fill(dev_t dev, struct sc_dm_fill *ret, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	uint64_t start, len;
	char *type = NULL, *params = NULL, name[24];
	SC_LOCK_SCOPE(&dm.lock);

	task = task_for(DM_DEVICE_STATUS, dev);
	if (!task || !dm_task_run(task))
		return failed(task, "read the status of", number(dev, name),
			      err);
	dm_get_next_target(task, NULL, &start, &len, &type, &params);
	if (!type || strcmp(type, "snapshot") != 0 ||
	    sc_dm_fill_parse(params, ret) < 0)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the device %s has the status '%s', not that of a snapshot",
			number(dev, name), params ? params : "");
	return 0;
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
	SC_LOCK_SCOPE(&dm.lock);

	task = new_task(DM_DEVICE_CREATE);
	if (!task || !dm_task_set_name(task, name) ||
	    !dm_task_set_uuid(task, uuid) || !add_targets(task, table) ||
	    !dm_task_set_mode(task, 0600) ||
	    !dm_task_set_add_node(task, DM_ADD_NODE_ON_CREATE) ||
	    !dm_task_set_cookie(task, &cookie, OWN_DEVICE_FLAGS))
		return failed(task, "prepare", name, err);
	if (!dm_task_run(task) || !dm_task_get_info(task, &info)) {
		wait_for_udev(cookie, name);
		return failed(task, "create", name, err);
	}
	wait_for_udev(cookie, name);
	*ret = makedev(info.major, info.minor);
	return 0;
}

int sc_dm_load(dev_t dev, const struct sc_dm_table *table, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	char name[24];
	SC_LOCK_SCOPE(&dm.lock);

	task = task_for(DM_DEVICE_RELOAD, dev);
	if (!task || !add_targets(task, table) || !dm_task_run(task))
		return failed(task, "load a table into", number(dev, name),
			      err);
	return 0;
}

int sc_dm_clear(dev_t dev, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	char name[24];
	SC_LOCK_SCOPE(&dm.lock);

	task = task_for(DM_DEVICE_CLEAR, dev);
	if (!task || !dm_task_run(task))
		return failed(task, "clear the inactive table of",
			      number(dev, name), err);
	return 0;
}

/* One resume, by name, so that the library keeps its nodes. udev gets no
 * flags: told to leave the origin alone, systemd may unmount it. */
static int resume(const struct sc_dm_info *info, uint64_t *ret_us,
		  struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = new_task(DM_DEVICE_RESUME);
	uint32_t cookie = 0;
	uint64_t begin;
	int rc;

	if (!task || !dm_task_set_name(task, info->name) ||
	    !dm_task_set_cookie(task, &cookie, 0))
		return failed(task, "resume", info->name, err);
	begin = sc_clock_us(CLOCK_MONOTONIC);
	rc = dm_task_run(task);
	*ret_us = sc_clock_us(CLOCK_MONOTONIC) - begin;
	if (!rc)
		failed(task, "swap the table of", info->name, err);
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

	if (get_info(dev, &info, &err) == 1 && info.suspended &&
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
	SC_LOCK_SCOPE(&dm.lock);

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
	SC_LOCK_SCOPE(&dm.lock);

	rc = get_info(dev, &info, err);
	if (rc <= 0)
		return rc;
	task = new_task(DM_DEVICE_REMOVE);
	if (!task || !dm_task_set_name(task, info.name) ||
	    !dm_task_set_cookie(task, &cookie, OWN_DEVICE_FLAGS))
		return failed(task, "remove", info.name, err);
	rc = dm_task_run(task) ? 0 : failed(task, "remove", info.name, err);
	wait_for_udev(cookie, info.name);
	return rc;
}

int sc_dm_remove(dev_t dev, struct sc_err *err)
{
	uint64_t until = sc_now_ms() + SC_DM_REMOVE_MS;

	for (unsigned wait_ms = 1;; wait_ms = SC_MIN(2 * wait_ms, 100u)) {
		struct sc_err once = SC_ERR_INIT;

		if (remove_once(dev, &once) == 0)
			return 0;
		if (once.sys_errno != EBUSY || sc_now_ms() > until)
			return sc_err_set(err, once.code, "%s", once.msg);
		sc_sleep_ms(wait_ms);
	}
}
