/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file as copy-on-write area: without a name, fully allocated, read and
 * written directly through a loop device that ends with its last user. So
 * nothing is left of it when the process dies.
 */
#include "daemon/dm_cow_impl.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Others take free loop devices too. */
#define LOOP_TRIES 32
/* No more than this share of the free space is taken. */
#define FREE_SHARE 2

static int loop_probe(const struct sc_dm_cow_need *need, uint64_t *ret_bytes,
		      struct sc_err *err)
{
	struct statvfs fs;
	struct stat st;
	int rc;

	if (stat(need->area, &st) < 0 || statvfs(need->area, &fs) < 0)
		return sc_err_sys(err, SC_ER_CLONE_SYS_CONFIG, errno,
				  "dm_cow %s", need->area);
	if (!major(st.st_dev))
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"dm_cow %s is on a file system without a block device of its own (btrfs, network, memory); take one on XFS or ext4, or a block device",
			need->area);
	rc = sc_sys_stands_on(need->sys, st.st_dev, need->origin->dev, err);
	if (rc > 0)
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"dm_cow %s lies on the data directory's own device %s: every write would wait for itself",
			need->area, need->origin->name);
	return rc < 0 ? -1
		      : sc_dm_cow_size(need,
				       fs.f_bavail * fs.f_frsize / FREE_SHARE,
				       need->area, ret_bytes, err);
}

static int make_file(const char *dir, uint64_t bytes, struct sc_err *err)
{
	int rc, fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot make a file in dm_cow %s", dir);
	rc = posix_fallocate(fd, 0, (off_t)bytes);
	if (rc == 0)
		return fd;
	close(fd);
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
			  "cannot allocate %llu MiB in dm_cow %s",
			  (unsigned long long)(bytes / SC_MIB), dir);
}

/* The smallest blocks that both the file and the origin know. */
static uint32_t block_size(const struct sc_dm_cow_need *need, int file)
{
	struct sc_direct direct;
	char text[32];
	uint32_t origin = 512;

	if (sc_sys_get(need->sys, need->origin->dev, "queue/logical_block_size",
		       text, sizeof(text)) > 0)
		origin = (uint32_t)strtoul(text, NULL, 10);
	if (sc_direct_query(file, &direct) == 0 && direct.usable &&
	    direct.file_align <= origin)
		return direct.file_align;
	return origin;
}

/* Source: loop(4), LOOP_CTL_GET_FREE and LOOP_CONFIGURE (Linux 5.8). */
static int attach(int control, const struct loop_config *config)
{
	for (int i = 0; i < LOOP_TRIES; i++) {
		int fd, n = ioctl(control, LOOP_CTL_GET_FREE);
		char path[32];

		if (n < 0)
			return -errno;
		snprintf(path, sizeof(path), "/dev/loop%d", n);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (ioctl(fd, LOOP_CONFIGURE, config) == 0)
			return fd;
		n = errno;
		close(fd);
		if (n != EBUSY)
			return -n;
	}
	return -EBUSY;
}

static int make_loop(const struct sc_dm_cow_need *need, int file,
		     struct sc_err *err)
{
	CLEANUP_CLOSE int control =
		open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {
		.fd = (uint32_t)file,
		.block_size = block_size(need, file),
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
	};
	int fd = control < 0 ? -errno : attach(control, &config);

	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -fd,
				  "cannot make a loop device");
	return fd;
}

static void warn_buffered(const struct sc_dm_cow_need *need, int fd)
{
	struct loop_info64 info;

	if (ioctl(fd, LOOP_GET_STATUS64, &info) == 0 &&
	    !(info.lo_flags & LO_FLAGS_DIRECT_IO))
		sc_warning(
			"dm_cow %s: no direct I/O on its loop device, the copy-on-write area goes through the page cache",
			need->area);
}

static int loop_open(const struct sc_dm_cow_need *need, struct sc_dm_cow *cow,
		     struct sc_err *err)
{
	CLEANUP_CLOSE int file = -1;
	struct stat st;

	if (loop_probe(need, &cow->bytes, err) < 0)
		return -1;
	file = make_file(need->area, cow->bytes, err);
	if (file < 0)
		return -1;
	cow->fd = make_loop(need, file, err);
	if (cow->fd < 0)
		return -1;
	warn_buffered(need, cow->fd);
	if (fstat(cow->fd, &st) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "stat of a loop device");
	cow->lower = st.st_rdev;
	return 0;
}

static int loop_close(struct sc_dm_cow *cow, struct sc_err *err)
{
	(void)err;
	if (cow->fd >= 0)
		close(cow->fd);
	return 0;
}

const struct sc_dm_cow_kind sc_dm_cow_loop = {
	.name = "a file in",
	.on_disk = true,
	.probe = loop_probe,
	.open = loop_open,
	.close = loop_close,
};
