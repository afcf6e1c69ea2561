/* SPDX-License-Identifier: GPL-2.0-only */
/* A detached read-only mount; see dm_mount.h. */
#include "daemon/dm_mount.h"

#include "daemon/dm_origin.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the kernel wrote about a failed mount: "e xfs: ...". */
static int mount_failed(int ctx, const char *what, const char *fs,
			struct sc_err *err)
{
	int saved = errno;
	char said[200];
	ssize_t n = read(ctx, said, sizeof(said) - 1);

	said[n > 0 ? n : 0] = '\0';
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, saved,
			  "cannot %s the %s of the image%s%s", what, fs,
			  n > 2 ? ": " : "", n > 2 ? said + 2 : "");
}

/* No recovery; xfs: also beside the origin with the same uuid. */
static int set_flags(int ctx, const char *fs)
{
	static const char *const xfs[] = { "ro", "norecovery", "nouuid", NULL };
	static const char *const ext4[] = { "ro", "noload", NULL };
	const char *const *flags = !strcmp(fs, "xfs") ? xfs : ext4;

	for (; *flags; flags++) {
		if (fsconfig(ctx, FSCONFIG_SET_FLAG, *flags, NULL, 0) < 0)
			return -1;
	}
	return 0;
}

static int check_ext4(int device, struct sc_err *err)
{
	uint8_t head[SC_EXT4_HEAD_SIZE];
	ssize_t n = sc_pread_full(device, head, sizeof(head), 0);

	if (n != (ssize_t)sizeof(head))
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR,
				  n < 0 ? (int)-n : EIO,
				  "cannot read the superblock of the image");
	if (sc_ext4_needs_recovery(head))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the file system was not frozen when the image was made");
	return 0;
}

int sc_dm_mount(const char *fs, int device, struct sc_err *err)
{
	CLEANUP_CLOSE int ctx = -1;
	char source[64];
	int on = 1, fd;

	if (ioctl(device, BLKROSET, &on) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot set the image read-only");
	if (!strcmp(fs, "ext4") && check_ext4(device, err) < 0)
		return -1;
	ctx = fsopen(fs, FSOPEN_CLOEXEC);
	if (ctx < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot mount %s", fs);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", device);
	if (fsconfig(ctx, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
	    set_flags(ctx, fs) < 0)
		return mount_failed(ctx, "set the options of", fs, err);
	if (fsconfig(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return mount_failed(ctx, "mount", fs, err);
	fd = fsmount(ctx, FSMOUNT_CLOEXEC,
		     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			     MOUNT_ATTR_NOEXEC);
	return fd < 0 ? mount_failed(ctx, "mount", fs, err) : fd;
}

int sc_dm_same_dir(int mounted, int dir, struct sc_err *err)
{
	struct {
		struct file_handle head;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = { .head.handle_bytes = MAX_HANDLE_SZ };
	/* The mount's own descriptor is an O_PATH one. */
	CLEANUP_CLOSE int root =
		openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat here, there;
	int fd, mount_id;

	if (root < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open the image's root");
	if (name_to_handle_at(dir, "", &handle.head, &mount_id, AT_EMPTY_PATH) <
	    0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot get a directory's handle");
	fd = open_by_handle_at(root, &handle.head,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot find a directory in the image");
	if (fstat(dir, &here) == 0 && fstat(fd, &there) == 0 &&
	    here.st_ino == there.st_ino)
		return fd;
	close(fd);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "a directory in the image is another one");
}
