/* SPDX-License-Identifier: GPL-2.0-only */
/* What a directory stands on; see dm_origin.h. */
#include "daemon/dm_origin.h"

#include "daemon/dm_dev.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* Source: fs/xfs/libxfs/xfs_format.h, XFS_SB_MAGIC ("XFSB"). */
#define XFS_MAGIC 0x58465342
#define BTRFS_MAGIC 0x9123683E
#define INSTEAD "use the reflink or live provider"

static const char *fs_name(long magic)
{
	switch ((unsigned long)magic) {
	case XFS_MAGIC:
		return "xfs";
	case EXT4_SUPER_MAGIC: /* ext2 and ext3 have the same */
		return "ext4";
	case BTRFS_MAGIC:
		return "btrfs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlayfs";
	case TMPFS_MAGIC:
		return "tmpfs";
	case NFS_SUPER_MAGIC:
		return "nfs";
	default:
		return "another kind";
	}
}

/* ---- devices besides the main one ---------------------------------------- */

const char *sc_dm_second_device(const char *options, char *buf, size_t cap)
{
	static const char *const names[] = { "logdev=", "rtdev=",
					     "journal_path=", "journal_dev=" };

	for (const char *p = options; *p && *p != '\n'; p += *p == ',') {
		size_t len = strcspn(p, ",\n");

		for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++) {
			size_t n = strlen(names[i]);

			if (len > n && !strncmp(p, names[i], n)) {
				snprintf(buf, cap, "%.*s", (int)(len - n),
					 p + n);
				return buf;
			}
		}
		p += len;
	}
	return NULL;
}

/* The super block's options: the last field of a line of mountinfo, whose
 * third is the device. Source: proc_pid_mountinfo(5). */
static int check_mounts(const struct sc_dm_origin *o, struct sc_err *err)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], second[256];
	int rc = 0;

	if (!f)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read /proc/self/mountinfo");
	while (rc == 0 && fgets(line, sizeof(line), f)) {
		unsigned ma, mi;
		const char *options = strrchr(line, ' ');

		if (sscanf(line, "%*u %*u %u:%u", &ma, &mi) != 2 ||
		    makedev(ma, mi) != o->dev || !options ||
		    !sc_dm_second_device(options + 1, second, sizeof(second)))
			continue;
		rc = sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the %s on %s has its log or real-time part on %s, which an image of one device would not have; " INSTEAD,
			o->fs, o->name, second);
	}
	fclose(f);
	return rc;
}

/* The superblock starts at byte 1024. */
static const uint8_t *ext4_field(const uint8_t *head, unsigned off)
{
	return head + 1024 + off;
}

bool sc_ext4_journal_elsewhere(const uint8_t head[static SC_EXT4_HEAD_SIZE])
{
	bool has_journal = sc_load_le32(ext4_field(head, 0x5c)) & 0x4;

	return has_journal && !sc_load_le32(ext4_field(head, 0xe0));
}

bool sc_ext4_needs_recovery(const uint8_t head[static SC_EXT4_HEAD_SIZE])
{
	return sc_load_le32(ext4_field(head, 0x60)) & 0x4;
}

uint32_t sc_dm_fs_block(const char *fs,
			const uint8_t head[static SC_EXT4_HEAD_SIZE])
{
	if (!strcmp(fs, "xfs"))
		return sc_load_be16(head + 102);
	return 1024u << (sc_load_le32(ext4_field(head, 0x18)) & 15);
}

static int check_superblock(int sys, struct sc_dm_origin *o, struct sc_err *err)
{
	CLEANUP_CLOSE int fd = sc_sys_open_node(sys, o->dev, O_RDONLY);
	uint8_t head[SC_EXT4_HEAD_SIZE];
	ssize_t n = fd < 0 ? fd : sc_pread_full(fd, head, sizeof(head), 0);

	if (n != (ssize_t)sizeof(head))
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR,
				  n < 0 ? (int)-n : EIO,
				  "cannot read the superblock on %s", o->name);
	o->block = sc_dm_fs_block(o->fs, head);
	if (!strcmp(o->fs, "ext4") && sc_ext4_journal_elsewhere(head))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the ext4 on %s has its journal on another device, which an image of one device would not have; " INSTEAD,
			o->name);
	return 0;
}

/* ---- the device ------------------------------------------------------------
 */

static int check_fs(int sys, int dir, struct sc_dm_origin *o,
		    struct sc_err *err)
{
	struct statfs fs;

	if (fstatfs(dir, &fs) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "statfs of a directory of the server");
	o->fs = fs_name(fs.f_type);
	o->used = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
	if (!strcmp(o->fs, "xfs") || !strcmp(o->fs, "ext4"))
		return check_mounts(o, err) < 0 ? -1
						: check_superblock(sys, o, err);
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"the file system on %s is %s, not XFS or ext4; " INSTEAD,
		o->name, o->fs);
}

/* The device is there, is of device-mapper, and nobody else works on it. */
static int check_device(int sys, int dir, struct sc_dm_origin *o,
			struct sc_err *err)
{
	struct sc_dm_info info;
	struct statfs fs;
	char name[256];

	if (!major(o->dev))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the files are on %s, not on one block device; use another provider",
			fstatfs(dir, &fs) < 0 ? "a file system of its own kind"
					      : fs_name(fs.f_type));
	if (!sc_sys_has(sys, o->dev, "dm"))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"%s, on which the files are, is no device-mapper device (no LVM volume): " INSTEAD,
			sc_sys_name(sys, o->dev, name, sizeof(name)));
	if (sc_dm_setup(err) < 0 || sc_dm_info(o->dev, &info, err) < 0)
		return -1;
	memcpy(o->name, info.name, sizeof(o->name));
	memcpy(o->uuid, info.uuid, sizeof(o->uuid));
	if (info.suspended)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the device %s is suspended by somebody else",
				  o->name);
	if (info.inactive)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"somebody is changing the device %s (it has an inactive table); `dmsetup clear %s` if nobody is",
			o->name, o->name);
	return 0;
}

/* The device runs through an image of ours already. */
static int check_ours(const struct sc_dm_origin *o, struct sc_err *err)
{
	struct sc_dm_info info;
	unsigned ma, mi;

	if (strcmp(o->table.targets[0].type, "snapshot-origin") != 0 ||
	    sscanf(o->table.targets[0].params, "%u:%u", &ma, &mi) != 2 ||
	    sc_dm_info(makedev(ma, mi), &info, err) != 1 ||
	    strncmp(info.uuid, SC_DM_UUID_PREFIX, strlen(SC_DM_UUID_PREFIX)))
		return sc_err_is_set(err) ? -1 : 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"there is an image of %s: of a clone that runs, or of a daemon that died (then `snapclone cleanup` removes it)",
		o->name);
}

static int has_crypt(const struct sc_dm_table *table)
{
	for (unsigned i = 0; i < table->n; i++) {
		if (!strcmp(table->targets[i].type, "crypt"))
			return 1;
	}
	return 0;
}

static int find(int sys, int dir, struct sc_dm_origin *o, struct sc_err *err)
{
	struct stat st;
	int rc;

	if (fstat(dir, &st) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "stat of a directory of the server");
	o->dev = st.st_dev;
	if (check_device(sys, dir, o, err) < 0 ||
	    sc_dm_read(o->dev, false, &o->table, err) < 0 ||
	    (o->table.n && check_ours(o, err) < 0) ||
	    sc_dm_table_copyable(&o->table, o->name, err) < 0 ||
	    check_fs(sys, dir, o, err) < 0)
		return -1;
	o->bytes = sc_dm_table_sectors(&o->table) * SC_DM_SECTOR;
	rc = has_crypt(&o->table) ? 1 : sc_sys_encrypted(sys, o->dev, err);
	o->encrypted = rc > 0;
	return rc < 0 ? -1 : 0;
}

int sc_dm_origin_find(int sys, int dir, struct sc_dm_origin *ret,
		      struct sc_err *err)
{
	int rc;

	*ret = (struct sc_dm_origin){ 0 };
	rc = find(sys, dir, ret, err);
	if (rc < 0)
		sc_dm_origin_free(ret);
	return rc;
}

void sc_dm_origin_free(struct sc_dm_origin *origin)
{
	sc_dm_table_free(&origin->table);
}
