/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptor input and output; see fdio.h. No state. */
#include "io/base/fdio.h"

#include "io/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t sc_pread_full(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done,
				  (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int sc_pwrite_full(int fd, const void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done,
				   (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int sc_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

void sc_msg_skip(struct msghdr *msg, size_t n)
{
	while (msg->msg_iovlen && msg->msg_iov->iov_len <= n) {
		n -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (msg->msg_iovlen) {
		msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
		msg->msg_iov->iov_len -= n;
	}
}

static bool path_is_plain(const char *path)
{
	const char *p = path;

	if (*p == '\0' || *p == '/')
		return false;
	for (;;) {
		size_t len = strcspn(p, "/");

		if (len == 0 || (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (p[len] == '\0')
			return true;
		p += len + 1;
	}
}

/* The last step. With O_PATH, O_NOFOLLOW opens the link itself. */
static int open_last(int at, const char *name, int flags, mode_t mode)
{
	int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (flags & O_PATH && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
		close(fd);
		return -ELOOP;
	}
	return fd;
}

/* One O_NOFOLLOW step per component: for kernels or filters without openat2. */
static int open_by_steps(int dirfd, const char *path, int flags, mode_t mode)
{
	CLEANUP_CLOSE int held = -1;
	int at = dirfd;
	char name[256];

	for (;;) {
		size_t len = strcspn(path, "/");
		int fd;

		if (len >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		if (path[len] == '\0')
			return open_last(at, name, flags, mode);
		fd = openat(at, name,
			    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (held >= 0)
			close(held);
		held = at = fd;
		path += len + 1;
	}
}

int sc_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	/* O_TMPFILE contains O_DIRECTORY; a mode without use is EINVAL. */
	bool creates = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = creates ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	if (!path_is_plain(path))
		return -EINVAL;
	fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	if (fd >= 0)
		return (int)fd;
	if (errno == ENOSYS || errno == EPERM)
		return open_by_steps(dirfd, path, flags, mode);
	return -errno;
}

int sc_open_parent_beneath(int dirfd, const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];
	int fd;

	*base = slash ? slash + 1 : path;
	if (!slash) {
		fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	if ((size_t)(slash - path) >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	return sc_open_beneath(dirfd, dir, O_PATH | O_DIRECTORY, 0);
}

int sc_unlink_beneath(int dirfd, const char *path, int flags)
{
	const char *base;
	CLEANUP_CLOSE int dir = sc_open_parent_beneath(dirfd, path, &base);

	if (dir < 0)
		return dir;
	return unlinkat(dir, base, flags) < 0 ? -errno : 0;
}

/* mkdirat() and hand a new directory to its owner. */
static int make_dir(int at, const char *name, uid_t uid, gid_t gid)
{
	if (mkdirat(at, name, 0750) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (geteuid() == 0 &&
	    fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int sc_mkdirs_for(int dirfd, const char *path, uid_t uid, gid_t gid)
{
	char part[4096];
	const char *slash = path;

	if (!path_is_plain(path) || strlen(path) >= sizeof(part))
		return -EINVAL;
	while ((slash = strchr(slash, '/'))) {
		CLEANUP_CLOSE int parent = -1;
		size_t len = (size_t)(slash - path);
		char *base;
		int rc;

		memcpy(part, path, len);
		part[len] = '\0';
		base = strrchr(part, '/');
		if (base) {
			*base = '\0';
			parent = sc_open_beneath(dirfd, part,
						 O_PATH | O_DIRECTORY, 0);
			if (parent < 0)
				return parent;
		}
		rc = make_dir(base ? parent : dirfd, base ? base + 1 : part,
			      uid, gid);
		if (rc < 0)
			return rc;
		slash++;
	}
	return 0;
}

bool sc_is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

struct dirent *sc_dir_next(DIR *dir)
{
	struct dirent *de;

	do {
		errno = 0;
		de = readdir(dir);
	} while (de && sc_is_dot(de->d_name));
	return de;
}

DIR *sc_dir_open(int dirfd)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	/* A new access time would be one more transaction of the file system
	 * for each directory that is synced. Only its owner may ask for that
	 * (open(2)). */
	int fd = openat(dirfd, ".", flags | O_NOATIME);
	DIR *dir;

	if (fd < 0 && errno == EPERM)
		fd = openat(dirfd, ".", flags);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir && fd >= 0) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return dir;
}

static void remove_entry(int dirfd, const char *name, dev_t dev,
			 struct sc_err *err)
{
	CLEANUP_CLOSE int sub = -1;
	struct stat st;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return;
	if (errno != EISDIR && errno != EPERM)
		goto fail;
	sub = openat(dirfd, name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0 || fstat(sub, &st) < 0)
		goto fail;
	if (st.st_dev != dev) {
		sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"cannot remove %s: another file system is mounted there",
			name);
		return;
	}
	sc_tree_remove(sub, err);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return;
fail:
	sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "cannot remove %s", name);
}

int sc_tree_remove(int dirfd, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(dirfd);
	struct dirent *de;
	struct stat st;

	if (!dir || fstat(dirfd, &st) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read a directory to remove");
	while ((de = sc_dir_next(dir)))
		remove_entry(dirfd, de->d_name, st.st_dev, err);
	if (errno && !sc_err_is_set(err))
		sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			   "cannot read a directory to remove");
	return sc_err_is_set(err) ? -1 : 0;
}

int sc_tree_sync_dirs(int root, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(root);
	struct dirent *de;

	if (!dir)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read a directory to sync");
	while ((de = sc_dir_next(dir))) {
		CLEANUP_CLOSE int sub =
			openat(root, de->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (sub < 0 && errno != ENOTDIR && errno != ELOOP &&
		    errno != ENOENT && errno != EACCES)
			return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
					  "cannot open %s to sync", de->d_name);
		if (sub >= 0 && sc_tree_sync_dirs(sub, err) < 0)
			return -1;
	}
	if (errno)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read a directory to sync");
	/* The stream's own descriptor is open for reading, O_PATH would not do.
	 */
	if (fsync(dirfd(dir)) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot fsync a directory");
	return 0;
}
