/* SPDX-License-Identifier: GPL-2.0-only */
/* Making and removing the target directory; see target.h. */
#include "plugin/target.h"

#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/base/outside.h"
#include "plugin/raise.h"
#include "plugin/services.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As stock: ER_CANT_CREATE_DB with the directory and the errno. */
static int cannot_create(const char *path, int sys_errno, struct sc_err *err)
{
	sc_err_set(err, SC_ER_CANT_CREATE_DB,
		   "Can't create database '%.192s' (errno: %d - %s)", path,
		   sys_errno, strerrordesc_np(sys_errno));
	err->sys_errno = sys_errno;
	return -1;
}

/* Copy without the slashes at the end; split off the last component. */
static int set_path(struct sc_target *target, const char *data_dir,
		    struct sc_err *err)
{
	size_t len = strlen(data_dir);
	const char *base;

	while (len > 1 && data_dir[len - 1] == '/')
		len--;
	if (len < 2 || len >= sizeof(target->path))
		return cannot_create(data_dir, ENAMETOOLONG, err);
	memcpy(target->path, data_dir, len);
	target->path[len] = '\0';
	base = strrchr(target->path, '/') + 1;
	if (strlen(base) >= sizeof(target->name))
		return cannot_create(data_dir, ENAMETOOLONG, err);
	memcpy(target->name, base, strlen(base) + 1);
	return 0;
}

/* The first len bytes of path. Returns 0 or an errno. */
static int make_dir(struct sc_target *target, size_t len)
{
	char saved = target->path[len];
	int rc;

	target->path[len] = '\0';
	rc = mkdir(target->path, 0750) < 0 ? errno : 0;
	target->path[len] = saved;
	if (rc == 0)
		target->made[target->n_made++] = (uint16_t)len;
	return rc;
}

/* mkdir -p, but the target itself must not be there. Returns 0 or an errno. */
static int make_dirs(struct sc_target *target)
{
	const char *path = target->path;

	for (const char *slash = strchr(path + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		int rc = make_dir(target, (size_t)(slash - path));

		if (rc && rc != EEXIST)
			return rc;
	}
	return make_dir(target, strlen(path));
}

/* rmdir what was made, and nothing else, deepest first. */
static void unmake_dirs(struct sc_target *target)
{
	char path[sizeof(target->path)];

	memcpy(path, target->path, sizeof(path));
	while (target->n_made > 0) {
		path[target->made[--target->n_made]] = '\0';
		if (rmdir(path) < 0 && errno != ENOENT)
			sc_server_log(ST_LOG_WARNING, "cannot remove %s: %s",
				      path, strerrordesc_np(errno));
	}
}

static int open_both(struct sc_target *target)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	char *base = target->path + strlen(target->path) - strlen(target->name);
	char saved = *base;

	*base = '\0';
	target->parent_fd = open(target->path, flags);
	*base = saved;
	if (target->parent_fd < 0)
		return errno;
	target->fd =
		openat(target->parent_fd, target->name, flags | O_NOFOLLOW);
	return target->fd < 0 ? errno : 0;
}

int sc_target_make(struct sc_target *target, const char *data_dir,
		   struct sc_err *err)
{
	int rc;

	*target = (struct sc_target){ .fd = -1, .parent_fd = -1 };
	if (set_path(target, data_dir, err) < 0)
		return -1;
	rc = make_dirs(target);
	if (rc == 0)
		rc = open_both(target);
	if (rc == 0)
		return 0;
	unmake_dirs(target);
	sc_target_close(target);
	return cannot_create(data_dir, rc, err);
}

void sc_target_close(struct sc_target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	if (target->parent_fd >= 0)
		close(target->parent_fd);
	target->fd = target->parent_fd = -1;
}

static void cannot_clean_up(const struct sc_target *target,
			    const struct sc_err *err)
{
	sc_server_log(ST_LOG_WARNING, "cannot clean up %s: %s", target->path,
		      err->msg);
}

/* Whatever stays elsewhere, the directory goes: nobody must take it for a
 * clone. */
static void remove_content(const struct sc_target *target)
{
	struct sc_err outside = SC_ERR_INIT, inside = SC_ERR_INIT;

	if (sc_outside_remove(target->fd, &outside) < 0)
		cannot_clean_up(target, &outside);
	if (sc_tree_remove(target->fd, &inside) < 0)
		cannot_clean_up(target, &inside);
}

void sc_target_remove(struct sc_target *target)
{
	if (target->n_made)
		remove_content(target);
	unmake_dirs(target);
	sc_target_close(target);
}
