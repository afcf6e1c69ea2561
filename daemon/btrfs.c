/* SPDX-License-Identifier: GPL-2.0-only */
/* Subvolumes and snapshots; see btrfs.h. Source: btrfs(5), linux/btrfs.h. */
#include "daemon/btrfs.h"

#include "daemon/left.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* As deep as the list of files goes. */
#define MAX_DEPTH 16

bool sc_btrfs_is(int dir)
{
	struct statfs fs;

	return fstatfs(dir, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

int sc_btrfs_place(int dir, struct sc_btrfs_place *ret)
{
	struct btrfs_ioctl_ino_lookup_args args = { 0 };
	struct stat st;
	size_t len;

	if (fstat(dir, &st) < 0)
		return -errno;
	args.objectid = st.st_ino;
	if (ioctl(dir, BTRFS_IOC_INO_LOOKUP, &args) < 0)
		return -errno;
	ret->subvolume = args.treeid;
	snprintf(ret->path, sizeof(ret->path), "%s", args.name);
	len = strlen(ret->path);
	if (len && ret->path[len - 1] == '/')
		ret->path[len - 1] = '\0';
	return 0;
}

/* ---- nested subvolumes --------------------------------------------------- */

struct nested {
	dev_t dev;
	char *path; /* on its way: relative, then the answer */
	size_t cap;
};

static int walk(struct nested *n, int at, size_t len, int depth);

static int look(struct nested *n, int at, const char *name, size_t len,
		int depth)
{
	CLEANUP_CLOSE int dir = openat(
		at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc;

	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : -errno;
	if (fstat(dir, &st) < 0)
		return -errno;
	rc = snprintf(n->path + len, n->cap - len, "%s%s", len ? "/" : "",
		      name);
	if (rc < 0 || (size_t)rc >= n->cap - len)
		return -ENAMETOOLONG;
	/* A subvolume has a device number of its own. */
	if (st.st_dev != n->dev)
		return 1;
	return walk(n, dir, len + (size_t)rc, depth + 1);
}

static int walk(struct nested *n, int at, size_t len, int depth)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(at);
	struct dirent *de;

	if (!dir)
		return -errno;
	errno = 0;
	while (depth < MAX_DEPTH && (de = sc_dir_next(dir))) {
		int rc;

		if (de->d_type != DT_DIR ||
		    !strncmp(de->d_name, SC_BTRFS_PREFIX,
			     strlen(SC_BTRFS_PREFIX)))
			continue;
		rc = look(n, at, de->d_name, len, depth);
		if (rc)
			return rc;
	}
	if (errno)
		return -errno;
	n->path[len] = '\0';
	return 0;
}

int sc_btrfs_nested(int dir, char *ret, size_t cap)
{
	struct nested n = { .path = ret, .cap = cap };
	struct stat st;

	if (fstat(dir, &st) < 0)
		return -errno;
	n.dev = st.st_dev;
	return walk(&n, dir, 0, 0);
}

/* ---- mounts nobody sees -------------------------------------------------- */

/* A device of the file system. */
static int find_device(int dir, char *path, size_t cap)
{
	struct btrfs_ioctl_fs_info_args fs = { 0 };

	if (ioctl(dir, BTRFS_IOC_FS_INFO, &fs) < 0)
		return -errno;
	for (uint64_t id = 1; id <= fs.max_id; id++) {
		struct btrfs_ioctl_dev_info_args dev = { .devid = id };

		if (ioctl(dir, BTRFS_IOC_DEV_INFO, &dev) < 0)
			continue; /* was removed */
		snprintf(path, cap, "%s", (const char *)dev.path);
		return 0;
	}
	return -ENODEV;
}

int sc_btrfs_mount(int dir, uint64_t subvolume)
{
	char device[BTRFS_DEVICE_PATH_NAME_MAX], id[24];
	CLEANUP_CLOSE int fs = -1, mnt = -1;
	int rc = find_device(dir, device, sizeof(device)), root;

	if (rc < 0)
		return rc;
	snprintf(id, sizeof(id), "%llu",
		 (unsigned long long)(subvolume ? subvolume
						: BTRFS_FS_TREE_OBJECTID));
	fs = fsopen("btrfs", FSOPEN_CLOEXEC);
	if (fs < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "subvolid", id, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	/* That descriptor is O_PATH; the mount stays as long as this one. */
	root = mnt < 0 ? -1
		       : openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -errno : root;
}

/* ---- snapshots ----------------------------------------------------------- */

static int failed(struct sc_err *err, const char *what, const char *name)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			  "cannot %s snapshot %s in the top of the file system",
			  what, name);
}

/* Open the root and lock it. -1 with errno: EWOULDBLOCK when another has it. */
static int open_locked(int top, const char *name)
{
	int fd = openat(top, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int saved;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* 0, or -1 with errno: EWOULDBLOCK when another one had it until then. */
static int lock_top(int top, uint64_t until_ms)
{
	while (flock(top, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (sc_now_ms() >= until_ms) {
			errno = EWOULDBLOCK;
			return -1;
		}
		sc_sleep_ms(20);
	}
	return 0;
}

int sc_btrfs_snapshot(int top, int source, const char *name, uint64_t *us,
		      struct sc_err *err)
{
	struct btrfs_ioctl_vol_args_v2 args = { .fd = source,
						.flags = BTRFS_SUBVOL_RDONLY };
	struct sc_err undo = SC_ERR_INIT;
	uint64_t began;
	int fd = -1;

	snprintf(args.name, sizeof(args.name), "%s", name);
	/* What is to be written is written before, so that little is left for
	 * the moment when writes wait. */
	if (syncfs(source) < 0)
		return failed(err, "sync the file system for", name);
	/* Until it has its lock, a reaper must not see it. */
	if (lock_top(top, sc_now_ms() + SC_BTRFS_LOCK_MS) < 0)
		return failed(err, "get the lock (flock) for", name);
	began = sc_clock_us(CLOCK_MONOTONIC);
	if (ioctl(top, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0) {
		failed(err, "make", name);
	} else {
		*us = sc_clock_us(CLOCK_MONOTONIC) - began;
		fd = open_locked(top, name);
		if (fd < 0) {
			failed(err, "open", name);
			if (sc_btrfs_remove(top, name, &undo) < 0)
				sc_left_keep("btrfs", &undo);
		}
	}
	(void)flock(top, LOCK_UN);
	return fd;
}

int sc_btrfs_remove(int top, const char *name, struct sc_err *err)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	snprintf(args.name, sizeof(args.name), "%s", name);
	return ioctl(top, BTRFS_IOC_SNAP_DESTROY, &args) < 0
		       ? failed(err, "remove", name)
		       : 0;
}

/* SC_BTRFS_PREFIX and the id of a job. */
static bool is_ours(const char *name)
{
	size_t prefix = strlen(SC_BTRFS_PREFIX);

	return strlen(name) == SC_BTRFS_NAME_SIZE - 1 &&
	       !strncmp(name, SC_BTRFS_PREFIX, prefix) &&
	       strspn(name + prefix, "0123456789abcdef") == 2 * SC_JOB_ID_SIZE;
}

/* 1 when it is left by somebody (and gone, when it was to be removed). */
static int reap_one(int top, const char *name, bool remove, struct sc_err *err)
{
	CLEANUP_CLOSE int fd = open_locked(top, name);
	struct stat st;

	if (fd < 0)
		return errno == EWOULDBLOCK || errno == ENOENT
			       ? 0
			       : failed(err, "open", name);
	/* The root of a subvolume; else it is somebody's directory. */
	if (fstat(fd, &st) < 0 || st.st_ino != BTRFS_FIRST_FREE_OBJECTID)
		return 0;
	if (!remove)
		return 1;
	if (sc_btrfs_remove(top, name, err) < 0)
		return -1;
	sc_info("removed snapshot %s, left by a daemon that died", name);
	return 1;
}

int sc_btrfs_reap_top(int top, bool remove, uint64_t until_ms,
		      struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = NULL;
	struct dirent *de;
	bool bad = false;
	int n = 0;

	if (lock_top(top, until_ms) < 0)
		return sc_err_sys(
			err, SC_ER_INTERNAL_ERROR, errno,
			"cannot lock (flock) the top of the file system to look for snapshots");
	dir = sc_dir_open(top);
	while (dir && (de = sc_dir_next(dir))) {
		int rc = is_ours(de->d_name)
				 ? reap_one(top, de->d_name, remove, err)
				 : 0;

		n += rc > 0;
		bad |= rc < 0;
	}
	if (errno)
		bad = sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				 "cannot read the top of the file system") < 0;
	(void)flock(top, LOCK_UN);
	return bad ? -1 : n;
}
