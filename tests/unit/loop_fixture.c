/* SPDX-License-Identifier: GPL-2.0-only */
/* File systems on loop devices; see loop_fixture.h. */
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Run a shell command; the first line it prints goes to out. Its status. */
static int sh(char *out, size_t cap, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int sh(char *out, size_t cap, const char *fmt, ...)
{
	char command[1024];
	va_list ap;
	FILE *p;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	strncat(command, " 2>&1", sizeof(command) - strlen(command) - 1);
	p = popen(command, "re");
	if (!p)
		return -1;
	if (!fgets(out, (int)cap, p))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	while (fgetc(p) != EOF)
		;
	return pclose(p);
}

static int enter_namespace(void)
{
	static int entered; /* of this process */

	if (entered)
		return 0;
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	entered = 1;
	return 0;
}

static int failed(struct loop_fs *fs, const char *what)
{
	if (!fs->reason[0])
		snprintf(fs->reason, sizeof(fs->reason), "%s: %s", what,
			 strerrordesc_np(errno));
	return -1;
}

static int make_image(struct loop_fs *fs, unsigned size_mib)
{
	int fd = open(fs->image, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return -1;
	rc = ftruncate(fd, (off_t)size_mib << 20);
	close(fd);
	return rc;
}

/* The type's name is the rest of "mkfs.TYPE ...". */
static int mount_device(struct loop_fs *fs, const char *device,
			const char *mkfs)
{
	char out[200];

	if (sh(out, sizeof(out), "%s %s", mkfs, device) != 0) {
		snprintf(fs->reason, sizeof(fs->reason), "%.20s...: %s", mkfs,
			 out);
		return -1;
	}
	if (sh(out, sizeof(out), "mount %s %s", device, fs->path) == 0)
		return 0;
	snprintf(fs->reason, sizeof(fs->reason), "mount: %s", out);
	return -1;
}

static int mount_loop(struct loop_fs *fs, const char *mkfs, unsigned sector,
		      unsigned size_mib)
{
	char device[200], out[200];
	int rc;

	if (make_image(fs, size_mib) < 0)
		return failed(fs, fs->image);
	if (sh(device, sizeof(device),
	       "losetup --find --show --sector-size %u %s", sector,
	       fs->image) != 0) {
		snprintf(fs->reason, sizeof(fs->reason), "losetup: %s", device);
		return -1;
	}
	rc = mount_device(fs, device, mkfs);
	/* Mounted, it goes with the mount. */
	(void)sh(out, sizeof(out), "losetup --detach %s", device);
	return rc;
}

int loop_fs_mount(struct loop_fs *fs, const char *dir, const char *mkfs,
		  unsigned sector, unsigned size_mib)
{
	char options[32];

	*fs = (struct loop_fs){ 0 };
	snprintf(fs->path, sizeof(fs->path), "%s/mnt", dir);
	snprintf(fs->image, sizeof(fs->image), "%s/image", dir);
	if (geteuid() != 0) {
		errno = EPERM;
		return failed(fs, "needs root to mount file systems");
	}
	if (enter_namespace() < 0)
		return failed(fs, "mount namespace");
	if (mkdir(fs->path, 0755) < 0 && errno != EEXIST)
		return failed(fs, fs->path);
	if (strcmp(mkfs, "tmpfs") != 0)
		return mount_loop(fs, mkfs, sector, size_mib);
	snprintf(options, sizeof(options), "size=%um", size_mib);
	return mount("none", fs->path, "tmpfs", 0, options) < 0
		       ? failed(fs, "mount tmpfs")
		       : 0;
}

int loop_fs_umount(struct loop_fs *fs)
{
	int rc = umount(fs->path);

	if (rc == 0)
		unlink(fs->image);
	return rc;
}
