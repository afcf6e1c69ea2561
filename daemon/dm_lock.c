/* SPDX-License-Identifier: GPL-2.0-only */
/* Who works on images of devices; see dm_lock.h. */
#include "daemon/dm_lock.h"

#include "daemon/dm_cow.h"
#include "io/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_FILE SC_DM_RUN_DIR "/lock"

static struct {
	pthread_mutex_t mutex;
	unsigned users;
	int fd;
} held = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void say_pid(int fd)
{
	char pid[16];
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

	/* For people only. */
	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, pid, (size_t)n, 0);
}

static int lock_file(struct sc_err *err)
{
	char pid[16] = "";
	int fd;

	if (mkdir(SC_DM_RUN_DIR, 0700) < 0 && errno != EEXIST)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot make %s", SC_DM_RUN_DIR);
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open %s", LOCK_FILE);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		say_pid(fd);
		return fd;
	}
	(void)!pread(fd, pid, sizeof(pid) - 1, 0);
	pid[strcspn(pid, "\n")] = '\0';
	close(fd);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "process %s has images of devices (%s)", pid,
			  LOCK_FILE);
}

int sc_dm_lock_take(struct sc_err *err)
{
	SC_LOCK_SCOPE(&held.mutex);

	if (!held.users) {
		held.fd = lock_file(err);
		if (held.fd < 0)
			return -1;
	}
	held.users++;
	return 0;
}

void sc_dm_lock_drop(void)
{
	SC_LOCK_SCOPE(&held.mutex);

	if (--held.users == 0)
		close(held.fd);
}

int sc_dm_lock_idle(struct sc_err *err)
{
	struct sc_err other = SC_ERR_INIT;
	SC_LOCK_SCOPE(&held.mutex);

	if (held.users)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"images of devices are in use; what was left is removed later");
	held.fd = lock_file(&other);
	if (held.fd < 0 && other.sys_errno)
		return sc_err_set(err, other.code, "%s", other.msg);
	if (held.fd < 0)
		return 0;
	held.users = 1;
	return 1;
}
