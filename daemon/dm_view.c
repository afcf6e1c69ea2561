/* SPDX-License-Identifier: GPL-2.0-only */
/* A job's view of images of devices: reading, watching, undoing them; see
 * dm_view.h. */
#include "daemon/dm_view.h"

#include "daemon/dm_mount.h"
#include "daemon/left.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/direct.h"
#include "io/filelist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- what the watching threads say --------------------------------------- */

static void part_lost(struct sc_dm_user *user, const struct sc_err *why)
{
	struct image_dm *dm = user->ctx;

	dm->give_up(dm->ctx, why);
}

static uint64_t percent(const struct sc_dm_fill *fill)
{
	return fill->total ? fill->used * 100 / fill->total : 0;
}

/* Of several areas the fullest one is told. Nobody else looks at `fill`. */
static void part_filled(struct sc_dm_user *user, const struct sc_dm_fill *fill)
{
	struct part *part = (struct part *)user, *most = part;
	struct image_dm *dm = user->ctx;

	part->fill = *fill;
	for (size_t i = 0; i < dm->mounts.n; i++) {
		if (percent(&dm->parts[i].fill) > percent(&most->fill))
			most = &dm->parts[i];
	}
	if (dm->filled)
		dm->filled(dm->ctx, most->fill.used, most->fill.total);
}

/* ---- reading it ---------------------------------------------------------- */

/* path: as sc_mounts_of() takes it. */
static int open_at(struct image_dm *dm, const char *path, int flags,
		   bool direct)
{
	const char *rest;
	size_t i = sc_mounts_of(&dm->mounts, path, &rest);

	if (i == dm->mounts.n)
		return -ENOENT;
	if (!*rest)
		rest = ".";
	if (dm->dirs[i] < 0)
		return sc_direct_open_beneath(dm->mounts.mounts[i].dir, rest,
					      flags,
					      direct && !dm->base.buffered);
	/* Also where the server uses the page cache: nobody else reads these
	 * files, and the freeze has written all there was. */
	return sc_direct_open_beneath(dm->dirs[i], rest, flags, direct);
}

static int dm_open_file(struct sc_image *image, const char *name, bool direct)
{
	struct image_dm *dm = (struct image_dm *)image;
	char buf[SC_ROOT_PATH_MAX + SC_PATH_MAX];
	const char *path = sc_mounts_path(&dm->roots, name, buf, sizeof(buf));

	return path ? open_at(dm, path, O_RDONLY, direct) : -ENAMETOOLONG;
}

static int dm_open_dir(struct sc_image *image, const char *path)
{
	return open_at((struct image_dm *)image, path, O_RDONLY | O_DIRECTORY,
		       false);
}

static int dm_check(struct sc_image *image, struct sc_err *err)
{
	struct image_dm *dm = (struct image_dm *)image;

	for (size_t i = 0; i < dm->n_parts; i++) {
		if (sc_dm_image_check(sc_dm_share_image(&dm->parts[i].user),
				      err) < 0)
			return -1;
	}
	return 0;
}

static void close_dirs(struct image_dm *dm)
{
	for (size_t i = 0; dm->dirs && i < dm->mounts.n; i++) {
		if (dm->dirs[i] >= 0)
			close(dm->dirs[i]);
		dm->dirs[i] = -1;
	}
	if (dm->base.redo >= 0)
		close(dm->base.redo);
	dm->base.root = dm->base.redo = -1;
}

/* All are tried; the first failure is told, the others are logged. */
static int dm_undo(struct sc_image *image, struct sc_err *err)
{
	struct image_dm *dm = (struct image_dm *)image;

	close_dirs(dm);
	while (dm->n_parts) {
		struct part *part = &dm->parts[--dm->n_parts];
		struct sc_err why = SC_ERR_INIT;
		uint64_t us = 0;
		int rc = sc_dm_share_drop(&part->user, &us, &why);

		image->undo_us = SC_MAX(image->undo_us, us);
		if (rc < 0 && sc_err_is_set(err))
			sc_error("provider dm: %s", why.msg);
		else if (rc < 0)
			sc_err_set(err, why.code, "%s", why.msg);
	}
	return sc_err_is_set(err) ? -1 : 0;
}

static void dm_close(struct sc_image *image)
{
	struct image_dm *dm = (struct image_dm *)image;
	struct sc_err err = SC_ERR_INIT;

	if (dm_undo(image, &err) < 0)
		sc_left_keep("dm", &err);
	sc_mounts_free(&dm->mounts);
	free(dm->parts);
	free(dm->dirs);
	free(dm);
}

/* ---- making it ----------------------------------------------------------- */

static void set_up(struct image_dm *dm, const struct sc_image_request *request)
{
	dm->base = (struct sc_image){ .open_file = dm_open_file,
				      .check = dm_check,
				      .undo = dm_undo,
				      .close = dm_close,
				      .provider = "dm",
				      .root = -1,
				      .redo = -1,
				      .buffered = request->buffered };
	dm->roots = *request->roots;
	dm->base.roots = &dm->roots;
	dm->give_up = request->give_up;
	dm->filled = request->filled;
	dm->ctx = request->ctx;
}

static int find_mounts(struct image_dm *dm, struct sc_err *err)
{
	size_t n;

	if (sc_mounts_find(&dm->roots, &dm->mounts, err) < 0)
		return -1;
	n = dm->mounts.n;
	dm->parts = calloc(n, sizeof(*dm->parts));
	dm->dirs = malloc(n * sizeof(*dm->dirs));
	if (!dm->parts || !dm->dirs)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	for (size_t i = 0; i < n; i++)
		dm->dirs[i] = -1;
	if (n > dm->roots.n)
		dm->base.open_dir = dm_open_dir;
	return 0;
}

int dm_view_new(const struct sc_image_request *request, struct image_dm **ret,
		struct sc_err *err)
{
	struct image_dm *dm = calloc(1, sizeof(*dm));

	if (!dm)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	set_up(dm, request);
	if (find_mounts(dm, err) < 0) {
		dm_close(&dm->base);
		return -1;
	}
	*ret = dm;
	return 0;
}

/* The job's image of the device of a mount; NULL: it has none, yet. */
static struct part *find_part(struct image_dm *dm, const struct sc_mount *m)
{
	for (size_t i = 0; i < dm->n_parts; i++) {
		if (dm->parts[i].dev == m->dev)
			return &dm->parts[i];
	}
	return NULL;
}

static struct part *take_part(struct image_dm *dm,
			      const struct sc_image_request *request,
			      const struct sc_mount *m, struct sc_err *err)
{
	struct part *part = &dm->parts[dm->n_parts];
	uint64_t us;

	*part = (struct part){
		.user = { .lost = part_lost, .filled = part_filled, .ctx = dm },
		.dev = m->dev
	};
	if (sc_dm_share_take(&request->config->dm, m->dir, request->asked_us,
			     &part->user, &us, err) < 0)
		return NULL;
	dm->n_parts++;
	dm->base.swap_us = SC_MAX(dm->base.swap_us, us);
	return part;
}

int dm_view_open(struct image_dm *dm, const struct sc_image_request *request,
		 size_t i, struct sc_err *err)
{
	const struct sc_mount *m = &dm->mounts.mounts[i];
	struct part *part = find_part(dm, m);

	if (!part)
		part = take_part(dm, request, m, err);
	if (part)
		dm->dirs[i] = sc_dm_same_dir(
			sc_dm_share_image(&part->user)->mounted, m->dir, err);
	if (dm->dirs[i] < 0)
		return -1;
	if (i < dm->roots.n)
		dm->roots.fd[i] = dm->dirs[i];
	if (i == 0)
		dm->base.root = dm->dirs[i];
	return 0;
}
