/* SPDX-License-Identifier: GPL-2.0-only */
/* What the recipient takes from stream 0: files, redo, passes, seal; see
 * recipient.h. */
#include "daemon/recipient.h"

#include "daemon/session.h"
#include "io/base/log.h"

#include <errno.h>
#include <inttypes.h>

static int donor_error(struct sc_frame *frame, struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	struct sc_ctl_error m;

	if (sc_ctl_get_error(&dec, &m) < 0)
		return sc_frame_bad(err, "malformed ERROR");
	return sc_err_set(err, SC_ER_CLONE_DONOR, "%u : %.400s", m.code,
			  m.message);
}

static int take_redo_begin(struct recipient *r, struct sc_frame *frame,
			   struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	struct sc_redo_begin m;

	if (sc_frame_get_redo_begin(&dec, &m) < 0)
		return sc_frame_bad(err, "malformed REDO_BEGIN");
	r->job.checkpoint_lsn = m.checkpoint_lsn;
	return sc_stage_redo_begin(r->stage, &m, err);
}

static int take_files(struct recipient *r, struct sc_frame *frame,
		      struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);

	if (r->listed)
		return sc_frame_bad(err, "files after the end of the list");
	while (dec.left && !dec.failed) {
		if (sc_frame_get_file(&dec, &r->list, err) < 0)
			return -1;
	}
	return 0;
}

static int take_files_end(struct recipient *r, struct sc_frame *frame,
			  struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	uint64_t n = sc_dec_u64(&dec), bytes = sc_dec_u64(&dec);

	if (sc_dec_end(&dec) < 0 || r->listed || n != r->list.n ||
	    bytes != r->list.bytes)
		return sc_frame_bad(err, "the list of files is not complete");
	r->listed = true;
	r->planned = r->list.bytes;
	sc_job_stage(&r->job, SC_STAGE_FILE_COPY);
	sc_job_count(&r->job, SC_STAGE_FILE_COPY, 0, r->list.bytes, 0, 0);
	if (sc_stage_files(r->stage, &r->list, err) < 0)
		return -1;
	return recipient_start_streams(r, err);
}

static int take_redo(struct recipient *r, struct sc_frame *frame,
		     struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	uint64_t lsn = sc_dec_u64(&dec);

	if (sc_dec_end(&dec) < 0 || frame->data_len % SC_REDO_BLOCK)
		return sc_frame_bad(err, "malformed REDO");
	if (sc_stage_redo(r->stage, lsn, r->redo_buf, frame->data_len, err) < 0)
		return -1;
	sc_job_redo(&r->job, sc_stage_redo_bytes(r->stage));
	return 0;
}

/* ---- passes
 * ----------------------------------------------------------------- */

static int take_change(struct recipient *r, struct sc_frame *frame,
		       struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);

	if (!r->listed || r->passing)
		return sc_frame_bad(err, "changes in the middle of a copy");
	while (dec.left && !dec.failed) {
		if (sc_frame_get_change(&dec, &r->changes, err) < 0)
			return -1;
	}
	return 0;
}

/* What a file without pages holds nothing checks: its name says what it is. */
static bool only_pages_renamed(const struct recipient *r)
{
	for (size_t i = 0; i < r->changes.n_renames; i++) {
		uint32_t file = r->changes.renames[i].file;

		if (file < r->list.n &&
		    r->list.files[file].kind != SC_FILE_PAGES)
			return false;
	}
	return true;
}

/* Nobody else looks at the list: all data streams have ended. */
static int apply_changes(struct recipient *r, struct sc_err *err)
{
	const struct sc_file_changes *c = &r->changes;

	sc_debug("pass: %zu files dropped, %zu renamed, %zu added, %" PRIu64
		 " bytes",
		 c->n_drops, c->n_renames, c->adds.n, c->adds.bytes);
	if (sc_stage_change(r->stage, c, err) < 0 ||
	    sc_file_changes_apply(c, &r->list, err) < 0)
		return -1;
	r->planned += c->adds.bytes;
	return 0;
}

static int begin_pass(struct recipient *r, struct sc_err *err)
{
	if (!r->have_receiver) {
		r->have_receiver = true;
		if (receiver_open(&r->receiver, &r->links[0], err) < 0)
			return -1;
	}
	if (receiver_begin(&r->receiver, err) < 0)
		return -1;
	r->passing = true;
	return 0;
}

static int take_change_end(struct recipient *r, struct sc_frame *frame,
			   struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	bool adds = r->changes.adds.n > 0;

	if (!r->listed || r->passing)
		return sc_frame_bad(err, "changes in the middle of a copy");
	if (sc_frame_get_change_end(&dec, &r->changes) < 0)
		return sc_frame_bad(err, "the changes are not complete");
	if (!only_pages_renamed(r))
		return sc_frame_bad(err, "a file without pages is renamed");
	if (recipient_await_streams(r, err) < 0 || apply_changes(r, err) < 0)
		return -1;
	sc_file_changes_free(&r->changes);
	return adds ? begin_pass(r, err) : 0;
}

static int take_chunk(struct recipient *r, struct sc_frame *frame,
		      struct sc_err *err)
{
	if (!r->passing)
		return sc_frame_bad(err, "a chunk on stream 0 outside a pass");
	if (receiver_take(&r->receiver, frame, err) == 0)
		return 0;
	return err->sys_errno == ECONNRESET
		       ? sc_err_context(err, "lost the donor")
		       : -1;
}

static int take_chunks_end(struct recipient *r, struct sc_frame *frame,
			   struct sc_err *err)
{
	(void)frame;
	if (!r->passing)
		return sc_frame_bad(err, "the end of a pass that never began");
	r->passing = false;
	return receiver_end(&r->receiver, 0, err);
}

/* 1 after SEAL. */
static int take_seal(struct recipient *r, struct sc_frame *frame,
		     struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);

	if (r->passing || !sc_file_changes_none(&r->changes))
		return sc_frame_bad(err, "sealed in the middle of a pass");
	if (sc_frame_get_seal(&dec, &r->seal) == 0)
		return 1;
	return dec.no_memory ? sc_err_set(err, SC_ER_INTERNAL_ERROR,
					  "out of memory for the seal")
			     : sc_frame_bad(err, "malformed SEAL");
}

static int take_error(struct recipient *r, struct sc_frame *frame,
		      struct sc_err *err)
{
	(void)r;
	return donor_error(frame, err);
}

static int (*const control_frames[SC_FRAME_TYPE_MAX + 1])(
	struct recipient *r, struct sc_frame *frame, struct sc_err *err) = {
	[SC_FRAME_REDO_BEGIN] = take_redo_begin,
	[SC_FRAME_FILES] = take_files,
	[SC_FRAME_FILES_END] = take_files_end,
	[SC_FRAME_REDO] = take_redo,
	[SC_FRAME_SEAL] = take_seal,
	[SC_FRAME_ERROR] = take_error,
	[SC_FRAME_CHANGE] = take_change,
	[SC_FRAME_CHANGE_END] = take_change_end,
	[SC_FRAME_CHUNKS_END] = take_chunks_end,
};

/* The next frame; the data of a chunk is left to be read. */
static int receive_frame(struct recipient *r, struct sc_frame *frame,
			 struct sc_err *err)
{
	struct sc_conn *conn = r->links[0].conn;

	if (sc_frame_recv_head(conn, frame, true, err) < 0)
		return -1;
	if (frame->type == SC_FRAME_CHUNK)
		return 0;
	r->network += SC_FRAME_HEADER_SIZE + frame->body_len + frame->data_len;
	return frame->data_len
		       ? sc_conn_read(conn, r->redo_buf, frame->data_len, err)
		       : 0;
}

static int receive_one(struct recipient *r, struct sc_frame *frame,
		       struct sc_err *err)
{
	if (r->passing && receiver_ready(&r->receiver, err) < 0)
		return -1;
	if (receive_frame(r, frame, err) < 0)
		return sc_err_context(err, "lost the donor");
	if (frame->type == SC_FRAME_CHUNK)
		return take_chunk(r, frame, err);
	if (!control_frames[frame->type])
		return sc_frame_bad(err, "unexpected frame");
	return control_frames[frame->type](r, frame, err);
}

int recipient_receive_control(struct recipient *r, struct sc_err *err)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	int rc = 0;

	while (rc == 0)
		rc = receive_one(r, &frame, err);
	if (r->passing)
		rc = receiver_end(&r->receiver, rc, err);
	r->passing = false;
	if (r->have_receiver)
		receiver_close(&r->receiver);
	sc_file_changes_free(&r->changes);
	return rc < 0 ? -1 : 0;
}
