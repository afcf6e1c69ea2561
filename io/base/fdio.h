/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whole reads and writes on descriptors, and directories addressed by
 * descriptor. All retry EINTR. Thread rule: any thread, all block.
 */
#ifndef SC_BASE_FDIO_H
#define SC_BASE_FDIO_H

#include "io/base/err.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Read up to len bytes at off; fewer only at the end of the file. Returns the
 * number of bytes or -errno. */
ssize_t sc_pread_full(int fd, void *buf, size_t len, uint64_t off);
/* Write all; returns 0 or -errno (a write that makes no progress is -EIO). */
int sc_pwrite_full(int fd, const void *buf, size_t len, uint64_t off);

/* The same where the descriptor stands, or at the end with O_APPEND. */
int sc_write_full(int fd, const void *buf, size_t len);

/* Step over n bytes that were sent, and over empty parts. */
void sc_msg_skip(struct msghdr *msg, size_t n);

/*
 * Open a name beneath a directory descriptor without following a symbolic link
 * and without leaving the directory. Source: openat2(2), RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS (Linux 5.6); ENOSYS or EPERM (seccomp filters) fall back
 * to a walk with O_NOFOLLOW per component, which gives the same guarantee.
 * path: relative. Returns a descriptor (O_CLOEXEC) or -errno.
 */
int sc_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/*
 * For calls that follow symbolic links on the way to a name (unlinkat(2),
 * renameat(2)): open the directory in which a relative path's last component
 * lies, as above. *base: that component, in path. Returns a descriptor (O_PATH)
 * or -errno.
 */
int sc_open_parent_beneath(int dirfd, const char *path, const char **base);
/* unlinkat(2) beneath a directory, likewise. Returns 0 or -errno. */
int sc_unlink_beneath(int dirfd, const char *path, int flags);

/*
 * Create the directories of a relative file path below dirfd that do not exist
 * (mode 0750, owner uid:gid). Returns 0 or -errno.
 */
int sc_mkdirs_for(int dirfd, const char *path, uid_t uid, gid_t gid);

/* A DIR stream of its own for a directory descriptor, which stays as it is.
 * NULL with errno. closedir() it, or CLEANUP_CLOSEDIR. */
DIR *sc_dir_open(int dirfd);

/* The next entry that is neither "." nor "..". NULL with errno 0 at the end,
 * else with errno: the rest was not read. */
struct dirent *sc_dir_next(DIR *dir);

/* "." or "..". */
bool sc_is_dot(const char *name);

/*
 * Remove everything below a directory, not the directory itself. Does not
 * follow symbolic links nor cross into other file systems. Returns 0 or -1
 * with the first failure, after trying the rest.
 */
int sc_tree_remove(int dirfd, struct sc_err *err);

/* Create or replace a small file beneath dirfd: written, fsynced, renamed into
 * place. Returns 0 or -1. The caller fsyncs the directory. */
int sc_write_file(int dirfd, const char *name, const void *data, size_t len,
		  uid_t uid, gid_t gid, struct sc_err *err);

struct sc_small_file {
	const char *name;
	const void *data;
	size_t len;
};

/* The same for up to SC_SMALL_FILES_MAX files, for little more than the cost of
 * one: all are written before the first is renamed. After a failure each is
 * the old or the new one. */
#define SC_SMALL_FILES_MAX 4
int sc_write_files(int dirfd, const struct sc_small_file *files, size_t n,
		   uid_t uid, gid_t gid, struct sc_err *err);

/* fsync the directory itself and every directory below it. Those that vanish
 * meanwhile or may not be read (lost+found) hold nothing of ours. */
int sc_tree_sync_dirs(int root, struct sc_err *err);

#endif
