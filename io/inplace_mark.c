/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mark of a stage in place, #clone/#snapclone_stage: locked while a job
 * works, and the list of the directories it made. See inplace.h.
 */
#include "io/inplace_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Ends a list that does not hold any more once #status_error is gone. No path
 * of a clone begins like this. */
#define CLOSED "#closed\n"

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "data directory: %s", what);
}

int inplace_open_dir(int datadir)
{
	return openat(datadir, SC_CLONE_DIR,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool inplace_has(int at, const char *name)
{
	return faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- lock
 * ----------------------------------------------------------------------- */

int inplace_check_not_committed(int dir, struct sc_err *err)
{
	if (inplace_has(dir, SC_STATUS_ERROR) ||
	    (!inplace_has(dir, SC_REPLACE_FILES) &&
	     !inplace_has(dir, SC_NEW_FILES)))
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"a finished clone waits in the data directory for the restart of the server; HINT: restart mysqld");
}

static int open_mark(int dir, uid_t uid, gid_t gid, struct sc_err *err)
{
	int fd = openat(dir, SC_STAGE_MARK,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd >= 0 && (geteuid() != 0 || fchown(fd, uid, gid) == 0))
		return fd;
	failed(errno, SC_STAGE_MARK, err);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* 1; 0 when its last owner removed it before we had the lock; -1 with errno. */
static int is_current(int dir, int fd)
{
	struct stat here, there;

	if (fstat(fd, &here) < 0)
		return -1;
	if (fstatat(dir, SC_STAGE_MARK, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static int lock_failed(struct sc_err *err)
{
	if (errno != EWOULDBLOCK)
		return failed(errno, "lock of " SC_STAGE_MARK, err);
	return sc_err_set(
		err, SC_ER_CLONE_TOO_MANY,
		"another snapcloned still works in the data directory (lock of " SC_CLONE_DIR
		"/" SC_STAGE_MARK "); HINT: wait for its end");
}

static int lock_mark(int dir, uid_t uid, gid_t gid, struct sc_err *err)
{
	for (;;) {
		int fd = open_mark(dir, uid, gid, err), current;

		if (fd < 0)
			return -1;
		current = flock(fd, LOCK_EX | LOCK_NB) < 0
				  ? -1
				  : is_current(dir, fd);
		if (current > 0)
			return fd;
		if (current < 0)
			lock_failed(err);
		close(fd);
		if (current < 0)
			return -1;
	}
}

static int make_clone_dir(int datadir, uid_t uid, gid_t gid, struct sc_err *err)
{
	if (mkdirat(datadir, SC_CLONE_DIR, 0750) < 0)
		return errno == EEXIST ? 0 : failed(errno, SC_CLONE_DIR, err);
	if (geteuid() == 0 &&
	    fchownat(datadir, SC_CLONE_DIR, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(errno, SC_CLONE_DIR, err);
	return fsync(datadir) < 0 ? failed(errno, "fsync", err) : 0;
}

int sc_inplace_lock(int datadir, uid_t uid, gid_t gid, int *ret_fd,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int dir = -1;
	int fd;

	if (make_clone_dir(datadir, uid, gid, err) < 0)
		return -1;
	dir = inplace_open_dir(datadir);
	if (dir < 0)
		return failed(errno, SC_CLONE_DIR, err);
	if (inplace_check_not_committed(dir, err) < 0)
		return -1;
	fd = lock_mark(dir, uid, gid, err);
	if (fd < 0)
		return -1;
	*ret_fd = fd;
	if (fsync(dir) < 0)
		return failed(errno, "fsync " SC_CLONE_DIR, err);
	return 0;
}

/* ---- directories
 * ---------------------------------------------------------------- */

int sc_inplace_note_dir(int lock_fd, const char *dir, struct sc_err *err)
{
	char line[SC_PATH_MAX + 1];
	int n = snprintf(line, sizeof(line), "%s\n", dir);
	off_t end = lseek(lock_fd, 0, SEEK_END);
	int rc;

	if (end < 0)
		return failed(errno, SC_STAGE_MARK, err);
	if (end + n > SC_MADE_DIRS_MAX)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the clone has too many new directories");
	/* Durable before it is made: a crash must not leave an empty directory
	 * in the way of CREATE SCHEMA. */
	rc = sc_write_full(lock_fd, line, (size_t)n);
	if (rc == 0 && fsync(lock_fd) < 0)
		rc = -errno;
	return rc < 0 ? failed(-rc, SC_STAGE_MARK, err) : 0;
}

/* All of the mark, or "" when there is none. */
static char *read_mark(int dir, struct sc_err *err)
{
	CLEANUP_CLOSE int fd =
		openat(dir, SC_STAGE_MARK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = { 0 };
	char *text;
	size_t len;
	ssize_t n;

	if (fd < 0 ? errno != ENOENT : fstat(fd, &st) < 0) {
		failed(errno, SC_STAGE_MARK, err);
		return NULL;
	}
	len = SC_MIN((size_t)st.st_size, SC_MADE_DIRS_MAX);
	text = calloc(1, len + 1);
	n = text ? 0 : -ENOMEM;
	if (text && fd >= 0)
		n = sc_pread_full(fd, text, len, 0);
	if (n >= 0)
		return text;
	free(text);
	failed((int)-n, SC_STAGE_MARK, err);
	return NULL;
}

/* The line that closes the list, NULL when it is open. */
static char *find_closed(char *text)
{
	char *at = strstr(text, CLOSED);

	while (at && at > text && at[-1] != '\n')
		at = strstr(at + 1, CLOSED);
	return at;
}

char *inplace_made_dirs(int dir, struct sc_err *err)
{
	char *text = read_mark(dir, err);
	char *closed, *end;

	if (!text)
		return NULL;
	/* A line that a crash or a full disk cut off names something else. */
	end = strrchr(text, '\n');
	*(end ? end + 1 : text) = '\0';
	closed = find_closed(text);
	if (closed)
		*(inplace_has(dir, SC_STATUS_ERROR) ? closed : text) = '\0';
	return text;
}

int inplace_close_mark(int dir, struct sc_err *err)
{
	CLEANUP_CLOSE int fd =
		openat(dir, SC_STAGE_MARK,
		       O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	int rc =
		fd < 0 ? -errno : sc_write_full(fd, CLOSED, sizeof(CLOSED) - 1);

	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	return rc < 0 ? failed(-rc, SC_STAGE_MARK, err) : 0;
}

int inplace_reopen_mark(int dir, struct sc_err *err)
{
	CLEANUP_FREE char *text = read_mark(dir, err);
	char *closed = text ? find_closed(text) : NULL;
	CLEANUP_CLOSE int fd = -1;

	if (!closed)
		return text ? 0 : -1;
	fd = openat(dir, SC_STAGE_MARK, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, closed - text) < 0 || fsync(fd) < 0)
		return failed(errno, SC_STAGE_MARK, err);
	return 0;
}
