/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a job has of images of devices: the image that the provider `dm` makes
 * (provider_dm.c) and everybody reads (dm_view.c).
 */
#ifndef SC_DAEMON_DM_VIEW_H
#define SC_DAEMON_DM_VIEW_H

#include "daemon/dm_share.h"
#include "daemon/mounts.h"
#include "daemon/provider.h"

/* A device of which the job has an image. */
struct part {
	struct sc_dm_user user; /* ctx: the image_dm */
	dev_t dev;
	struct sc_dm_fill fill; /* as told last */
};

struct image_dm {
	struct sc_image base;
	struct sc_roots roots; /* descriptors: of dirs */
	struct sc_mounts mounts;
	int *dirs; /* of each mount: in the image; -1: the running files */
	struct part *parts; /* room for one of each mount */
	size_t n_parts;
	void (*give_up)(void *ctx, const struct sc_err *why);
	void (*filled)(void *ctx, uint64_t used, uint64_t bytes);
	void *ctx;
};

/* Find what is mounted; there is no image of anything yet. 0 with *ret to be
 * freed by its close(), or -1. */
int dm_view_new(const struct sc_image_request *request, struct image_dm **ret,
		struct sc_err *err);

/* Have an image of the device of mount i, when there is none yet, and open the
 * same directory in it. 0, or -1: the running files are read there, which a
 * directory of tablespaces itself is not made for. */
int dm_view_open(struct image_dm *dm, const struct sc_image_request *request,
		 size_t i, struct sc_err *err);

#endif
