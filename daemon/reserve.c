/* SPDX-License-Identifier: GPL-2.0-only */
/* Watching the donor's free space; see reserve.h. */
#include "daemon/reserve.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/redo/files.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

/* How often the file system is asked; one call, of microseconds. */
#define WATCH_MS 100
/* The share of the file system that stays free. */
#define SHARE 100

struct sc_reserve {
	int datadir;
	const struct sc_roots *roots; /* as struct sc_image_request */
	uint64_t bytes;	 /* that stay free for the data directory */
	uint64_t option; /* image_reserve, for the other directories */
	void (*give_up)(void *ctx, const struct sc_err *why);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t changed;
	bool stop;
};

static int space(int datadir, uint64_t *ret_free, uint64_t *ret_total)
{
	struct statvfs vfs;

	if (fstatvfs(datadir, &vfs) < 0)
		return -errno;
	*ret_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	*ret_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
	return 0;
}

/* Bytes of the redo log, spare files included. */
static uint64_t redo_bytes(int dir)
{
	CLEANUP_REDO_FILES struct sc_redo_files files = { 0 };
	struct sc_err err = SC_ERR_INIT;
	uint64_t bytes;

	if (sc_redo_files_list(dir, &files, &err) < 0) {
		sc_warning(
			"image_reserve is without the size of the redo log: %s",
			err.msg);
		return 0;
	}
	bytes = files.spare_bytes;
	for (size_t i = 0; i < files.count; i++)
		bytes += files.file[i].size;
	return bytes;
}

uint64_t sc_reserve_bytes(const struct sc_image_request *request)
{
	uint64_t avail, total = 0;

	if (request->config->image_reserve)
		return request->config->image_reserve * SC_MIB;
	if (space(request->datadir, &avail, &total) < 0)
		sc_warning(
			"image_reserve is without a hundredth of the data directory's file system: its size cannot be read");
	return redo_bytes(request->redo) + total / SHARE;
}

/* reserve 0: a hundredth of the file system. */
static bool room_for(int dir, const char *name, uint64_t reserve, char *why)
{
	uint64_t avail = 0, total = 0;
	int rc = space(dir, &avail, &total);

	if (!reserve)
		reserve = total / SHARE;
	if (rc < 0)
		snprintf(why, SC_WHY_SIZE,
			 "the free space of %.100s is not known: %s", name,
			 strerrordesc_np(-rc));
	else if (avail < reserve)
		snprintf(
			why, SC_WHY_SIZE,
			"%" PRIu64
			" MiB are free for %.100s, less than the reserve of %" PRIu64
			" MiB (option image_reserve)",
			avail / SC_MIB, name, reserve / SC_MIB);
	else
		return true;
	return false;
}

/* For the data directory and the other directories of tablespaces. */
static bool has_room(int datadir, uint64_t bytes, const struct sc_roots *roots,
		     uint64_t option, char *why)
{
	if (!room_for(datadir, "the data directory", bytes, why))
		return false;
	for (unsigned i = 1; roots && i < roots->n; i++) {
		if (sc_roots_in_image(roots, i) &&
		    !room_for(roots->fd[i], roots->path[i], option, why))
			return false;
	}
	return true;
}

bool sc_reserve_has_room(const struct sc_image_request *request, char *why)
{
	return has_room(request->datadir, sc_reserve_bytes(request),
			request->roots, request->config->image_reserve * SC_MIB,
			why);
}

static void give_up(struct sc_reserve *r, const char *why)
{
	struct sc_err err = SC_ERR_INIT;

	sc_err_set(&err, SC_ER_CLONE_DISK_SPACE,
		   "the image of the donor's files was given up: %s", why);
	sc_warning("%s", err.msg);
	r->give_up(r->ctx, &err);
}

static void *watch(void *arg)
{
	struct sc_reserve *r = arg;
	char why[SC_WHY_SIZE];

	for (;;) {
		struct timespec until = sc_after_ms(CLOCK_MONOTONIC, WATCH_MS);
		bool stop;

		if (!has_room(r->datadir, r->bytes, r->roots, r->option, why)) {
			give_up(r, why);
			return NULL;
		}
		pthread_mutex_lock(&r->lock);
		while (!r->stop && pthread_cond_timedwait(&r->changed, &r->lock,
							  &until) != ETIMEDOUT)
			;
		stop = r->stop;
		pthread_mutex_unlock(&r->lock);
		if (stop)
			return NULL;
	}
}

static void reserve_free(struct sc_reserve *r)
{
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int sc_reserve_start(const struct sc_image_request *request,
		     struct sc_reserve **ret, struct sc_err *err)
{
	struct sc_reserve *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;
	int rc;

	if (!r)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	r->datadir = request->datadir;
	r->roots = request->roots;
	r->bytes = sc_reserve_bytes(request);
	r->option = request->config->image_reserve * SC_MIB;
	r->give_up = request->give_up;
	r->ctx = request->ctx;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
	rc = pthread_create(&r->thread, NULL, watch, r);
	if (rc) {
		reserve_free(r);
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot watch the free space");
	}
	*ret = r;
	return 0;
}

void sc_reserve_stop(struct sc_reserve *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	reserve_free(r);
}
