/* SPDX-License-Identifier: GPL-2.0-only */
/* Images of devices for the jobs of this process; see dm_share.h. */
#include "daemon/dm_share.h"

#include "daemon/dm_sysfs.h"
#include "daemon/dm_watch.h"
#include "daemon/left.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct sc_dm_shared {
	struct sc_dm_image *image;
	struct sc_dm_watch *watch;
	struct sc_dm_user *users;
	struct sc_dm_shared *next;
};

/* `lock` guards the list and is held while an image is made or undone, since
 * others may want the same, and while one is judged; `users` guards the users
 * of all images, so that the watching threads can tell them. */
static struct {
	pthread_mutex_t lock, users;
	struct sc_dm_shared *first;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER,
	  .users = PTHREAD_MUTEX_INITIALIZER };

/* all.lock is held. *ret: NULL when there is none of that device. 0, or -1 when
 * there is one that is older than the job. */
static int find_shared(int dir, uint64_t asked_us, struct sc_dm_shared **ret,
		       struct sc_err *err)
{
	struct sc_dm_shared *s = all.first;
	struct stat st;

	if (fstat(dir, &st) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "stat of a directory of the server");
	while (s && s->image->origin.dev != st.st_dev)
		s = s->next;
	*ret = s;
	if (!s || s->image->made_us >= asked_us)
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"another job has an image of %s, which is older than this one; try again when that job has ended",
		s->image->origin.name);
}

int sc_dm_share_probe(const struct sc_dm_settings *settings, int dir,
		      uint64_t asked_us, char *why, size_t cap,
		      struct sc_err *err)
{
	CLEANUP_CLOSE int sys = -1;
	struct sc_dm_origin origin;
	struct sc_dm_shared *s;
	uint64_t bytes;
	int rc;
	SC_LOCK_SCOPE(&all.lock);

	if (find_shared(dir, asked_us, &s, err) < 0)
		return -1;
	if (s) {
		snprintf(why, cap, "another job makes an image of %s",
			 s->image->origin.name);
		return 0;
	}
	sys = sc_sys_open(err);
	if (sys < 0 || sc_dm_origin_find(sys, dir, &origin, err) < 0)
		return -1;
	rc = sc_dm_cow_probe(sys, settings, &origin, &bytes, err);
	if (rc == 0)
		snprintf(why, cap,
			 "%s on the device %s, with room for %" PRIu64
			 " MiB of copy-on-write",
			 origin.fs, origin.name, bytes / SC_MIB);
	sc_dm_origin_free(&origin);
	return rc;
}

/* ---- the watching thread: everybody who reads it has to know ------------- */

static void lost(void *ctx, const struct sc_err *why)
{
	struct sc_dm_shared *s = ctx;
	SC_LOCK_SCOPE(&all.users);

	for (struct sc_dm_user *u = s->users; u; u = u->next)
		u->lost(u, why);
}

static void filled(void *ctx, const struct sc_dm_fill *fill)
{
	struct sc_dm_shared *s = ctx;
	SC_LOCK_SCOPE(&all.users);

	for (struct sc_dm_user *u = s->users; u; u = u->next)
		u->filled(u, fill);
}

/* ---- made, used, undone -------------------------------------------------- */

/* all.lock is held. */
static int make(const struct sc_dm_settings *settings, int dir,
		struct sc_dm_shared **ret, struct sc_err *err)
{
	struct sc_dm_watcher watcher = { .lost = lost, .filled = filled };
	struct sc_err undo = SC_ERR_INIT;
	struct sc_dm_shared *s = calloc(1, sizeof(*s));

	if (!s)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (sc_dm_image_open(settings, dir, &s->image, err) < 0) {
		free(s);
		return -1;
	}
	watcher.ctx = s;
	if (sc_dm_watch_start(s->image, &watcher, &s->watch, err) < 0) {
		if (sc_dm_image_close(s->image, NULL, &undo) < 0)
			sc_left_keep("dm", &undo);
		free(s);
		return -1;
	}
	s->next = all.first;
	all.first = s;
	*ret = s;
	return 0;
}

/* all.lock is held; nobody uses it any more. */
static int end(struct sc_dm_shared *s, uint64_t *ret_undo_us,
	       struct sc_err *err)
{
	struct sc_dm_shared **p = &all.first;
	int rc;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	sc_dm_watch_stop(s->watch);
	rc = sc_dm_image_close(s->image, ret_undo_us, err);
	free(s);
	return rc;
}

static void join(struct sc_dm_user *user, struct sc_dm_shared *s)
{
	SC_LOCK_SCOPE(&all.users);

	user->shared = s;
	user->next = s->users;
	s->users = user;
}

/* True when it was the last one. */
static bool leave(struct sc_dm_user *user)
{
	struct sc_dm_shared *s = user->shared;
	SC_LOCK_SCOPE(&all.users);

	for (struct sc_dm_user **p = &s->users; *p; p = &(*p)->next) {
		if (*p == user) {
			*p = user->next;
			break;
		}
	}
	user->shared = NULL;
	return !s->users;
}

int sc_dm_share_take(const struct sc_dm_settings *settings, int dir,
		     uint64_t asked_us, struct sc_dm_user *user,
		     uint64_t *ret_swap_us, struct sc_err *err)
{
	struct sc_dm_shared *s;
	bool old;
	SC_LOCK_SCOPE(&all.lock);

	if (find_shared(dir, asked_us, &s, err) < 0)
		return -1;
	old = s;
	if (!old && make(settings, dir, &s, err) < 0)
		return -1;
	join(user, s);
	*ret_swap_us = old ? 0 : s->image->swap_us;
	if (old)
		sc_info("the image of %s that another job made is used",
			s->image->origin.name);
	return 0;
}

int sc_dm_share_drop(struct sc_dm_user *user, uint64_t *ret_undo_us,
		     struct sc_err *err)
{
	struct sc_dm_shared *s = user->shared;
	SC_LOCK_SCOPE(&all.lock);

	return leave(user) ? end(s, ret_undo_us, err) : 0;
}

struct sc_dm_image *sc_dm_share_image(const struct sc_dm_user *user)
{
	return user->shared->image;
}
