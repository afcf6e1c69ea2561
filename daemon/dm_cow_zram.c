/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Compressed memory as copy-on-write area. A zram device outlives the process
 * that made it; a file below /run/snapclone.dm names those that are ours,
 * written before the device gets a size, so that until then it costs nothing.
 */
#include "daemon/dm_cow_impl.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Source: the kernel's admin-guide/blockdev/zram.rst. */
#define ZRAM_BLOCK 4096 /* at all times; drivers/block/zram/zram_drv.h */
#define CONTROL "/sys/class/zram-control/"
#define RUN_DIR SC_DM_RUN_DIR
#define OURS RUN_DIR "/zram-"
/* No more than this share of the memory that is available now is used; the
 * area may hold that much more than it takes. */
#define MEMORY_SHARE 2
#define COMPRESSION 2
/* udev may have it open for a moment. */
#define RESET_MS 5000

static int write_text(const char *path, const char *text)
{
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int set_attr(int id, const char *attr, uint64_t value)
{
	char path[64], text[24];

	snprintf(path, sizeof(path), "/sys/block/zram%d/%s", id, attr);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return write_text(path, text);
}

/* Source: proc_meminfo(5), MemAvailable. */
static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = 0;

	while (f && !kib && fgets(line, sizeof(line), f))
		(void)sscanf(line, "MemAvailable: %" SCNu64, &kib);
	if (f)
		fclose(f);
	return kib * SC_KIB;
}

static int zram_probe(const struct sc_dm_cow_need *need, uint64_t *ret_bytes,
		      struct sc_err *err)
{
	if (access(CONTROL "hot_add", R_OK) < 0)
		return sc_err_sys(
			err, SC_ER_CLONE_SYS_CONFIG, errno,
			"dm_cow zram: the kernel module zram is not loaded (modprobe zram)");
	if (sc_dm_cow_blocks(need, ZRAM_BLOCK, err) < 0)
		return -1;
	return sc_dm_cow_size(need,
			      memory_available() / MEMORY_SHARE * COMPRESSION,
			      "memory", ret_bytes, err);
}

static int remove_device(int id)
{
	uint64_t until = sc_now_ms() + RESET_MS;
	char path[64], number[16];
	int rc;

	snprintf(number, sizeof(number), "%d", id);
	while ((rc = set_attr(id, "reset", 1)) == -EBUSY && sc_now_ms() < until)
		sc_sleep_ms(20);
	while (rc == 0 &&
	       (rc = write_text(CONTROL "hot_remove", number)) == -EBUSY &&
	       sc_now_ms() < until)
		sc_sleep_ms(20);
	if (rc < 0 && rc != -ENOENT && rc != -ENODEV)
		return rc;
	snprintf(path, sizeof(path), OURS "%d", id);
	unlink(path);
	return 0;
}

/* Reading the attribute makes a device and tells its number. */
static int add_device(int *ret)
{
	CLEANUP_CLOSE int fd = open(CONTROL "hot_add", O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return errno ? -errno : -EIO;
	*ret = atoi(text);
	return 0;
}

static int note_device(int id)
{
	char path[64];
	int fd;

	if (mkdir(RUN_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), OURS "%d", id);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int set_up(int id, uint64_t bytes, dev_t *ret)
{
	char path[64];
	struct stat st;
	int rc = note_device(id);

	if (rc == 0)
		rc = set_attr(id, "disksize", bytes);
	if (rc == 0)
		rc = set_attr(id, "mem_limit",
			      memory_available() / MEMORY_SHARE);
	snprintf(path, sizeof(path), "/dev/zram%d", id);
	if (rc == 0 && stat(path, &st) < 0)
		rc = -errno;
	if (rc == 0)
		*ret = st.st_rdev;
	return rc;
}

static int zram_open(const struct sc_dm_cow_need *need, struct sc_dm_cow *cow,
		     struct sc_err *err)
{
	int rc;

	if (zram_probe(need, &cow->bytes, err) < 0)
		return -1;
	rc = add_device(&cow->zram);
	if (rc == 0)
		rc = set_up(cow->zram, cow->bytes, &cow->lower);
	if (rc < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
				  "cannot make a zram device");
	return 0;
}

static int zram_close(struct sc_dm_cow *cow, struct sc_err *err)
{
	int rc = cow->zram >= 0 ? remove_device(cow->zram) : 0;

	if (rc < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
				  "cannot remove the device zram%d", cow->zram);
	return 0;
}

/* mm_stat: bytes stored, compressed, used, limit, ... What is used of the
 * limit counts when it is the bigger share. */
static void zram_fill(int sys, const struct sc_dm_cow *cow,
		      struct sc_dm_fill *fill)
{
	uint64_t used, limit;
	char text[256];

	if (!fill->valid ||
	    sc_sys_get(sys, cow->lower, "mm_stat", text, sizeof(text)) < 0 ||
	    sscanf(text, "%*u %*u %" SCNu64 " %" SCNu64, &used, &limit) != 2 ||
	    !limit)
		return;
	if ((double)used / (double)limit >
	    (double)fill->used / (double)fill->total) {
		fill->used = SC_MIN(used, limit);
		fill->total = limit;
	}
}

const struct sc_dm_cow_kind sc_dm_cow_zram = {
	.name = "memory,",
	.probe = zram_probe,
	.open = zram_open,
	.close = zram_close,
	.fill = zram_fill,
};

/* The number in the next name of ours; -1: there is no more. */
static int next_noted(DIR *dir)
{
	struct dirent *de;
	char end;
	int id;

	while (dir && (de = readdir(dir))) {
		if (sscanf(de->d_name, "zram-%d%c", &id, &end) == 1)
			return id;
	}
	return -1;
}

bool sc_dm_cow_has_zram(void)
{
	CLEANUP_CLOSEDIR DIR *dir = opendir(RUN_DIR);

	return next_noted(dir) >= 0;
}

int sc_dm_cow_reap_zram(struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = opendir(RUN_DIR);
	int n = 0, id;

	while ((id = next_noted(dir)) >= 0) {
		int rc = remove_device(id);

		if (rc < 0)
			sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
				   "cannot remove the device zram%d", id);
		n += rc == 0;
	}
	return sc_err_is_set(err) ? -1 : n;
}
