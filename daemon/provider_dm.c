/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `dm` provider: a snapshot of the block device under the data directory,
 * made through device-mapper. One of a device at a time; jobs that begin
 * together share it, those too whose data directories are different ones on
 * that device.
 */
#include "daemon/provider.h"

#include "daemon/dm_image.h"
#include "daemon/dm_mount.h"
#include "daemon/dm_sysfs.h"
#include "daemon/dm_watch.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* An image of a device, and who uses it. */
struct shared {
	struct sc_dm_image *image;
	struct sc_dm_watch *watch;
	struct image_dm *users;
	struct shared *next;
};

struct image_dm {
	struct sc_image base;
	struct shared *shared; /* NULL after undo() */
	void (*give_up)(void *ctx, const struct sc_err *why);
	void (*filled)(void *ctx, uint64_t used, uint64_t bytes);
	void *ctx;
	struct image_dm *next; /* user of the same image */
};

/* `lock` guards the lists and is held while an image is made or undone, since
 * others may want the same, and while one is judged; `users` guards the users
 * of all images, so that the watching thread can tell them. */
static struct {
	pthread_mutex_t lock, users;
	struct shared *first;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER,
	  .users = PTHREAD_MUTEX_INITIALIZER };

/* all.lock is held. */
static struct shared *find_shared(dev_t dev)
{
	for (struct shared *s = all.first; s; s = s->next) {
		if (s->image->origin.dev == dev)
			return s;
	}
	return NULL;
}

/* An image from before the job asked lacks what DDL did between, and the redo
 * from before is not read. */
static int check_age(const struct shared *s,
		     const struct sc_image_request *request, struct sc_err *err)
{
	if (s->image->made_us >= request->asked_us)
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"another job has an image of %s, which is older than this one; try again when that job has ended",
		s->image->origin.name);
}

/* ---- what it is asked for --------------------------------------------------
 */

/* Nothing below the data directory is mounted from elsewhere. */
static int check_mounts_below(int datadir, dev_t dev, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(datadir);
	struct dirent *de;
	struct stat st;

	if (!dir)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read the data directory");
	while ((de = sc_dir_next(dir))) {
		if (fstatat(datadir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0 ||
		    st.st_dev == dev)
			continue;
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"%s is on another device than the data directory",
			de->d_name);
	}
	return errno ? sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read the data directory")
		     : 0;
}

/* All of the server that an image has to have is on one device. */
static int check_request(const struct sc_image_request *request,
			 struct sc_err *err)
{
	struct stat datadir, redo;

	if (geteuid() != 0)
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"only root may make images of devices: run snapcloned as a service");
	if (fstat(request->datadir, &datadir) < 0 ||
	    fstat(request->redo, &redo) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "stat of the data directory");
	if (redo.st_dev != datadir.st_dev)
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"the redo log is on another device than the data directory");
	if (request->doublewrite_dir[0] == '/')
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"innodb_doublewrite_dir lies outside of the data directory");
	return check_mounts_below(request->datadir, datadir.st_dev, err);
}

static int probe(const struct sc_image_request *request, char *why,
		 struct sc_err *err)
{
	CLEANUP_CLOSE int sys = -1;
	struct sc_dm_origin origin;
	struct shared *s;
	struct stat st;
	uint64_t bytes;
	int rc;
	SC_LOCK_SCOPE(&all.lock);

	if (check_request(request, err) < 0)
		return -1;
	s = fstat(request->datadir, &st) < 0 ? NULL : find_shared(st.st_dev);
	if (s) {
		snprintf(why, SC_WHY_SIZE, "another job makes an image of %s",
			 s->image->origin.name);
		return check_age(s, request, err);
	}
	sys = sc_sys_open(err);
	if (sys < 0 ||
	    sc_dm_origin_find(sys, request->datadir, &origin, err) < 0)
		return -1;
	rc = sc_dm_cow_probe(sys, &request->config->dm, &origin, &bytes, err);
	if (rc == 0)
		snprintf(why, SC_WHY_SIZE,
			 "%s on the device %s, with room for %" PRIu64
			 " MiB of copy-on-write",
			 origin.fs, origin.name, bytes / SC_MIB);
	sc_dm_origin_free(&origin);
	return rc;
}

static bool dm_probe(const struct sc_image_request *request, char *why)
{
	struct sc_err err = SC_ERR_INIT;

	if (probe(request, why, &err) == 0)
		return true;
	snprintf(why, SC_WHY_SIZE, "%.*s", SC_WHY_SIZE - 1, err.msg);
	return false;
}

/* ---- shared images ---------------------------------------------------------
 */

/* The watching thread: everybody who reads it has to know. */
static void lost(void *ctx, const struct sc_err *why)
{
	struct shared *s = ctx;
	SC_LOCK_SCOPE(&all.users);

	for (struct image_dm *u = s->users; u; u = u->next)
		u->give_up(u->ctx, why);
}

static void filled(void *ctx, const struct sc_dm_fill *fill)
{
	struct shared *s = ctx;
	SC_LOCK_SCOPE(&all.users);

	for (struct image_dm *u = s->users; u; u = u->next) {
		if (u->filled)
			u->filled(u->ctx, fill->used, fill->total);
	}
}

/* all.lock is held. */
static int make_shared(const struct sc_image_request *request,
		       struct shared **ret, struct sc_err *err)
{
	struct sc_dm_watcher watcher = { .lost = lost, .filled = filled };
	struct sc_err ignored = SC_ERR_INIT;
	struct shared *s = calloc(1, sizeof(*s));

	if (!s)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (sc_dm_image_open(&request->config->dm, request->datadir, &s->image,
			     err) < 0) {
		free(s);
		return -1;
	}
	watcher.ctx = s;
	if (sc_dm_watch_start(s->image, &watcher, &s->watch, err) < 0) {
		(void)sc_dm_image_close(s->image, NULL, &ignored);
		free(s);
		return -1;
	}
	s->next = all.first;
	all.first = s;
	*ret = s;
	return 0;
}

/* all.lock is held; nobody uses it any more. */
static int end_shared(struct shared *s, uint64_t *ret_undo_us,
		      struct sc_err *err)
{
	struct shared **p = &all.first;
	int rc;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	sc_dm_watch_stop(s->watch);
	rc = sc_dm_image_close(s->image, ret_undo_us, err);
	free(s);
	return rc;
}

static void join(struct image_dm *dm, struct shared *s)
{
	SC_LOCK_SCOPE(&all.users);

	dm->shared = s;
	dm->next = s->users;
	s->users = dm;
}

/* True when it was the last one. */
static bool leave(struct image_dm *dm)
{
	struct shared *s = dm->shared;
	SC_LOCK_SCOPE(&all.users);

	for (struct image_dm **p = &s->users; *p; p = &(*p)->next) {
		if (*p == dm) {
			*p = dm->next;
			break;
		}
	}
	dm->shared = NULL;
	return !s->users;
}

/* ---- one job's view --------------------------------------------------------
 */

static int dm_open_file(struct sc_image *image, const char *path, bool direct)
{
	/* Also where the server uses the page cache: nobody else reads these
	 * files, and the freeze has written all there was. */
	return sc_direct_open_beneath(image->root, path, O_RDONLY, direct);
}

static int dm_check(struct sc_image *image, struct sc_err *err)
{
	struct image_dm *dm = (struct image_dm *)image;

	return sc_dm_image_check(dm->shared->image, err);
}

static void close_dirs(struct image_dm *dm)
{
	if (dm->base.root >= 0)
		close(dm->base.root);
	if (dm->base.redo >= 0)
		close(dm->base.redo);
	dm->base.root = dm->base.redo = -1;
}

static int dm_undo(struct sc_image *image, struct sc_err *err)
{
	struct image_dm *dm = (struct image_dm *)image;
	struct shared *s = dm->shared;
	SC_LOCK_SCOPE(&all.lock);

	close_dirs(dm);
	return leave(dm) ? end_shared(s, &image->undo_us, err) : 0;
}

static void dm_close(struct sc_image *image)
{
	struct image_dm *dm = (struct image_dm *)image;
	struct sc_err err = SC_ERR_INIT;

	if (dm->shared && dm_undo(image, &err) < 0)
		sc_error("provider dm: %s", err.msg);
	free(dm);
}

static int open_dirs(struct image_dm *dm,
		     const struct sc_image_request *request, struct sc_err *err)
{
	int mounted = dm->shared->image->mounted;

	dm->base.root = sc_dm_same_dir(mounted, request->datadir, err);
	if (dm->base.root < 0)
		return -1;
	dm->base.redo = sc_dm_same_dir(mounted, request->redo, err);
	return dm->base.redo < 0 ? -1 : 0;
}

static struct image_dm *new_image(const struct sc_image_request *request)
{
	struct image_dm *dm = calloc(1, sizeof(*dm));

	if (!dm)
		return NULL;
	dm->base = (struct sc_image){ .open_file = dm_open_file,
				      .check = dm_check,
				      .undo = dm_undo,
				      .close = dm_close,
				      .provider = "dm",
				      .root = -1,
				      .redo = -1,
				      .atomic = true };
	dm->give_up = request->give_up;
	dm->filled = request->filled;
	dm->ctx = request->ctx;
	return dm;
}

/* all.lock is held. */
static int take_image(struct image_dm *dm,
		      const struct sc_image_request *request, dev_t dev,
		      struct sc_err *err)
{
	struct shared *s = find_shared(dev);
	bool old = s;

	if (old && check_age(s, request, err) < 0)
		return -1;
	if (!old && make_shared(request, &s, err) < 0)
		return -1;
	join(dm, s);
	if (open_dirs(dm, request, err) < 0)
		return -1;
	if (old)
		sc_info("the image of %s that another job made is used",
			s->image->origin.name);
	else
		dm->base.swap_us = s->image->swap_us;
	return 0;
}

static int dm_open(const struct sc_image_request *request,
		   struct sc_image **ret, struct sc_err *err)
{
	struct image_dm *dm = new_image(request);
	struct stat st;
	int rc;

	if (!dm)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (fstat(request->datadir, &st) < 0) {
		free(dm);
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "stat of the data directory");
	}
	pthread_mutex_lock(&all.lock);
	rc = take_image(dm, request, st.st_dev, err);
	pthread_mutex_unlock(&all.lock);
	if (rc < 0) {
		dm_close(&dm->base);
		return -1;
	}
	*ret = &dm->base;
	return 0;
}

static int dm_reap(const struct sc_config *config, struct sc_err *err)
{
	(void)config;
	/* No root, no images. */
	return geteuid() == 0 && access("/sys/class/misc/device-mapper",
					F_OK) == 0
		       ? sc_dm_reap(err)
		       : 0;
}

const struct sc_provider sc_provider_dm = { .name = "dm",
					    .one_directory = true,
					    .probe = dm_probe,
					    .open = dm_open,
					    .reap = dm_reap };
