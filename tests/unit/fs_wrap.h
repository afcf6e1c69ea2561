/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changes to the file system that the code under test makes, seen one by one:
 * a hook may end the process before any of them, let it fail, or note it.
 *
 * Only in a test that is linked with --wrap (FS_WRAPPED in the Makefile). There
 * fsync() does not reach the disk, whoever calls it, and every engine is the
 * one of plain system calls. One thread.
 */
#ifndef SC_TESTS_FS_WRAP_H
#define SC_TESTS_FS_WRAP_H

#include <stdbool.h>

enum fs_call {
	FS_OPEN, /* creates (made) or empties (emptied) a file */
	FS_MKDIR,
	FS_RENAME,
	FS_UNLINK, /* a directory too */
	FS_WRITE,  /* any change to the bytes of the regular file fd */
	FS_SYNC,   /* fsync of the file or directory fd */
	FS_LOCK,   /* flock */
};

struct fs_op {
	enum fs_call call;
	int fd; /* of a call on an open file; after FS_OPEN the new one */
	int dir, to_dir; /* of names, borrowed */
	const char *name, *to_name;
	bool made, emptied;
};

struct fs_hooks {
	/* 0, or the errno to fail with. */
	int (*before)(const struct fs_op *op);
	/* Of calls that worked. */
	void (*after)(const struct fs_op *op);
};

/* Empty: calls go through. Hooks' own calls are not hooked. */
extern struct fs_hooks fs_hooks;

const char *fs_call_name(enum fs_call call);

#endif
