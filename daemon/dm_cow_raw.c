/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block device as copy-on-write area. Its first MiB is a mark and never used
 * for data: so a device that was given by mistake is recognised, and one of
 * ours too, after a crash.
 */
#include "daemon/dm_cow_impl.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define HEAD SC_MIB
static const char mark[] = "snapclone copy-on-write area, version 1\n";

/* All zeroes, or marked as ours. */
static int check_head(const struct sc_dm_cow_need *need, int fd,
		      bool *ret_marked, struct sc_err *err)
{
	CLEANUP_FREE uint8_t *head = malloc(HEAD);
	ssize_t n = head ? sc_pread_full(fd, head, HEAD, 0) : -ENOMEM;

	if (n != (ssize_t)HEAD)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR,
				  n < 0 ? (int)-n : EIO,
				  "cannot read dm_cow %s", need->area);
	*ret_marked = !memcmp(head, mark, sizeof(mark));
	if (*ret_marked || (!head[0] && !memcmp(head, head + 1, HEAD - 1)))
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"dm_cow %s holds data and is not touched; if it is to be the copy-on-write area: dd if=/dev/zero of=%s bs=1M count=1",
		need->area, need->area);
}

static int check_blocks(const struct sc_dm_cow_need *need, dev_t dev,
			struct sc_err *err)
{
	char text[32];

	if (sc_sys_get(need->sys, dev, "queue/logical_block_size", text,
		       sizeof(text)) < 0)
		return 0;
	return sc_dm_cow_blocks(need, (uint32_t)strtoul(text, NULL, 10), err);
}

static int look(const struct sc_dm_cow_need *need, int fd, dev_t *ret_dev,
		uint64_t *ret_bytes, struct sc_err *err)
{
	uint64_t size;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "dm_cow %s",
				  need->area);
	*ret_dev = st.st_rdev;
	rc = sc_sys_stands_on(need->sys, st.st_rdev, need->origin->dev, err);
	if (rc > 0)
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"dm_cow %s lies on the data directory's own device %s",
			need->area, need->origin->name);
	if (rc < 0 || check_blocks(need, st.st_rdev, err) < 0)
		return -1;
	return sc_dm_cow_size(need, size > HEAD ? size - HEAD : 0, need->area,
			      ret_bytes, err);
}

/* Exclusively: fails when it is mounted or in use by device-mapper. */
static int open_unused(const struct sc_dm_cow_need *need, int flags,
		       struct sc_err *err)
{
	int fd = open(need->area, flags | O_EXCL | O_CLOEXEC);

	if (fd < 0 && errno == EBUSY)
		return sc_err_set(err, SC_ER_CLONE_SYS_CONFIG,
				  "dm_cow %s is in use", need->area);
	if (fd < 0)
		return sc_err_sys(err, SC_ER_CLONE_SYS_CONFIG, errno,
				  "cannot open dm_cow %s", need->area);
	return fd;
}

static int raw_probe(const struct sc_dm_cow_need *need, uint64_t *ret_bytes,
		     struct sc_err *err)
{
	CLEANUP_CLOSE int fd = open_unused(need, O_RDONLY, err);
	bool marked;
	dev_t dev;

	if (fd < 0 || look(need, fd, &dev, ret_bytes, err) < 0)
		return -1;
	return check_head(need, fd, &marked, err);
}

static int raw_open(const struct sc_dm_cow_need *need, struct sc_dm_cow *cow,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int fd = open_unused(need, O_RDWR, err);
	bool marked;
	int rc = 0;

	if (fd < 0 || look(need, fd, &cow->lower, &cow->bytes, err) < 0 ||
	    check_head(need, fd, &marked, err) < 0)
		return -1;
	if (!marked)
		rc = sc_pwrite_full(fd, mark, sizeof(mark), 0);
	if (rc == 0 && !marked && fsync(fd) < 0)
		rc = -errno;
	if (rc < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
				  "cannot write to dm_cow %s", need->area);
	return 0;
}

static int raw_close(struct sc_dm_cow *cow, struct sc_err *err)
{
	(void)cow;
	(void)err;
	return 0;
}

const struct sc_dm_cow_kind sc_dm_cow_raw = {
	.name = "device",
	.start = HEAD,
	.on_disk = true,
	.takes_all = true,
	.probe = raw_probe,
	.open = raw_open,
	.close = raw_close,
};
