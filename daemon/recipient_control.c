/* SPDX-License-Identifier: GPL-2.0-only */
/* What the recipient takes from stream 0: files, redo, seal; see recipient.h.
 */
#include "daemon/recipient.h"

#include "daemon/session.h"

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

/* 1 after SEAL. */
static int take_seal(struct recipient *r, struct sc_frame *frame,
		     struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);

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
};

int recipient_receive_control(struct recipient *r, struct sc_err *err)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_conn *conn = r->links[0].conn;
	int rc = 0;

	while (rc == 0) {
		if (sc_frame_recv(conn, &frame, r->redo_buf, err) < 0)
			return sc_err_context(err, "lost the donor");
		r->network +=
			SC_FRAME_HEADER_SIZE + frame.body_len + frame.data_len;
		if (!control_frames[frame.type])
			return sc_frame_bad(err, "unexpected frame");
		rc = control_frames[frame.type](r, &frame, err);
	}
	return rc < 0 ? -1 : 0;
}
