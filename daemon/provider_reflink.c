/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `reflink` provider: a copy of each file that shares its extents, made
 * when the file is first opened, that is while the files are listed. The copies
 * have no name, so nothing is left when the daemon dies. They are not of one
 * moment, but each page in them is whole (io/reflink.h): the recipient recovers
 * from the checkpoint read before the first file, as with `live`.
 *
 * Unless the provider was asked for, a file that cannot be shared is read as
 * `live` does, which the same checkpoint allows.
 */
#include "daemon/provider.h"

#include "daemon/reserve.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/direct.h"
#include "io/reflink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Descriptors that copies leave to the rest of the daemon: connections, open
 * files of streams, directories; of a low limit a quarter. */
#define FDS_FOR_OTHERS 2048

struct shared_file {
	char *path; /* owned */
	int copy;   /* owned; -1: the running file is read */
};

struct image_reflink {
	struct sc_image base;
	struct sc_image *running; /* owned; opens what has no copy */
	struct sc_reserve *reserve;
	bool only; /* what cannot be shared is an error */
	int fd_max;
	pthread_mutex_t lock; /* what follows */
	void *entries;	      /* tsearch(3) of struct shared_file by path */
	struct sc_reflink cost;
	size_t copies, not_shared;
};

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct shared_file *)a)->path,
		      ((const struct shared_file *)b)->path);
}

static void entry_free(void *arg)
{
	struct shared_file *e = arg;

	if (e->copy >= 0)
		close(e->copy);
	free(e->path);
	free(e);
}

/* As many descriptors as the system lets us have. */
static int raise_limit(void)
{
	struct rlimit limit;
	uint64_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	n = SC_MIN(limit.rlim_cur, (rlim_t)INT32_MAX);
	return (int)(n - SC_MIN(n / 4, (uint64_t)FDS_FOR_OTHERS));
}

/* A copy of a running file; a descriptor or -errno. It gets the time of the
 * last write that it surely has, by which a later one is seen. */
static int make_copy(struct image_reflink *image, const char *path, int src)
{
	int dir = sc_roots_place(image->base.roots, image->base.root, path).dir;
	int rc, copy = sc_reflink_tmpfile(dir);
	struct stat st;

	if (copy < 0)
		return copy;
	if (copy >= image->fd_max)
		rc = -EMFILE;
	else if (fstat(src, &st) < 0)
		rc = -errno;
	else
		rc = sc_reflink_file(&image->cost, src, copy, NULL);
	if (rc == 0 &&
	    futimens(copy, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
		rc = -errno;
	if (rc == 0)
		return copy;
	close(copy);
	return rc;
}

static const char *why_not(int sys_errno)
{
	if (sys_errno == EMFILE || sys_errno == ENFILE)
		return "too few descriptors; HINT: raise LimitNOFILE of the service or of mysqld";
	return strerrordesc_np(sys_errno);
}

/* A file that is met for the first time: 0, or -errno and no entry. */
static int add_entry(struct image_reflink *image, const char *path,
		     struct shared_file **ret)
{
	CLEANUP_CLOSE int src =
		image->running->open_file(image->running, path, false);
	struct shared_file *e;

	if (src < 0)
		return src;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->path = strdup(path);
	e->copy = make_copy(image, path, src);
	if (e->copy >= 0) {
		image->copies++;
	} else if (image->only) {
		int rc = e->copy;

		sc_warning("%s cannot be shared: %s", path, why_not(-rc));
		entry_free(e);
		return rc;
	} else if (!image->not_shared++) {
		sc_warning(
			"%s cannot be shared, and is read while the server runs, as are others of which the same is true: %s",
			path, why_not(-e->copy));
	}
	if (!e->path || !tsearch(e, &image->entries, by_path)) {
		entry_free(e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

/* The copy once more, with flags of its own. */
static int reopen(int copy, bool direct)
{
	char path[64];
	int fd = -EINVAL;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	if (direct) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
		fd = sc_direct_or_buffered(fd < 0 ? -errno : fd);
	}
	if (fd == -EINVAL) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	return fd;
}

static int reflink_open_file(struct sc_image *base, const char *path,
			     bool direct)
{
	struct image_reflink *image = (struct image_reflink *)base;
	struct shared_file key = { .path = (char *)path }, *e = NULL;
	struct shared_file **found;
	int rc = 0;

	SC_LOCK_SCOPE(&image->lock);
	found = tfind(&key, &image->entries, by_path);
	if (found)
		e = *found;
	else
		rc = add_entry(image, path, &e);
	base->swap_us = image->cost.longest_us;
	if (rc < 0)
		return rc;
	if (e->copy < 0)
		return image->running->open_file(image->running, path, direct);
	return reopen(e->copy, direct && !base->buffered);
}

static void drop_copies(struct image_reflink *image)
{
	sc_reserve_stop(image->reserve);
	image->reserve = NULL;
	tdestroy(image->entries, entry_free);
	image->entries = NULL;
}

static int reflink_undo(struct sc_image *base, struct sc_err *err)
{
	struct image_reflink *image = (struct image_reflink *)base;

	(void)err;
	drop_copies(image);
	sc_info("shared %zu files, %" PRIu64
		" MiB; the longest slice took %" PRIu64 ".%03" PRIu64
		" ms; %zu files were read while the server ran",
		image->copies, image->cost.bytes / SC_MIB,
		image->cost.longest_us / 1000, image->cost.longest_us % 1000,
		image->not_shared);
	return 0;
}

static void reflink_close(struct sc_image *base)
{
	struct image_reflink *image = (struct image_reflink *)base;

	drop_copies(image);
	if (image->running)
		image->running->close(image->running);
	pthread_mutex_destroy(&image->lock);
	free(image);
}

static bool reflink_probe(const struct sc_image_request *request, char *why)
{
	int rc = sc_reflink_try(request->datadir, request->datadir);

	if (rc == -EOPNOTSUPP || rc == -EINVAL || rc == -ENOTTY)
		snprintf(
			why, SC_WHY_SIZE,
			"the data directory's file system cannot share extents of files");
	else if (rc < 0)
		snprintf(why, SC_WHY_SIZE,
			 "no file can be made in the data directory: %s",
			 strerrordesc_np(-rc));
	else if (sc_reserve_has_room(request, why))
		snprintf(
			why, SC_WHY_SIZE,
			"the data directory's file system shares extents of files");
	else
		return false;
	return rc == 0;
}

static int reflink_open(const struct sc_image_request *request,
			struct sc_image **ret, struct sc_err *err)
{
	struct image_reflink *image = calloc(1, sizeof(*image));

	if (!image)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	image->base = (struct sc_image){ .open_file = reflink_open_file,
					 .undo = reflink_undo,
					 .close = reflink_close,
					 .provider = "reflink",
					 .root = request->datadir,
					 .roots = request->roots,
					 .redo = -1,
					 .buffered = request->buffered };
	pthread_mutex_init(&image->lock, NULL);
	image->only = request->only;
	image->fd_max = raise_limit();
	if (sc_provider_live.open(request, &image->running, err) < 0 ||
	    sc_reserve_start(request, &image->reserve, err) < 0) {
		reflink_close(&image->base);
		return -1;
	}
	*ret = &image->base;
	return 0;
}

const struct sc_provider sc_provider_reflink = { .name = "reflink",
						 .probe = reflink_probe,
						 .open = reflink_open };
