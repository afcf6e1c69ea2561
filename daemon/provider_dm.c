/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `dm` provider: snapshots of the block devices under the directories of
 * tablespaces, made through device-mapper. One of each device that one of them
 * is on or that is mounted below; several are not of one moment, so the
 * recipient recovers from the checkpoint read before the first (design, step
 * 3). What is mounted below and cannot be had as an image is read from the
 * running files. A device with nothing but the redo log has no image: what is
 * needed of it is followed.
 */
#include "daemon/provider.h"

#include "daemon/dm_mount.h"
#include "daemon/dm_view.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- can it? ------------------------------------------------------------- */

static int check_user(struct sc_err *err)
{
	if (geteuid() == 0)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"only root may make images of devices: run snapcloned as a service");
}

/* Another device's answer, after what `why` has. 0, or -1 when that ends it.
 * needed: there is no other way to read it. */
static int probe_mount(const struct sc_image_request *request,
		       const struct sc_mount *m, bool needed, char *why,
		       struct sc_err *err)
{
	struct sc_err refused = SC_ERR_INIT;
	char text[SC_WHY_SIZE] = "";
	size_t len = strlen(why);
	int rc = sc_dm_share_probe(&request->config->dm, m->dir,
				   request->asked_us, text, sizeof(text),
				   &refused);

	if (rc < 0 && needed)
		return sc_err_set(err, refused.code, "%s: %s", m->path,
				  refused.msg);
	if (rc < 0)
		snprintf(why + len, SC_WHY_SIZE - len,
			 "; the running files in %s are read: %s", m->path,
			 refused.msg);
	else
		snprintf(why + len, SC_WHY_SIZE - len, "; %s: %s", m->path,
			 text);
	return 0;
}

/* It wants a device's image that no earlier one wants. */
static bool is_new(const struct sc_mounts *mounts, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (!mounts->mounts[k].later &&
		    mounts->mounts[k].dev == mounts->mounts[i].dev)
			return false;
	}
	return !mounts->mounts[i].later;
}

static int probe(const struct sc_image_request *request, char *why,
		 struct sc_err *err)
{
	unsigned roots = request->roots->n;
	struct sc_mounts mounts = { 0 };
	int rc;

	if (check_user(err) < 0 ||
	    sc_dm_share_probe(&request->config->dm, request->datadir,
			      request->asked_us, why, SC_WHY_SIZE, err) < 0 ||
	    sc_mounts_find(request->roots, &mounts, err) < 0)
		return -1;
	rc = 0;
	for (size_t i = 1; i < mounts.n && rc == 0; i++) {
		if (is_new(&mounts, i))
			rc = probe_mount(request, &mounts.mounts[i],
					 request->only || i < roots, why, err);
	}
	sc_mounts_free(&mounts);
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

/* ---- make it ------------------------------------------------------------- */

/* Those of the directories of tablespaces are needed; others need not be. */
static int open_mounts(struct image_dm *dm,
		       const struct sc_image_request *request,
		       struct sc_err *err)
{
	for (size_t i = 0; i < dm->roots.n; i++) {
		if (!dm->mounts.mounts[i].later &&
		    dm_view_open(dm, request, i, err) < 0)
			return i ? sc_err_context(err, "%s", dm->roots.path[i])
				 : -1;
	}
	for (size_t i = dm->roots.n; i < dm->mounts.n; i++) {
		const char *path = dm->mounts.mounts[i].path;
		struct sc_err why = SC_ERR_INIT;

		if (dm_view_open(dm, request, i, &why) == 0)
			continue;
		if (request->only)
			return sc_err_set(
				err, why.code,
				"%s: %s; HINT: clone_provider=AUTO reads the running files there",
				path, why.msg);
		sc_warning("provider dm: the running files in %s are read: %s",
			   path, why.msg);
	}
	return 0;
}

/* innodb_doublewrite_dir is on the data directory's own mount. */
static bool has_doublewrite(const struct sc_image_request *request)
{
	const char *path = request->doublewrite_dir;
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH |
					   RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_XDEV };
	CLEANUP_CLOSE int dir =
		(int)syscall(SYS_openat2, request->datadir, *path ? path : ".",
			     &how, sizeof(how));

	return dir >= 0;
}

/* One moment, or several? And is the redo log of that moment there? */
static int find_moment(struct image_dm *dm,
		       const struct sc_image_request *request,
		       struct sc_err *err)
{
	struct sc_dm_image *image = sc_dm_share_image(&dm->parts[0].user);
	bool elsewhere = dm->n_parts > 1 || !has_doublewrite(request);
	struct stat redo;

	for (size_t i = 0; i < dm->mounts.n; i++)
		elsewhere |= dm->dirs[i] < 0 && !dm->mounts.mounts[i].later;
	dm->base.atomic = !elsewhere;
	if (fstat(request->redo, &redo) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "stat of the redo log directory");
	if (!elsewhere && redo.st_dev == dm->parts[0].dev) {
		dm->base.redo =
			sc_dm_same_dir(image->mounted, request->redo, err);
		return dm->base.redo < 0 ? -1 : 0;
	}
	sc_info("the server is on several devices%s: recovery of the clone begins at the checkpoint before the image",
		elsewhere ? ", which are not of one moment in the image" : "");
	return 0;
}

static int dm_open(const struct sc_image_request *request,
		   struct sc_image **ret, struct sc_err *err)
{
	struct image_dm *dm;

	if (dm_view_new(request, &dm, err) < 0)
		return -1;
	if (open_mounts(dm, request, err) < 0 ||
	    find_moment(dm, request, err) < 0) {
		dm->base.close(&dm->base);
		return -1;
	}
	*ret = &dm->base;
	return 0;
}

/* No root, no images. */
static bool can_have_images(void)
{
	return geteuid() == 0 &&
	       access("/sys/class/misc/device-mapper", F_OK) == 0;
}

static int dm_reap(const struct sc_config *config, struct sc_err *err)
{
	(void)config;
	return can_have_images() ? sc_dm_reap(err) : 0;
}

static bool dm_remains(const struct sc_config *config)
{
	(void)config;
	return can_have_images() && sc_dm_remains();
}

const struct sc_provider sc_provider_dm = { .name = "dm",
					    .probe = dm_probe,
					    .open = dm_open,
					    .reap = dm_reap,
					    .remains = dm_remains };
