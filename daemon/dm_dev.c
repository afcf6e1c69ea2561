/* SPDX-License-Identifier: GPL-2.0-only */
/* Device-mapper devices through libdevmapper: looking at them; see dm_dev.h.
 * Changing them is in dm_dev_change.c. */
#include "daemon/dm_dev_impl.h"

#include "io/base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

pthread_mutex_t sc_dm_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	bool ready;
	char said[256]; /* the library's last error */
} dm;			/* under the lock */

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

int sc_dm_task_failed(struct dm_task *task, const char *what, const char *name,
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

struct dm_task *sc_dm_task_new(int type)
{
	struct dm_task *task = dm_task_create(type);

	dm.said[0] = '\0';
	if (task && dm_task_no_open_count(task) && dm_task_secure_data(task))
		return task;
	if (task)
		dm_task_destroy(task);
	return NULL;
}

struct dm_task *sc_dm_task_for(int type, dev_t dev)
{
	struct dm_task *task = sc_dm_task_new(type);

	if (task && dm_task_set_major(task, (int)major(dev)) &&
	    dm_task_set_minor(task, (int)minor(dev)))
		return task;
	if (task)
		dm_task_destroy(task);
	return NULL;
}

const char *sc_dm_number(dev_t dev, char buf[static 24])
{
	snprintf(buf, 24, "%u:%u", major(dev), minor(dev));
	return buf;
}

int sc_dm_setup(struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	SC_LOCK_SCOPE(&sc_dm_lock);

	if (dm.ready)
		return 0;
	dm_log_with_errno_init(keep_message);
	dm_set_name_mangling_mode(DM_STRING_MANGLING_NONE);
	dm_hold_control_dev(1);
	task = sc_dm_task_new(DM_DEVICE_VERSION);
	if (!task || !dm_task_run(task))
		return sc_dm_task_failed(task, "use",
					 "the kernel's control device", err);
	dm.ready = true;
	return 0;
}

int sc_dm_get_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err)
{
	/* The open count is wanted here. */
	CLEANUP_TASK struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
	struct dm_info info;
	char name[24];

	dm.said[0] = '\0';
	if (!task || !dm_task_set_major(task, (int)major(dev)) ||
	    !dm_task_set_minor(task, (int)minor(dev)) || !dm_task_run(task) ||
	    !dm_task_get_info(task, &info))
		return sc_dm_task_failed(task, "look at",
					 sc_dm_number(dev, name), err);
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

int sc_dm_info(dev_t dev, struct sc_dm_info *ret, struct sc_err *err)
{
	SC_LOCK_SCOPE(&sc_dm_lock);

	return sc_dm_get_info(dev, ret, err);
}

int sc_dm_list(dev_t **ret, unsigned *ret_n, struct sc_err *err)
{
	CLEANUP_TASK struct dm_task *task = NULL;
	struct dm_names *names;
	SC_LOCK_SCOPE(&sc_dm_lock);

	*ret = NULL;
	*ret_n = 0;
	task = sc_dm_task_new(DM_DEVICE_LIST);
	if (!task || !dm_task_run(task) || !(names = dm_task_get_names(task)))
		return sc_dm_task_failed(task, "list", "devices", err);
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
	SC_LOCK_SCOPE(&sc_dm_lock);

	*ret = (struct sc_dm_table){ 0 };
	task = sc_dm_task_for(DM_DEVICE_TABLE, dev);
	if (!task || (inactive && !dm_task_query_inactive_table(task)) ||
	    !dm_task_run(task))
		return sc_dm_task_failed(task, "read the table of",
					 sc_dm_number(dev, name), err);
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
	SC_LOCK_SCOPE(&sc_dm_lock);

	task = sc_dm_task_for(DM_DEVICE_STATUS, dev);
	if (!task || !dm_task_run(task))
		return sc_dm_task_failed(task, "read the status of",
					 sc_dm_number(dev, name), err);
	dm_get_next_target(task, NULL, &start, &len, &type, &params);
	if (!type || strcmp(type, "snapshot") != 0 ||
	    sc_dm_fill_parse(params, ret) < 0)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the device %s has the status '%s', not that of a snapshot",
			sc_dm_number(dev, name), params ? params : "");
	return 0;
}
