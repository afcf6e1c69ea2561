/* SPDX-License-Identifier: GPL-2.0-only */
/* Block devices as sysfs shows them; see dm_sysfs.h. */
#include "daemon/dm_sysfs.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Layers under each other; more are a mistake of ours, or a ring. */
#define MAX_DEPTH 16

int sc_sys_open(struct sc_err *err)
{
	int sys = open("/sys/dev/block", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (sys < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open /sys/dev/block");
	return sys;
}

static void attr_path(dev_t dev, const char *attr, char path[static 320])
{
	snprintf(path, 320, "%u:%u/%s", major(dev), minor(dev), attr);
}

int sc_sys_get(int sys, dev_t dev, const char *attr, char *buf, size_t cap)
{
	char path[320];
	ssize_t n;

	attr_path(dev, attr, path);
	CLEANUP_CLOSE int fd = openat(sys, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n = sc_pread_full(fd, buf, cap, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n == cap)
		return -ENODATA;
	while (n && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return (int)n;
}

int sc_sys_set(int sys, dev_t dev, const char *attr, const char *value)
{
	char path[320];

	attr_path(dev, attr, path);
	CLEANUP_CLOSE int fd = openat(sys, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

bool sc_sys_has(int sys, dev_t dev, const char *attr)
{
	char path[320];

	attr_path(dev, attr, path);
	return faccessat(sys, path, F_OK, 0) == 0;
}

uint64_t sc_sys_written(int sys, dev_t dev)
{
	uint64_t sectors;
	char text[512];

	if (sc_sys_get(sys, dev, "stat", text, sizeof(text)) < 0 ||
	    sscanf(text, "%*u %*u %*u %*u %*u %*u %" SCNu64, &sectors) != 1)
		return 0;
	return sectors * 512;
}

/* The kernel's name of a device, from the line DEVNAME= of its uevent. */
static int kernel_name(int sys, dev_t dev, char *buf, size_t cap)
{
	char text[1024], *name;

	if (sc_sys_get(sys, dev, "uevent", text, sizeof(text)) < 0)
		return -ENXIO;
	name = strstr(text, "DEVNAME=");
	if (!name)
		return -ENXIO;
	name += strlen("DEVNAME=");
	name[strcspn(name, "\n")] = '\0';
	if (strlen(name) >= cap)
		return -ENAMETOOLONG;
	memcpy(buf, name, strlen(name) + 1);
	return 0;
}

const char *sc_sys_name(int sys, dev_t dev, char *buf, size_t cap)
{
	char kernel[64], dm[160];

	if (kernel_name(sys, dev, kernel, sizeof(kernel)) < 0)
		snprintf(buf, cap, "%u:%u", major(dev), minor(dev));
	else if (sc_sys_get(sys, dev, "dm/name", dm, sizeof(dm)) > 0)
		snprintf(buf, cap, "%s (%s)", kernel, dm);
	else
		snprintf(buf, cap, "%s", kernel);
	return buf;
}

int sc_sys_open_node(int sys, dev_t dev, int flags)
{
	char name[64], path[80];
	struct stat st;
	int fd, rc = kernel_name(sys, dev, name, sizeof(name));

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev) {
		close(fd);
		return -ENXIO;
	}
	return fd;
}

/* ---- what lies under a device -------------------------------------------- */

struct walk {
	int sys;
	int (*visit)(dev_t dev, void *ctx);
	void *ctx;
	struct sc_err *err;
};

static int walk_down(struct walk *w, dev_t dev, unsigned depth);

static int parse_dev(const char *text, dev_t *ret)
{
	unsigned ma, mi;

	if (sscanf(text, "%u:%u", &ma, &mi) != 2)
		return -1;
	*ret = makedev(ma, mi);
	return 0;
}

/* The device number in an attribute of dev, if it has such an attribute. */
static int walk_attr(struct walk *w, dev_t dev, const char *attr,
		     unsigned depth)
{
	char text[64];
	dev_t lower;

	if (sc_sys_get(w->sys, dev, attr, text, sizeof(text)) < 0 ||
	    parse_dev(text, &lower) < 0)
		return sc_err_set(w->err, SC_ER_INTERNAL_ERROR,
				  "cannot read /sys/dev/block/%u:%u/%s",
				  major(dev), minor(dev), attr);
	return walk_down(w, lower, depth);
}

static int walk_slaves(struct walk *w, dev_t dev, unsigned depth)
{
	char path[320];
	struct dirent *de;

	attr_path(dev, "slaves", path);
	CLEANUP_CLOSE int fd =
		openat(w->sys, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSEDIR DIR *dir = fd < 0 ? NULL : sc_dir_open(fd);

	/* A partition has no such directory. */
	if (fd < 0 && errno == ENOENT)
		return 0;
	while (dir && (de = sc_dir_next(dir))) {
		int rc;

		snprintf(path, sizeof(path), "slaves/%s/dev", de->d_name);
		rc = walk_attr(w, dev, path, depth);
		if (rc)
			return rc;
	}
	return dir && !errno ? 0
			     : sc_err_sys(w->err, SC_ER_INTERNAL_ERROR, errno,
					  "cannot look under the device %u:%u",
					  major(dev), minor(dev));
}

/* Source: loop(4), LOOP_GET_STATUS64; lo_device is the device of the file
 * system that holds the file, encoded as a dev_t. */
static int walk_loop(struct walk *w, dev_t dev, unsigned depth)
{
	CLEANUP_CLOSE int fd = sc_sys_open_node(w->sys, dev, O_RDONLY);
	struct loop_info64 info;

	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return sc_err_sys(w->err, SC_ER_INTERNAL_ERROR,
				  fd < 0 ? -fd : errno,
				  "cannot look under the loop device %u:%u",
				  major(dev), minor(dev));
	return walk_down(w, (dev_t)info.lo_device, depth);
}

static int walk_down(struct walk *w, dev_t dev, unsigned depth)
{
	int rc;

	if (!major(dev))
		return sc_err_set(
			w->err, SC_ER_INTERNAL_ERROR,
			"a loop device's file is on a file system without a device of its own (btrfs, network, memory)");
	if (depth == MAX_DEPTH)
		return sc_err_set(w->err, SC_ER_INTERNAL_ERROR,
				  "more than %d layers of block devices",
				  MAX_DEPTH);
	rc = w->visit(dev, w->ctx);
	if (rc)
		return rc;
	if (sc_sys_has(w->sys, dev, "partition"))
		return walk_attr(w, dev, "../dev", depth + 1);
	if (sc_sys_has(w->sys, dev, "loop/backing_file"))
		return walk_loop(w, dev, depth + 1);
	return walk_slaves(w, dev, depth + 1);
}

int sc_sys_walk(int sys, dev_t dev, int (*visit)(dev_t dev, void *ctx),
		void *ctx, struct sc_err *err)
{
	struct walk w = { sys, visit, ctx, err };

	return walk_down(&w, dev, 0);
}

static int is_wanted(dev_t dev, void *ctx)
{
	return dev == *(const dev_t *)ctx;
}

int sc_sys_stands_on(int sys, dev_t dev, dev_t wanted, struct sc_err *err)
{
	return sc_sys_walk(sys, dev, is_wanted, &wanted, err);
}

/* Source: cryptsetup names its devices CRYPT-*; a device that something else
 * made with the crypt target is found by its table where it is the origin. */
static int is_crypt(dev_t dev, void *ctx)
{
	char uuid[160];

	return sc_sys_get(*(const int *)ctx, dev, "dm/uuid", uuid,
			  sizeof(uuid)) > 0 &&
	       !strncmp(uuid, "CRYPT-", 6);
}

int sc_sys_encrypted(int sys, dev_t dev, struct sc_err *err)
{
	return sc_sys_walk(sys, dev, is_crypt, &sys, err);
}
