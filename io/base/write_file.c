/* SPDX-License-Identifier: GPL-2.0-only */
/* Small files, replaced as a whole; see fdio.h. No state. */
#include "io/base/fdio.h"

#include "io/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_CAP 300

static const char *temp_name(const struct sc_small_file *file,
			     char buf[TEMP_CAP])
{
	snprintf(buf, TEMP_CAP, "%s.tmp", file->name);
	return buf;
}

/* Its descriptor, or -1. */
static int write_temp(int dirfd, const struct sc_small_file *file, uid_t uid,
		      gid_t gid, struct sc_err *err)
{
	char temp[TEMP_CAP];
	int rc, fd = openat(dirfd, temp_name(file, temp),
			    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
				    O_CLOEXEC,
			    0640);

	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot create %s", temp);
	rc = sc_pwrite_full(fd, file->data, file->len, 0);
	if (rc == 0 && geteuid() == 0 && fchown(fd, uid, gid) < 0)
		rc = -errno;
	if (rc == 0) {
		/* A hint: blocks are allocated before the first fsync, which
		 * then makes the metadata of all files durable. */
		if (file->len)
			(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		return fd;
	}
	close(fd);
	unlinkat(dirfd, temp, 0);
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc, "cannot write %s",
			  file->name);
}

/* 0 or -errno; closes. */
static int sync_temp(int fd)
{
	int rc = fsync(fd) < 0 ? -errno : 0;

	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* All of them durable, then all in their places. *ret_bad: which failed. */
static int put_in_place(int dirfd, const struct sc_small_file *files, int *fds,
			size_t n, size_t *ret_bad)
{
	char temp[TEMP_CAP];
	size_t i;
	int rc = 0;

	for (i = 0; i < n && rc == 0; i++) {
		rc = sync_temp(fds[i]);
		fds[i] = -1;
		*ret_bad = i;
	}
	for (i = 0; i < n && rc == 0; i++) {
		*ret_bad = i;
		if (renameat(dirfd, temp_name(&files[i], temp), dirfd,
			     files[i].name) < 0)
			rc = -errno;
	}
	return rc;
}

/* A name that was renamed already is not there any more. */
static void remove_temps(int dirfd, const struct sc_small_file *files, int *fds,
			 size_t n)
{
	char temp[TEMP_CAP];

	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		unlinkat(dirfd, temp_name(&files[i], temp), 0);
	}
}

int sc_write_files(int dirfd, const struct sc_small_file *files, size_t n,
		   uid_t uid, gid_t gid, struct sc_err *err)
{
	int fds[SC_SMALL_FILES_MAX], rc = 0;
	size_t made = 0, bad = 0;

	while (made < n && rc == 0) {
		fds[made] = write_temp(dirfd, &files[made], uid, gid, err);
		if (fds[made] < 0)
			rc = -1;
		else
			made++;
	}
	if (rc == 0) {
		rc = put_in_place(dirfd, files, fds, n, &bad);
		if (rc < 0)
			sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
				   "cannot write %s", files[bad].name);
	}
	if (rc < 0)
		remove_temps(dirfd, files, fds, made);
	return rc < 0 ? -1 : 0;
}

int sc_write_file(int dirfd, const char *name, const void *data, size_t len,
		  uid_t uid, gid_t gid, struct sc_err *err)
{
	const struct sc_small_file file = { name, data, len };

	return sc_write_files(dirfd, &file, 1, uid, gid, err);
}
