/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's job as a list of steps, run in order by the job's thread. What a
 * step made is undone by donor_free() (donor.c), whatever step failed.
 */
#include "daemon/donor.h"

#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/base/step.h"

#include <inttypes.h>
#include <string.h>

/* A recipient that got the key connects at once. */
#define RECIPIENT_WAIT_MS 60000

/* Streams that connect when the first copy is over have nothing to do: what
 * passes copy is not for them. */
static bool enter_copy(struct donor *d)
{
	SC_LOCK_SCOPE(&d->lock);
	if (d->copied)
		return false;
	d->streams_running++;
	return true;
}

static void leave_copy(struct donor *d)
{
	SC_LOCK_SCOPE(&d->lock);
	d->streams_running--;
	pthread_cond_broadcast(&d->changed);
}

static void end_copy(struct donor *d)
{
	SC_LOCK_SCOPE(&d->lock);
	d->copied = true;
	while (d->streams_running)
		pthread_cond_wait(&d->changed, &d->lock);
}

int donor_copy_stream(struct donor *d, unsigned stream, struct sc_err *err)
{
	struct sc_slots slots;
	unsigned n = sc_slots_per_stream(d->start.buffer_size / SC_CHUNK_SIZE,
					 d->start.streams);
	int rc = sc_slots_init(&slots, n, NULL, err);

	if (rc == 0)
		rc = sc_copy_stream(&d->copy, &slots, stream, err);
	sc_slots_free(&slots);
	return rc;
}

int donor_run_stream(struct sc_job *job, unsigned stream, struct sc_err *err)
{
	struct donor *d = (struct donor *)job;
	int rc;

	if (!enter_copy(d))
		return d->sink->ops->chunks_end(d->sink, stream, err);
	if (!d->start.local)
		d->n_streams++;
	rc = donor_copy_stream(d, stream, err);
	if (rc < 0)
		donor_blame_image(d, err);
	leave_copy(d);
	return rc;
}

/* DDL may go on then. */
static int step_image(struct donor *d, struct sc_err *err)
{
	return donor_open_image(d, err) < 0
		       ? -1
		       : sc_session_send(d->job.session, SC_CTL_IMAGED, NULL,
					 err);
}

static int step_list(struct donor *d, struct sc_err *err)
{
	d->list.keys = &d->keys.source;
	if (sc_filelist_scan(d->image, d->start.data_file_path,
			     d->start.page_size, NULL, &d->list, err) < 0 ||
	    donor_prepare_aside(d, err) < 0)
		return -1;
	for (size_t i = 0; i < d->list.n; i++)
		d->list.files[i].settled_lsn = d->start.quiet_lsn;
	/* What is atomic does not change under the copy. */
	d->copy.aside = d->image->atomic ? NULL : d->aside;
	d->copy.same_files = !d->image->atomic;
	d->copy.excused = donor_excused;
	d->copy.ctx = d;
	d->planned = d->list.bytes;
	sc_job_count(&d->job, SC_STAGE_FILE_COPY, 0, d->list.bytes, 0, 0);
	return 0;
}

static int open_local(struct donor *d, struct sc_err *err)
{
	struct sc_stage_params params = {
		.target = d->fds[SC_DONOR_FD_TARGET],
		.parent = d->fds[SC_DONOR_FD_PARENT],
		.name = d->start.target_name,
		.page_size = d->start.page_size,
		.streams = d->start.streams,
		.local = true,
		.share = d->share,
	};

	if (sc_stage_open(&params, &d->stage, err) < 0)
		return -1;
	d->sink = sc_sink_stage_new(d->stage);
	return 0;
}

static int open_remote(struct donor *d, uint16_t *ret_port, struct sc_err *err)
{
	struct sc_data_server_params params = {
		.job = &d->job,
		.address = d->start.bind_address,
		.port = d->config->data_port,
		.tls = d->start.tls,
		.bytes = d->list.bytes,
		.streams = d->start.streams,
		.key = d->start.key,
		.run_stream = donor_run_stream,
	};
	struct sc_data_server *server;

	if (sc_data_server_start(&params, &server, ret_port, err) < 0)
		return -1;
	pthread_mutex_lock(&d->lock);
	d->server = server;
	pthread_mutex_unlock(&d->lock);
	d->sink = sc_sink_net_new(&(struct sc_sink_net_params){
		.conns = sc_data_server_conns(server),
		.streams = d->start.streams,
		.compress = d->start.compress,
		.rate = &d->network_rate,
		.stop = &d->copy.stop,
	});
	return 0;
}

/* Open the sink and tell the plugin where it is. */
static int step_sink(struct donor *d, struct sc_err *err)
{
	struct sc_ctl_donor_ready ready = {
		.files = (uint32_t)d->list.n,
		.bytes = d->list.bytes,
		.checkpoint_lsn = d->checkpoint.lsn,
	};
	struct sc_enc enc = { 0 };

	d->copy.list = &d->list;
	if ((uint64_t)d->start.buffer_size * d->start.streams >
	    SC_SLOTS_PER_JOB * (uint64_t)SC_CHUNK_SIZE)
		sc_info("clone_buffer_size of %u streams is %u MiB here: a job takes at most %u MiB for chunks",
			d->start.streams,
			sc_slots_per_stream(UINT32_MAX, d->start.streams),
			SC_SLOTS_PER_JOB);
	d->copy.keys = &d->keys.source;
	d->copy.image = d->image;
	d->copy.running = d->running;
	d->copy.dblwr = d->dblwr;
	if (d->start.local ? open_local(d, err) < 0
			   : open_remote(d, &ready.port, err) < 0)
		return -1;
	if (!d->sink)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	d->copy.sink = d->sink;
	sc_ctl_put_donor_ready(&enc, &ready);
	return sc_session_send(d->job.session, SC_CTL_DONOR_READY, &enc, err);
}

int donor_begin_redo(struct donor *d, struct sc_err *err)
{
	struct sc_redo_begin begin = { .checkpoint_lsn = d->checkpoint.lsn,
				       .uuid = d->checkpoint.uuid };

	memcpy(begin.creator, d->checkpoint.creator, sizeof(begin.creator));
	return d->sink->ops->redo_begin(d->sink, &begin, err);
}

static int step_begin(struct donor *d, struct sc_err *err)
{
	if (d->server &&
	    sc_data_server_await_control(d->server, RECIPIENT_WAIT_MS, err) < 0)
		return -1;
	sc_job_stage(&d->job, SC_STAGE_FILE_COPY);
	/* The redo's parameters come first: the recipient may then make room
	 * for both before it answers anything. */
	if (donor_begin_redo(d, err) < 0 ||
	    d->sink->ops->files(d->sink, &d->list, err) < 0)
		return -1;
	return donor_start_sender(d, err);
}

int donor_stopped(struct donor *d, struct sc_err *err)
{
	return d->job.stopping ? sc_job_cancelled(err) : 0;
}

static int step_share(struct donor *d, struct sc_err *err)
{
	return donor_share_files(d, 0, false, err);
}

static int step_copy(struct donor *d, struct sc_err *err)
{
	int rc = donor_find_image_end(d, err);

	if (rc == 0)
		rc = d->start.local
			     ? donor_copy_local(d, err)
			     : sc_data_server_await_streams(d->server, err);
	if (rc == 0)
		end_copy(d);
	if (rc < 0 || donor_stopped(d, err) < 0 ||
	    donor_save_redo(d, err) < 0 || donor_drop_image(d, err) < 0)
		return -1;
	sc_info("copied %zu files, %" PRIu64 " MiB; %" PRIu64
		" pages checked, %" PRIu64 " read again, %" PRIu64
		" repaired from the doublewrite files, %" PRIu64
		" taken unchecked",
		d->list.n, d->list.bytes / SC_MIB,
		(uint64_t)d->copy.pages_checked, (uint64_t)d->copy.pages_reread,
		(uint64_t)d->copy.pages_repaired,
		(uint64_t)d->copy.pages_unchecked);
	return 0;
}

static int step_finish(struct donor *d, struct sc_err *err)
{
	if (d->sink->ops->seal(d->sink, &d->seal, err) < 0)
		return -1;
	d->job.checkpoint_lsn = d->checkpoint.lsn;
	if (sc_job_keep_done(&d->job, &d->seal.mark, err) < 0)
		return -1;
	sc_job_stage(&d->job, SC_STAGE_FILE_SYNC);
	if (d->sink->ops->finish(d->sink, err) < 0)
		return -1;
	d->committed = true;
	sc_info("clone complete: checkpoint %" PRIu64 ", end LSN %" PRIu64
		", delta %" PRIu64 " KiB",
		d->checkpoint.lsn, d->seal.mark.end_lsn,
		(d->seal.mark.end_lsn - d->checkpoint.lsn) / SC_KIB);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct donor *d, struct sc_err *err);
} steps[] = {
	{ "follow redo", donor_start_follower },
	{ "open image", step_image },
	{ "list files", step_list },
	{ "open sink", step_sink },
	{ "begin", step_begin },
	{ "share", step_share },
	{ "copy", step_copy },
	{ "settle", donor_settle },
	{ "seal", donor_seal },
	{ "finish", step_finish },
};

int donor_run_steps(struct donor *d, struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(steps); i++) {
		sc_debug("donor step: %s", steps[i].name);
		if (donor_stopped(d, err) < 0)
			return -1;
		if (steps[i].run(d, err) < 0) {
			donor_blame_image(d, err);
			return -1;
		}
		sc_step_done("donor", steps[i].name);
	}
	return 0;
}
