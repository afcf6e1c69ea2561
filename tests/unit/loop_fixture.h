/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File systems on loop devices, mounted where only this process sees them: a
 * mount namespace of its own, so that nothing stays when it is killed. Needs
 * root and the mkfs tools. One thread.
 */
#ifndef SC_TESTS_LOOP_FIXTURE_H
#define SC_TESTS_LOOP_FIXTURE_H

struct loop_fs {
	char path[128];	  /* of the mount */
	char image[128];  /* of the file behind it */
	char reason[256]; /* why there is none */
};

/*
 * dir: where image and mount point are made. mkfs: the command, without the
 * device ("mkfs.ext4 -q"), or "tmpfs". sector: logical block of the device,
 * bytes. 0, or -1 with the reason.
 */
int loop_fs_mount(struct loop_fs *fs, const char *dir, const char *mkfs,
		  unsigned sector, unsigned size_mib);

/* 0, or -1 when something still uses it. */
int loop_fs_umount(struct loop_fs *fs);

#endif
