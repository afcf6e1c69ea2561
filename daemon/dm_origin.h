/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a directory stands on: can the device under it be doubled and its file
 * system be mounted a second time? Any thread.
 */
#ifndef SC_DAEMON_DM_ORIGIN_H
#define SC_DAEMON_DM_ORIGIN_H

#include "daemon/dm_table.h"

struct sc_dm_origin {
	dev_t dev;
	char name[SC_DM_NAME_SIZE], uuid[SC_DM_UUID_SIZE];
	const char *fs; /* "xfs" or "ext4" */
	uint64_t bytes; /* size of the device */
	uint32_t block; /* smallest unit the file system reads, bytes */
	uint64_t used;	/* bytes in use on the file system */
	bool encrypted; /* it, or a layer under it */
	struct sc_dm_table table; /* owned */
};

/*
 * Look. dir: a descriptor of a directory on the file system. 0, or -1 where no
 * image can be made: err names the device and says why, and what to use
 * instead. Free with sc_dm_origin_free() when 0.
 */
int sc_dm_origin_find(int sys, int dir, struct sc_dm_origin *ret,
		      struct sc_err *err);
void sc_dm_origin_free(struct sc_dm_origin *origin);

/* In these mount options (of /proc/self/mountinfo) a device besides the main
 * one is named: its name, NULL when there is none. */
const char *sc_dm_second_device(const char *options, char *buf, size_t cap);

/* The journal of the ext4 whose first 2 KiB these are is on another device; the
 * journal needs recovery. Source: the kernel's filesystems/ext4/super.rst. */
#define SC_EXT4_HEAD_SIZE 2048
bool sc_ext4_journal_elsewhere(const uint8_t head[static SC_EXT4_HEAD_SIZE]);
bool sc_ext4_needs_recovery(const uint8_t head[static SC_EXT4_HEAD_SIZE]);

/* The smallest unit that the file system with this superblock reads: sectors of
 * XFS, blocks of ext4. Source: besides, fs/xfs/libxfs/xfs_format.h,
 * sb_sectsize. */
uint32_t sc_dm_fs_block(const char *fs,
			const uint8_t head[static SC_EXT4_HEAD_SIZE]);

#endif
