/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `live` provider: no image at all, the running server's own files. Not
 * atomic: the recipient recovers from the checkpoint read before the first
 * file (design, step 3).
 */
#include "daemon/provider.h"

#include "io/base/fdio.h"
#include "io/direct.h"
#include "io/filelist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Replaced as a whole (by rename) while the server runs: the one that was
 * there at the beginning is kept open, so that it has one size and content. */
#define KEPT_FILE SC_BUFFER_POOL_FILE

struct image_live {
	struct sc_image base;
	int kept; /* descriptor of KEPT_FILE, or -errno */
};

static int live_open_file(struct sc_image *image, const char *path, bool direct)
{
	struct image_live *live = (struct image_live *)image;
	struct sc_place place = sc_roots_place(image->roots, image->root, path);
	int fd;

	if (!strcmp(path, KEPT_FILE)) {
		if (live->kept < 0)
			return live->kept;
		fd = fcntl(live->kept, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	/* The server writes its data files with O_DIRECT by default: reading
	 * them the same way leaves its host's page cache alone. */
	return sc_direct_open_beneath(place.dir, place.path, O_RDONLY,
				      direct && !image->buffered);
}

static void live_close(struct sc_image *image)
{
	struct image_live *live = (struct image_live *)image;

	if (live->kept >= 0)
		close(live->kept);
	free(live);
}

static bool live_probe(const struct sc_image_request *request, char *why)
{
	(void)request;
	snprintf(why, SC_WHY_SIZE,
		 "the running files are read, which any file system can");
	return true;
}

static int live_open(const struct sc_image_request *request,
		     struct sc_image **ret, struct sc_err *err)
{
	struct image_live *live = calloc(1, sizeof(*live));

	if (!live)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	live->base = (struct sc_image){ .open_file = live_open_file,
					.close = live_close,
					.provider = "live",
					.live = true,
					.root = request->datadir,
					.roots = request->roots,
					.redo = -1,
					.buffered = request->buffered };
	live->kept = sc_open_beneath(request->datadir, KEPT_FILE, O_RDONLY, 0);
	*ret = &live->base;
	return 0;
}

const struct sc_provider sc_provider_live = { .name = "live",
					      .probe = live_probe,
					      .open = live_open };
