/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames on a connection: header, limits, integrity; see frame.h. */
#include "io/frame.h"

#include "io/base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Longest body and data per type; the one place that knows. */
static const struct {
	uint32_t max_body, max_data;
} frame_limits[SC_FRAME_TYPE_MAX + 1] = {
	[SC_FRAME_HELLO] = { 64, 0 },
	[SC_FRAME_HELLO_OK] = { 64, 0 },
	[SC_FRAME_FILES] = { 1u << 20, 0 },
	[SC_FRAME_FILES_END] = { 16, 0 },
	[SC_FRAME_REDO_BEGIN] = { 128, 0 },
	[SC_FRAME_REDO] = { 8, SC_FRAME_MAX_DATA },
	[SC_FRAME_SEAL] = { SC_FRAME_MAX_BODY, 0 },
	[SC_FRAME_CHUNK] = { SC_CHUNK_BODY_SIZE, SC_FRAME_MAX_DATA },
	[SC_FRAME_CHUNKS_END] = { 8, 0 },
	[SC_FRAME_DONE] = { 0, 0 },
	[SC_FRAME_ERROR] = { 1024, 0 },
	[SC_FRAME_CHANGE] = { 1u << 20, 0 },
	[SC_FRAME_CHANGE_END] = { 12, 0 },
};

void sc_frame_free(struct sc_frame *frame)
{
	free(frame->body);
	*frame = (struct sc_frame){ 0 };
}

int sc_frame_bad(struct sc_err *err, const char *what)
{
	if (sc_err_is_set(err))
		return -1;
	sc_err_set(err, SC_ER_CLONE_PROTOCOL, "data connection: %s", what);
	err->sys_errno = EPROTO;
	return -1;
}

static void put_header(uint8_t *h, const struct sc_frame *f, const void *body)
{
	sc_store_le32(h, SC_FRAME_MAGIC);
	sc_store_le16(h + 4, f->type);
	sc_store_le16(h + 6, f->flags);
	sc_store_le32(h + 8, f->body_len);
	sc_store_le32(h + 12, f->data_len);
	sc_store_le64(h + 16, sc_digest64(h, 16, body, f->body_len));
}

int sc_frame_send(struct sc_conn *conn, uint16_t type, uint16_t flags,
		  const void *body, size_t body_len, const void *data,
		  size_t data_len, struct sc_err *err)
{
	uint8_t head[SC_FRAME_HEADER_SIZE];
	struct sc_frame f = { .type = type, .flags = flags };
	struct iovec parts[] = {
		{ head, sizeof(head) },
		{ (void *)body, body_len },
		{ (void *)data, data_len },
	};

	if (type == 0 || type > SC_FRAME_TYPE_MAX ||
	    body_len > frame_limits[type].max_body ||
	    data_len > frame_limits[type].max_data)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "frame %u of %zu + %zu bytes is too long",
				  type, body_len, data_len);
	f.body_len = (uint32_t)body_len;
	f.data_len = (uint32_t)data_len;
	put_header(head, &f, body);
	return sc_conn_writev(conn, parts, 3, err);
}

int sc_frame_send_enc(struct sc_conn *conn, uint16_t type, struct sc_enc *enc,
		      struct sc_err *err)
{
	int rc;

	if (enc->failed)
		rc = sc_err_set(err, SC_ER_INTERNAL_ERROR,
				"out of memory for frame %u", type);
	else
		rc = sc_frame_send(conn, type, 0, enc->data, enc->len, NULL, 0,
				   err);
	sc_enc_free(enc);
	return rc;
}

/* The one function that decides whether a frame may be read on. */
static int check_header(const uint8_t *h, struct sc_frame *f, bool data_ok,
			struct sc_err *err)
{
	if (sc_load_le32(h) != SC_FRAME_MAGIC)
		return sc_frame_bad(err, "not a snapclone frame");
	f->type = sc_load_le16(h + 4);
	f->flags = sc_load_le16(h + 6);
	f->body_len = sc_load_le32(h + 8);
	f->data_len = sc_load_le32(h + 12);
	if (f->type == 0 || f->type > SC_FRAME_TYPE_MAX)
		return sc_frame_bad(err, "unknown frame type");
	if (f->body_len > frame_limits[f->type].max_body ||
	    f->data_len > frame_limits[f->type].max_data ||
	    (f->limit && f->body_len > f->limit))
		return sc_frame_bad(err, "frame too long");
	if (f->flags & ~(f->type == SC_FRAME_CHUNK ? SC_FRAME_ZSTD : 0))
		return sc_frame_bad(err, "unknown frame flags");
	if (f->data_len && !data_ok)
		return sc_frame_bad(err, "unexpected data frame");
	return 0;
}

static int frame_room(struct sc_frame *f, struct sc_err *err)
{
	uint8_t *body;

	if (f->body_len <= f->body_cap)
		return 0;
	body = realloc(f->body, f->body_len);
	if (!body)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for a frame of %u bytes",
				  f->body_len);
	f->body = body;
	f->body_cap = f->body_len;
	return 0;
}

int sc_frame_recv_head(struct sc_conn *conn, struct sc_frame *frame,
		       bool data_ok, struct sc_err *err)
{
	uint8_t h[SC_FRAME_HEADER_SIZE];

	if (sc_conn_read(conn, h, sizeof(h), err) < 0 ||
	    check_header(h, frame, data_ok, err) < 0 ||
	    frame_room(frame, err) < 0)
		return -1;
	if (frame->body_len &&
	    sc_conn_read(conn, frame->body, frame->body_len, err) < 0)
		return -1;
	if (sc_digest64(h, 16, frame->body, frame->body_len) !=
	    sc_load_le64(h + 16))
		return sc_frame_bad(err, "damaged frame header");
	return 0;
}

int sc_frame_recv(struct sc_conn *conn, struct sc_frame *frame, void *data,
		  struct sc_err *err)
{
	if (sc_frame_recv_head(conn, frame, data != NULL, err) < 0)
		return -1;
	return frame->data_len ? sc_conn_read(conn, data, frame->data_len, err)
			       : 0;
}
