/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The daemon's half of a fault campaign, see board.h: the calls that can fail
 * are wrapped by the linker (FAULT_WRAPPED in the Makefile). Without a board
 * they are the calls themselves.
 */
#include "tests/fault/board.h"

#include "io/base/step.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Linux 6.1; older headers do not have it. */
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000u
#endif

static struct fault_board *board;

void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __real_openat(int dir, const char *path, int flags, ...);

__attribute__((constructor)) static void find_board(void)
{
	const char *path = getenv("SNAPCLONE_FAULT_BOARD");
	int fd = path ? __real_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (!path)
		return;
	p = __real_mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	if (fd < 0 || p == MAP_FAILED)
		abort();
	close(fd);
	board = p;
}

void sc_step_report(const char *table, const char *step)
{
	unsigned n;

	if (!board)
		return;
	n = board->n_marks;
	if (n == FAULT_MAX_MARKS)
		abort();
	for (int i = 0; i < FAULT_CLASSES; i++)
		board->marks[n].seen[i] = board->seen[i];
	snprintf(board->marks[n].step, FAULT_NAME, "%s:%s", table, step);
	board->n_marks = n + 1;
}

/* Count a call; true when it is the one. */
static bool is_it(enum fault_class class, const char *call)
{
	uint64_t n;

	if (!board)
		return false;
	n = ++board->seen[class];
	if (board->class != class || board->at != n)
		return false;
	snprintf(board->call, FAULT_NAME, "%s", call);
	board->after = board->n_marks;
	board->hit = true;
	return true;
}

static bool fails(enum fault_class class, const char *call)
{
	if (!is_it(class, call))
		return false;
	errno = board->error;
	return true;
}

/* WRAP(class, returned when it fails, type, name, (parameters), (arguments)) */
#define WRAP(class, bad, type, name, params, args)                             \
	type __real_##name params;                                             \
	type __wrap_##name params;                                             \
	type __wrap_##name params                                              \
	{                                                                      \
		return fails(class, #name) ? (bad) : __real_##name args;       \
	}

WRAP(FAULT_MEMORY, NULL, void *, malloc, (size_t n), (n))
WRAP(FAULT_MEMORY, NULL, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(FAULT_MEMORY, NULL, void *, realloc, (void *p, size_t n), (p, n))
WRAP(FAULT_MEMORY, NULL, void *, reallocarray, (void *p, size_t n, size_t size),
     (p, n, size))
WRAP(FAULT_MEMORY, NULL, char *, strdup, (const char *s), (s))
WRAP(FAULT_MEMORY, EAGAIN, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *),
      void *arg),
     (thread, attr, run, arg))

WRAP(FAULT_MEMORY, ENOMEM, int, posix_memalign,
     (void **p, size_t align, size_t n), (p, align, n))
/* What libcrypto allocates. */
WRAP(FAULT_MEMORY, NULL, EVP_CIPHER *, EVP_CIPHER_fetch,
     (OSSL_LIB_CTX * lib, const char *name, const char *properties),
     (lib, name, properties))
WRAP(FAULT_MEMORY, NULL, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), ())

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	return fails(FAULT_MEMORY, "mmap")
		       ? MAP_FAILED
		       : __real_mmap(at, len, prot, flags, fd, off);
}

WRAP(FAULT_READ, -1, ssize_t, pread, (int fd, void *p, size_t n, off_t off),
     (fd, p, n, off))
WRAP(FAULT_READ, -1, int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(FAULT_READ, NULL, DIR *, fdopendir, (int fd), (fd))
WRAP(FAULT_READ, NULL, struct dirent *, readdir, (DIR * dir), (dir))
WRAP(FAULT_READ, -1, int, fstatat,
     (int dir, const char *path, struct stat *st, int flags),
     (dir, path, st, flags))
WRAP(FAULT_READ, -1, int, fstatfs, (int fd, struct statfs *fs), (fd, fs))
WRAP(FAULT_READ, -1, int, fstatvfs, (int fd, struct statvfs *fs), (fd, fs))
WRAP(FAULT_READ, -1, int, fsopen, (const char *type, unsigned flags),
     (type, flags))
WRAP(FAULT_READ, -1, int, fsconfig,
     (int fd, unsigned cmd, const char *key, const void *value, int aux),
     (fd, cmd, key, value, aux))
WRAP(FAULT_READ, -1, int, fsmount, (int fd, unsigned flags, unsigned attrs),
     (fd, flags, attrs))

WRAP(FAULT_WRITE, -1, ssize_t, pwrite,
     (int fd, const void *p, size_t n, off_t off), (fd, p, n, off))
WRAP(FAULT_WRITE, -1, ssize_t, write, (int fd, const void *p, size_t n),
     (fd, p, n))
WRAP(FAULT_WRITE, -1, int, mkdirat, (int dir, const char *path, mode_t mode),
     (dir, path, mode))
WRAP(FAULT_WRITE, -1, int, renameat,
     (int from_dir, const char *from, int dir, const char *path),
     (from_dir, from, dir, path))
WRAP(FAULT_WRITE, -1, int, unlinkat, (int dir, const char *path, int flags),
     (dir, path, flags))
WRAP(FAULT_WRITE, -1, int, ftruncate, (int fd, off_t len), (fd, len))
WRAP(FAULT_WRITE, -1, int, fallocate, (int fd, int mode, off_t off, off_t len),
     (fd, mode, off, len))
WRAP(FAULT_WRITE, -1, int, fsync, (int fd), (fd))
WRAP(FAULT_WRITE, -1, int, syncfs, (int fd), (fd))
WRAP(FAULT_WRITE, -1, int, futimens, (int fd, const struct timespec t[2]),
     (fd, t))
WRAP(FAULT_WRITE, -1, int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(FAULT_WRITE, -1, int, fchown, (int fd, uid_t uid, gid_t gid),
     (fd, uid, gid))
WRAP(FAULT_WRITE, -1, int, fchownat,
     (int dir, const char *path, uid_t uid, gid_t gid, int flags),
     (dir, path, uid, gid, flags))

static enum fault_class class_of(uint64_t flags)
{
	return flags & (O_CREAT | O_WRONLY | O_RDWR) ? FAULT_WRITE : FAULT_READ;
}

int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails(class_of((unsigned)flags), "openat")
		       ? -1
		       : __real_openat(dir, path, flags, mode);
}

/* What was locked can be unlocked. */
int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);
int __wrap_flock(int fd, int how)
{
	return how != LOCK_UN && fails(FAULT_WRITE, "flock")
		       ? -1
		       : __real_flock(fd, how);
}

int __real_statx(int dir, const char *path, int flags, unsigned mask,
		 struct statx *st);
int __wrap_statx(int dir, const char *path, int flags, unsigned mask,
		 struct statx *st);
int __wrap_statx(int dir, const char *path, int flags, unsigned mask,
		 struct statx *st)
{
	/* What O_DIRECT asks for is only a hint. */
	return mask != STATX_DIOALIGN && fails(FAULT_READ, "statx")
		       ? -1
		       : __real_statx(dir, path, flags, mask, st);
}

/* Sharing of extents and snapshots; all else only asks. */
static bool changes(unsigned long request)
{
	return request == FICLONERANGE || request == FS_IOC_SETFLAGS ||
	       request == BTRFS_IOC_SNAP_CREATE_V2 ||
	       request == BTRFS_IOC_SNAP_DESTROY;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	/* Attributes of files are asked for as a hint. */
	return request != FS_IOC_GETFLAGS &&
			       fails(changes(request) ? FAULT_WRITE
						      : FAULT_READ,
				     "ioctl")
		       ? -1
		       : __real_ioctl(fd, request, arg);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	const struct open_how *how;
	long a[4];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	how = (const struct open_how *)a[2];
	if (number == SYS_openat2 && fails(class_of(how->flags), "openat2"))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3]);
}

/* ---- sockets ------------------------------------------------------------- */

static enum fault_class family_of(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	return domain == AF_UNIX ? FAULT_CONTROL : FAULT_NET;
}

WRAP(family_of(fd), -1, ssize_t, sendmsg,
     (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
WRAP(family_of(fd), -1, ssize_t, recvmsg,
     (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
WRAP(FAULT_NET, -1, int, connect,
     (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
WRAP(family_of(fd), -1, int, accept4,
     (int fd, struct sockaddr *from, socklen_t *len, int flags),
     (fd, from, len, flags))

ssize_t __real_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags)
{
	enum fault_class class = family_of(fd);
	bool flip = class == FAULT_NET && is_it(FAULT_BITS, "recv");
	ssize_t got;

	if (fails(class, "recv"))
		return -1;
	got = __real_recv(fd, p, n, flags);
	if (flip && got > 0)
		((uint8_t *)p)[got / 2] ^= 0x10;
	return got;
}
