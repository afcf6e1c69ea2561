/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `btrfs` provider: a read-only snapshot of the subvolume that the data
 * directory lies in. Of one moment, as after a power cut; with the redo log in
 * it when that is in the same subvolume. See daemon/btrfs.h for where it lies
 * and who removes it.
 */
#include "daemon/provider.h"

#include "daemon/btrfs.h"
#include "daemon/conn.h"
#include "daemon/left.h"
#include "daemon/reserve.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct image_btrfs {
	struct sc_image base;  /* root, redo: owned, in the snapshot */
	struct sc_roots roots; /* likewise but for the first, which is root */
	struct sc_reserve *reserve;
	int top;      /* of the file system, owned; -1 = none */
	int snapshot; /* root of ours, owned, with the lock; -1 = there is none
		       */
	char name[SC_BTRFS_NAME_SIZE];
};

static int btrfs_open_file(struct sc_image *image, const char *path,
			   bool direct)
{
	struct sc_place place = sc_roots_place(image->roots, image->root, path);

	return sc_direct_open_beneath(place.dir, place.path, O_RDONLY,
				      direct && !image->buffered);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int btrfs_undo(struct sc_image *base, struct sc_err *err)
{
	struct image_btrfs *image = (struct image_btrfs *)base;
	uint64_t began = sc_clock_us(CLOCK_MONOTONIC);
	int rc = 0;

	sc_reserve_stop(image->reserve);
	image->reserve = NULL;
	for (unsigned i = 1; i < image->roots.n; i++)
		close_fd(&image->roots.fd[i]);
	close_fd(&base->root);
	close_fd(&base->redo);
	if (image->snapshot >= 0)
		rc = sc_btrfs_remove(image->top, image->name, err);
	close_fd(&image->snapshot);
	close_fd(&image->top);
	base->undo_us = sc_clock_us(CLOCK_MONOTONIC) - began;
	return rc;
}

static void btrfs_close(struct sc_image *base)
{
	struct sc_err err = SC_ERR_INIT;

	if (btrfs_undo(base, &err) < 0)
		sc_left_keep("btrfs", &err);
	free(base);
}

/* ---- can it? ------------------------------------------------------------- */

static bool refuse(char *why, const char *text)
{
	snprintf(why, SC_WHY_SIZE, "%s", text);
	return false;
}

static bool no_nested(int dir, const char *name, char *why)
{
	char path[1024];
	int rc = sc_btrfs_nested(dir, path, sizeof(path));

	if (rc == 0)
		return true;
	if (rc < 0)
		snprintf(why, SC_WHY_SIZE,
			 "%.100s cannot be searched for subvolumes: %s", name,
			 strerrordesc_np(-rc));
	else
		snprintf(
			why, SC_WHY_SIZE,
			"%.80s in %.80s is a subvolume or file system of its own, which a snapshot does not have",
			path, name);
	return false;
}

/* Every subvolume of every btrfs has a device number of its own; ids are those
 * of one file system. */
static bool same_subvolume(int dir, int other)
{
	struct stat a, b;

	return fstat(dir, &a) == 0 && fstat(other, &b) == 0 &&
	       a.st_dev == b.st_dev;
}

/* All directories of tablespaces lie in one subvolume. */
static bool in_one(const struct sc_image_request *request, char *why)
{
	const struct sc_roots *roots = request->roots;

	if (!no_nested(request->datadir, "the data directory", why))
		return false;
	for (unsigned i = 1; roots && i < roots->n; i++) {
		if (!sc_roots_in_image(roots, i))
			continue;
		if (!same_subvolume(request->datadir, roots->fd[i])) {
			snprintf(
				why, SC_WHY_SIZE,
				"%.150s is not in the data directory's subvolume",
				roots->path[i]);
			return false;
		}
		if (!no_nested(roots->fd[i], roots->path[i], why))
			return false;
	}
	return true;
}

static bool btrfs_probe(const struct sc_image_request *request, char *why)
{
	CLEANUP_CLOSE int top = -1;

	if (!sc_btrfs_is(request->datadir))
		return refuse(why, "the data directory is not on btrfs");
	if (request->doublewrite_dir[0] == '/')
		return refuse(
			why,
			"innodb_doublewrite_dir lies outside the data directory");
	top = sc_btrfs_mount(request->datadir, 0);
	if (top == -EPERM || top == -EACCES)
		return refuse(
			why,
			"snapshots need CAP_SYS_ADMIN, which only the service has");
	if (top < 0) {
		snprintf(why, SC_WHY_SIZE,
			 "the top of the file system cannot be mounted: %s",
			 strerrordesc_np(-top));
		return false;
	}
	if (!in_one(request, why) || !sc_reserve_has_room(request, why))
		return false;
	snprintf(why, SC_WHY_SIZE, "the data directory is on btrfs");
	return true;
}

/* ---- make it ------------------------------------------------------------- */

static int not_found(struct sc_err *err, int sys_errno, const char *what)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot find the %s in its subvolume", what);
}

/* The directory of the running server as it is in the snapshot, which keeps
 * inode numbers; a descriptor, or -1. */
static int open_in_snapshot(const struct image_btrfs *image, int running,
			    const struct sc_btrfs_place *place,
			    const char *what, struct sc_err *err)
{
	int fd = *place->path ? sc_open_beneath(image->snapshot, place->path,
						O_RDONLY | O_DIRECTORY, 0)
			      : fcntl(image->snapshot, F_DUPFD_CLOEXEC, 0);
	struct stat a, b;

	if (fd < 0)
		return not_found(err, *place->path ? -fd : errno, what);
	if (fstat(fd, &a) == 0 && fstat(running, &b) == 0 &&
	    a.st_ino == b.st_ino)
		return fd;
	close(fd);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "the %s is another one in the snapshot (%s)", what,
			  place->path);
}

static int make_snapshot(struct image_btrfs *image,
			 const struct sc_image_request *request,
			 uint64_t subvolume, struct sc_err *err)
{
	CLEANUP_CLOSE int source = sc_btrfs_mount(request->datadir, subvolume);
	char id[2 * SC_JOB_ID_SIZE + 1];

	image->top = sc_btrfs_mount(request->datadir, 0);
	if (source < 0 || image->top < 0)
		return sc_err_sys(
			err, SC_ER_INTERNAL_ERROR,
			-(source < 0 ? source : image->top),
			"cannot mount the subvolume of the data directory");
	sc_job_id_hex(request->job_id, id);
	snprintf(image->name, sizeof(image->name), SC_BTRFS_PREFIX "%s", id);
	image->snapshot = sc_btrfs_snapshot(image->top, source, image->name,
					    &image->base.swap_us, err);
	return image->snapshot < 0 ? -1 : 0;
}

/* The further directories of tablespaces. */
static int open_roots(struct image_btrfs *image,
		      const struct sc_image_request *request,
		      struct sc_err *err)
{
	struct sc_roots *roots = &image->roots;
	struct sc_btrfs_place place;

	if (!request->roots)
		return 0;
	*roots = *request->roots;
	roots->fd[0] = image->base.root;
	for (unsigned i = 1; i < roots->n; i++)
		roots->fd[i] = -1;
	for (unsigned i = 1; i < roots->n; i++) {
		int rc;

		if (!sc_roots_in_image(roots, i))
			continue;
		rc = sc_btrfs_place(request->roots->fd[i], &place);
		if (rc < 0)
			return not_found(err, -rc, roots->path[i]);
		roots->fd[i] = open_in_snapshot(image, request->roots->fd[i],
						&place, roots->path[i], err);
		if (roots->fd[i] < 0)
			return -1;
	}
	image->base.roots = roots;
	return 0;
}

static int open_directories(struct image_btrfs *image,
			    const struct sc_image_request *request,
			    const struct sc_btrfs_place *place,
			    struct sc_err *err)
{
	struct sc_btrfs_place redo;
	int rc;

	image->base.root = open_in_snapshot(image, request->datadir, place,
					    "data directory", err);
	if (image->base.root < 0 || open_roots(image, request, err) < 0)
		return -1;
	/* Elsewhere: the checkpoint that the follower began with is C. */
	if (!same_subvolume(request->datadir, request->redo)) {
		sc_info("the redo log is not in the data directory's subvolume: recovery of the clone begins at the checkpoint before the snapshot");
		return 0;
	}
	rc = sc_btrfs_place(request->redo, &redo);
	if (rc < 0)
		return not_found(err, -rc, "redo directory");
	image->base.redo = open_in_snapshot(image, request->redo, &redo,
					    "redo directory", err);
	return image->base.redo < 0 ? -1 : 0;
}

static int btrfs_open(const struct sc_image_request *request,
		      struct sc_image **ret, struct sc_err *err)
{
	struct image_btrfs *image = calloc(1, sizeof(*image));
	struct sc_btrfs_place place;
	int rc;

	if (!image)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	image->top = image->snapshot = -1;
	image->base = (struct sc_image){ .open_file = btrfs_open_file,
					 .undo = btrfs_undo,
					 .close = btrfs_close,
					 .provider = "btrfs",
					 .root = -1,
					 .redo = -1,
					 .atomic = true,
					 .buffered = request->buffered };
	rc = sc_btrfs_place(request->datadir, &place);
	if (rc < 0)
		not_found(err, -rc, "data directory");
	else if (make_snapshot(image, request, place.subvolume, err) == 0 &&
		 open_directories(image, request, &place, err) == 0 &&
		 sc_reserve_start(request, &image->reserve, err) == 0) {
		*ret = &image->base;
		return 0;
	}
	btrfs_close(&image->base);
	return -1;
}

/* ---- after a crash ------------------------------------------------------- */

static int btrfs_reap(const struct sc_config *config, struct sc_err *err)
{
	(void)config;
	return sc_btrfs_reap(true, err);
}

static bool btrfs_remains(const struct sc_config *config)
{
	struct sc_err ignored = SC_ERR_INIT;

	(void)config;
	return sc_btrfs_reap(false, &ignored) != 0;
}

const struct sc_provider sc_provider_btrfs = { .name = "btrfs",
					       .probe = btrfs_probe,
					       .open = btrfs_open,
					       .reap = btrfs_reap,
					       .remains = btrfs_remains };
