/* SPDX-License-Identifier: GPL-2.0-only */
/* The wrappers; see fs_wrap.h. Source: ld(1), --wrap. */
#include "tests/unit/fs_wrap.h"

#include "io/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Weak: this file is linked into tests without --wrap too. */
#define REAL(name, ...) __attribute__((weak)) __real_##name(__VA_ARGS__)

int REAL(openat, int dir, const char *name, int flags, ...);
long REAL(syscall, long number, ...);
int REAL(mkdirat, int dir, const char *name, mode_t mode);
int REAL(renameat, int dir, const char *name, int to_dir, const char *to_name);
int REAL(unlinkat, int dir, const char *name, int flags);
ssize_t REAL(write, int fd, const void *p, size_t len);
ssize_t REAL(pwrite, int fd, const void *p, size_t len, off_t off);
int REAL(ftruncate, int fd, off_t size);
int REAL(fallocate, int fd, int mode, off_t off, off_t len);
int REAL(flock, int fd, int how);

int __wrap_openat(int dir, const char *name, int flags, ...);
long __wrap_syscall(long number, ...);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_renameat(int dir, const char *name, int to_dir, const char *to_name);
int __wrap_unlinkat(int dir, const char *name, int flags);
ssize_t __wrap_write(int fd, const void *p, size_t len);
ssize_t __wrap_pwrite(int fd, const void *p, size_t len, off_t off);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fsync(int fd);
int __wrap_flock(int fd, int how);
struct sc_engine *__wrap_sc_engine_open(const struct sc_engine_params *params);

struct fs_hooks fs_hooks;

static bool busy; /* in a hook */

const char *fs_call_name(enum fs_call call)
{
	static const char *const names[] = { "open",   "mkdir", "rename",
					     "unlink", "write", "fsync",
					     "flock" };

	return names[call];
}

/* 0, or -1 with errno. */
static int before(const struct fs_op *op)
{
	int rc = 0;

	if (busy || !fs_hooks.before)
		return 0;
	busy = true;
	rc = fs_hooks.before(op);
	busy = false;
	errno = rc ? rc : errno;
	return rc ? -1 : 0;
}

static long after(const struct fs_op *op, long rc)
{
	int saved = errno;

	if (busy || rc < 0 || !fs_hooks.after)
		return rc;
	busy = true;
	fs_hooks.after(op);
	busy = false;
	errno = saved;
	return rc;
}

/* What an open would change: nothing, or op is filled and hooked. */
static bool changes(struct fs_op *op, int dir, const char *name, uint64_t flags)
{
	struct stat st;
	bool there;

	if (!(flags & (O_CREAT | O_TRUNC)))
		return false;
	there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	*op = (struct fs_op){ .call = FS_OPEN,
			      .fd = -1,
			      .dir = dir,
			      .name = name,
			      .made = flags & O_CREAT && !there,
			      .emptied = flags & O_TRUNC && there };
	return op->made || op->emptied;
}

int __wrap_openat(int dir, const char *name, int flags, ...)
{
	struct fs_op op;
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (!changes(&op, dir, name, (uint64_t)flags))
		return __real_openat(dir, name, flags, mode);
	if (before(&op) < 0)
		return -1;
	op.fd = __real_openat(dir, name, flags, mode);
	return (int)after(&op, op.fd);
}

/* openat2() has no wrapper in libc. */
long __wrap_syscall(long number, ...)
{
	const struct open_how *how;
	struct fs_op op;
	long arg[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);
	how = (const struct open_how *)arg[2];
	if (number != SYS_openat2 ||
	    !changes(&op, (int)arg[0], (const char *)arg[1], how->flags))
		return __real_syscall(number, arg[0], arg[1], arg[2], arg[3],
				      arg[4], arg[5]);
	if (before(&op) < 0)
		return -1;
	op.fd = (int)__real_syscall(number, arg[0], arg[1], arg[2], arg[3]);
	return after(&op, op.fd);
}

int __wrap_mkdirat(int dir, const char *name, mode_t mode)
{
	struct fs_op op = { .call = FS_MKDIR, .dir = dir, .name = name };
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (before(&op) < 0)
		return -1;
	return (int)after(&op, __real_mkdirat(dir, name, mode));
}

int __wrap_renameat(int dir, const char *name, int to_dir, const char *to_name)
{
	struct fs_op op = { .call = FS_RENAME,
			    .dir = dir,
			    .name = name,
			    .to_dir = to_dir,
			    .to_name = to_name };

	if (before(&op) < 0)
		return -1;
	return (int)after(&op, __real_renameat(dir, name, to_dir, to_name));
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	struct fs_op op = { .call = FS_UNLINK, .dir = dir, .name = name };

	if (before(&op) < 0)
		return -1;
	return (int)after(&op, __real_unlinkat(dir, name, flags));
}

/* Standard output and error may be regular files too. */
static bool is_data(int fd)
{
	struct stat st;

	return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	struct fs_op op = { .call = FS_WRITE, .fd = fd };

	if (!is_data(fd))
		return __real_write(fd, p, len);
	if (before(&op) < 0)
		return -1;
	return after(&op, __real_write(fd, p, len));
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t len, off_t off)
{
	struct fs_op op = { .call = FS_WRITE, .fd = fd };

	if (before(&op) < 0)
		return -1;
	return after(&op, __real_pwrite(fd, p, len, off));
}

int __wrap_ftruncate(int fd, off_t size)
{
	struct fs_op op = { .call = FS_WRITE, .fd = fd };

	if (before(&op) < 0)
		return -1;
	return (int)after(&op, __real_ftruncate(fd, size));
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
	struct fs_op op = { .call = FS_WRITE, .fd = fd };

	if (before(&op) < 0)
		return -1;
	return (int)after(&op, __real_fallocate(fd, mode, off, len));
}

int __wrap_fsync(int fd)
{
	struct fs_op op = { .call = FS_SYNC, .fd = fd };

	if (before(&op) < 0)
		return -1;
	return (int)after(&op, fcntl(fd, F_GETFD) < 0 ? -1 : 0);
}

int __wrap_flock(int fd, int how)
{
	struct fs_op op = { .call = FS_LOCK, .fd = fd };

	if (before(&op) < 0)
		return -1;
	return (int)after(&op, __real_flock(fd, how));
}

/* What goes through a ring is no system call of ours. Weak: another test wraps
 * the function in its own way. */
__attribute__((weak)) struct sc_engine *
__wrap_sc_engine_open(const struct sc_engine_params *params)
{
	(void)params;
	return sc_engine_sync_new();
}
