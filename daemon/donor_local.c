/* SPDX-License-Identifier: GPL-2.0-only */
/* The streams of a local clone, whose daemon is donor and recipient. */
#include "daemon/donor.h"

#include "io/autotune.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"

#include <errno.h>
#include <stdlib.h>

/* How often the number of streams is looked at. */
#define TUNE_MS 20

/* Begin with one: source and target are mostly one disk, which several streams
 * that read and write at once only slow down. */
#define LOCAL_STREAMS 1

struct local_stream {
	struct donor *d;
	unsigned stream;
	pthread_t thread;
};

static void *local_stream_main(void *arg)
{
	struct local_stream *ls = arg;
	struct sc_err err = SC_ERR_INIT;
	struct donor *d = ls->d;

	if (donor_run_stream(&d->job, ls->stream, &err) < 0)
		sc_job_fail(&d->job, &err);
	SC_LOCK_SCOPE(&d->lock);
	d->streams_ended++;
	pthread_cond_broadcast(&d->changed);
	return NULL;
}

/* Streams of a local clone, more as long as that helps. */
static int grow_local(struct donor *d, struct local_stream *ls,
		      unsigned *started, unsigned want, struct sc_err *err)
{
	while (*started < want) {
		struct local_stream *next = &ls[*started];
		int rc;

		*next = (struct local_stream){ .d = d, .stream = *started + 1 };
		rc = pthread_create(&next->thread, NULL, local_stream_main,
				    next);
		if (rc)
			return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
					  "cannot start a copy thread");
		d->n_streams = ++*started;
	}
	return 0;
}

/* A moment, or until a stream found nothing more to do. */
static void pause_tuning(struct donor *d)
{
	struct timespec until = sc_after_ms(CLOCK_MONOTONIC, TUNE_MS);

	SC_LOCK_SCOPE(&d->lock);
	while (!d->streams_ended && !d->job.stopping &&
	       pthread_cond_timedwait(&d->changed, &d->lock, &until) !=
		       ETIMEDOUT)
		;
}

int donor_copy_local(struct donor *d, struct sc_err *err)
{
	CLEANUP_FREE struct local_stream *ls =
		calloc(d->start.streams, sizeof(*ls));
	struct sc_autotune at;
	unsigned started = 0;
	int rc =
		ls ? 0 : sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");

	sc_autotune_init(&at, LOCAL_STREAMS, d->start.streams,
			 d->start.autotune, sc_now_ms());
	while (rc == 0) {
		rc = grow_local(
			d, ls, &started,
			sc_autotune_step(&at, d->copy.bytes_read, sc_now_ms()),
			err);
		/* Settled, or nothing left to take: the rest is waiting. */
		if (at.settled || d->job.stopping ||
		    d->copy.next_chunk >= d->list.chunks)
			break;
		pause_tuning(d);
	}
	/* At once: else what the streams say when they stop is the cause. */
	if (rc < 0)
		sc_job_fail(&d->job, err);
	for (unsigned i = 0; i < started; i++)
		pthread_join(ls[i].thread, NULL);
	return rc;
}
