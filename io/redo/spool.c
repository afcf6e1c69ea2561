/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The spool. Positions change under the mutex, bytes move outside of it: the
 * writer owns the file behind `tail`, the reader what lies between `head` and
 * `tail`. Only the writer rewinds, and only while head == tail, when the
 * reader is not in the file; after a discard, when it may be, no more.
 */
#include "io/redo/spool.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Holes are punched in units of this; smaller queues are never punched. */
enum { PUNCH = 1 << 20, LIMIT_MIN = 64 << 10 };

struct sc_redo_spool {
	pthread_mutex_t lock; /* guards all below but fd and reader's */
	pthread_cond_t filled;
	int fd;		     /* owned */
	uint64_t punched;    /* reader's: file offset, multiple of PUNCH */
	bool cannot_punch;   /* reader's: it has said so */
	uint64_t head, tail; /* file offsets of the queued bytes */
	uint64_t tail_lsn;   /* LSN at tail, valid once begun */
	bool begun, ended;
	uint64_t limit;
	struct sc_redo_spool_stats stats;
	struct sc_err aborted;
};

/* A file with a name for an instant, for file systems without O_TMPFILE. */
static int named_then_unlinked(int dirfd)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/.redo-spool-XXXXXX",
		 dirfd);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (unlink(path)) {
		int saved = errno;

		close(fd);
		return -saved;
	}
	return fd;
}

static int open_unnamed(int dirfd)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	return named_then_unlinked(dirfd);
}

static void init_sync(struct sc_redo_spool *s)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->filled, &attr);
	pthread_condattr_destroy(&attr);
}

int sc_redo_spool_new(int dirfd, uint64_t limit_bytes,
		      struct sc_redo_spool **ret, struct sc_err *err)
{
	struct sc_redo_spool *s;
	int fd;

	if (limit_bytes < LIMIT_MIN)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "redo spool limit of %" PRIu64
				  " bytes is below %d",
				  limit_bytes, LIMIT_MIN);
	fd = open_unnamed(dirfd);
	if (fd < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, -fd,
				  "cannot create the redo spool file");
	s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				  "cannot create the redo spool");
	}
	s->fd = fd;
	s->limit = limit_bytes;
	init_sync(s);
	*ret = s;
	return 0;
}

void sc_redo_spool_free(struct sc_redo_spool *s)
{
	if (!s)
		return;
	close(s->fd);
	pthread_cond_destroy(&s->filled);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int report_abort(const struct sc_redo_spool *s, struct sc_err *err)
{
	return sc_err_set(err, s->aborted.code, "%s", s->aborted.msg);
}

/* May these bytes be appended? Called with the lock held. */
static int admit(const struct sc_redo_spool *s, uint64_t lsn, size_t len,
		 struct sc_err *err)
{
	if (sc_err_is_set(&s->aborted))
		return report_abort(s, err);
	if (s->ended)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "redo at LSN %" PRIu64
				  " comes after the end of the spool",
				  lsn);
	if (s->begun && lsn != s->tail_lsn)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "redo at LSN %" PRIu64
				  " does not follow LSN %" PRIu64,
				  lsn, s->tail_lsn);
	if (s->tail - s->head + len > s->limit)
		return sc_err_set(err, SC_ER_CLONE_DISK_SPACE,
				  "more than %" PRIu64 " MiB of redo wait to be"
				  " sent: the recipient is too slow for the "
				  "write load of the donor",
				  s->limit >> 20);
	return 0;
}

/* Start over at offset 0 when nothing is queued. */
static int rewind_if_empty(struct sc_redo_spool *s)
{
	if (s->head != s->tail || s->head < PUNCH)
		return 0;
	if (ftruncate(s->fd, 0))
		return -errno;
	s->head = s->tail = s->punched = 0;
	return 0;
}

int sc_redo_spool_append(struct sc_redo_spool *s, uint64_t lsn,
			 const void *data, size_t len, struct sc_err *err)
{
	int rc;

	{
		SC_LOCK_SCOPE(&s->lock);
		if (admit(s, lsn, len, err))
			return -1;
		rc = rewind_if_empty(s);
	}
	if (!rc)
		rc = sc_pwrite_full(s->fd, data, len, s->tail);
	if (rc < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, -rc,
				  "cannot write the redo spool at LSN %" PRIu64,
				  lsn);
	SC_LOCK_SCOPE(&s->lock);
	s->tail += len;
	s->tail_lsn = lsn + len;
	s->begun = true;
	s->stats.appended_bytes += len;
	s->stats.peak_bytes = SC_MAX(s->stats.peak_bytes, s->tail - s->head);
	pthread_cond_signal(&s->filled);
	return 0;
}

void sc_redo_spool_end(struct sc_redo_spool *s)
{
	SC_LOCK_SCOPE(&s->lock);
	s->ended = true;
	pthread_cond_signal(&s->filled);
}

void sc_redo_spool_discard(struct sc_redo_spool *s)
{
	SC_LOCK_SCOPE(&s->lock);
	s->head = s->tail;
	s->ended = true;
	pthread_cond_signal(&s->filled);
}

void sc_redo_spool_abort(struct sc_redo_spool *s, const struct sc_err *why)
{
	SC_LOCK_SCOPE(&s->lock);
	if (!sc_err_is_set(&s->aborted))
		s->aborted = *why;
	pthread_cond_signal(&s->filled);
}

/* Wait with the lock held until there is something to say to the reader. */
static void wait_filled(struct sc_redo_spool *s, unsigned timeout_ms)
{
	struct timespec ts = sc_after_ms(CLOCK_MONOTONIC, timeout_ms);

	while (s->head == s->tail && !s->ended && !sc_err_is_set(&s->aborted))
		if (!timeout_ms ||
		    pthread_cond_timedwait(&s->filled, &s->lock, &ts))
			break;
}

/* Give back the space of whole units before `upto`. A file system that cannot
 * punch keeps them until the queue runs empty. */
static void punch(struct sc_redo_spool *s, uint64_t upto)
{
	uint64_t end = sc_align_down(upto, PUNCH);

	if (end <= s->punched)
		return;
	if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)s->punched, (off_t)(end - s->punched)) < 0 &&
	    !s->cannot_punch) {
		s->cannot_punch = true;
		sc_warning("redo keeps its space when it was read: %s",
			   strerrordesc_np(errno));
	}
	s->punched = end;
}

int64_t sc_redo_spool_read(struct sc_redo_spool *s, void *buf, size_t cap,
			   unsigned timeout_ms, uint64_t *ret_lsn,
			   bool *ret_ended, struct sc_err *err)
{
	uint64_t head;
	ssize_t n;

	*ret_ended = false;
	{
		SC_LOCK_SCOPE(&s->lock);
		wait_filled(s, timeout_ms);
		if (sc_err_is_set(&s->aborted))
			return report_abort(s, err);
		head = s->head;
		cap = SC_MIN(cap, s->tail - head);
		*ret_ended = s->ended && !cap;
		*ret_lsn = s->tail_lsn - (s->tail - head);
	}
	if (!cap)
		return 0;
	n = sc_pread_full(s->fd, buf, cap, head);
	if (n != (ssize_t)cap)
		return sc_err_sys(err, SC_ER_CLONE_OS, n < 0 ? (int)-n : EIO,
				  "cannot read the redo spool at LSN %" PRIu64,
				  *ret_lsn);
	/* Before head moves: behind an empty queue the writer may rewind. */
	punch(s, head + cap);
	SC_LOCK_SCOPE(&s->lock);
	/* The rest may have been discarded meanwhile. */
	s->head = SC_MAX(s->head, head + cap);
	s->stats.read_bytes += cap;
	return n;
}

void sc_redo_spool_stats(struct sc_redo_spool *s,
			 struct sc_redo_spool_stats *ret)
{
	SC_LOCK_SCOPE(&s->lock);
	*ret = s->stats;
	ret->queued_bytes = s->tail - s->head;
}
