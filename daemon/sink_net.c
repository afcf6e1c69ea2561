/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sink of a remote clone: frames on the data connections. Each data stream
 * is written by its own thread, stream 0 by the job's and the redo sender's,
 * frame by frame; it is read at the very end only.
 */
#include "daemon/sinks.h"

#include "io/base/cleanup.h"
#include "io/base/num.h"
#include "io/squeeze.h"

#include <stdlib.h>

/* A batch of file or change records; well below the limit of its frame. */
#define BATCH (256 * SC_KIB)

struct sink_net {
	struct sc_sink base;
	struct sc_sink_net_params params;
	pthread_mutex_t control; /* one frame at a time on stream 0 */
	bool passing; /* chunks of a pass are to come; job's thread */
	struct sc_squeeze *squeeze[]; /* per stream, NULL = no compression */
};

static struct sc_conn *conn_of(struct sc_sink *sink, unsigned stream)
{
	return ((struct sink_net *)sink)->params.conns[stream];
}

/* On stream 0; the body is freed. */
static int send_enc(struct sc_sink *sink, uint16_t type, struct sc_enc *enc,
		    struct sc_err *err)
{
	SC_LOCK_SCOPE(&((struct sink_net *)sink)->control);
	return sc_frame_send_enc(conn_of(sink, 0), type, enc, err);
}

/* Of records, when it is full or the last. */
static int send_batch(struct sc_sink *sink, uint16_t type, struct sc_enc *enc,
		      bool last, struct sc_err *err)
{
	if (!enc->failed && (last ? !enc->len : enc->len < BATCH))
		return 0;
	return send_enc(sink, type, enc, err);
}

static int net_files(struct sc_sink *sink, const struct sc_filelist *list,
		     struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	for (size_t i = 0; i < list->n; i++) {
		sc_frame_put_file(&enc, &list->files[i]);
		if (send_batch(sink, SC_FRAME_FILES, &enc, false, err) < 0)
			return -1;
	}
	if (send_batch(sink, SC_FRAME_FILES, &enc, true, err) < 0)
		return -1;
	sc_enc_u64(&enc, list->n);
	sc_enc_u64(&enc, list->bytes);
	return send_enc(sink, SC_FRAME_FILES_END, &enc, err);
}

static int net_redo_begin(struct sc_sink *sink, const struct sc_redo_begin *m,
			  struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	sc_frame_put_redo_begin(&enc, m);
	return send_enc(sink, SC_FRAME_REDO_BEGIN, &enc, err);
}

static int net_redo(struct sc_sink *sink, uint64_t lsn, const void *data,
		    size_t len, struct sc_err *err)
{
	uint8_t body[8];

	sc_store_le64(body, lsn);
	SC_LOCK_SCOPE(&((struct sink_net *)sink)->control);
	return sc_frame_send(conn_of(sink, 0), SC_FRAME_REDO, 0, body,
			     sizeof(body), data, len, err);
}

static int net_stream_open(struct sc_sink *sink, unsigned stream,
			   struct sc_slots *slots, struct sc_err *err)
{
	struct sink_net *s = (struct sink_net *)sink;

	(void)slots;
	if (!s->params.compress)
		return 0;
	s->squeeze[stream] = sc_squeeze_new();
	if (s->squeeze[stream])
		return 0;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
}

static void net_stream_close(struct sc_sink *sink, unsigned stream)
{
	struct sink_net *s = (struct sink_net *)sink;

	sc_squeeze_free(s->squeeze[stream]);
	s->squeeze[stream] = NULL;
}

/* One more frame of chunks; the others of stream 0 wait for it. */
static int send_chunk(struct sink_net *s, unsigned stream, uint16_t flags,
		      const uint8_t *body, const void *data, size_t len,
		      struct sc_err *err)
{
	struct sc_conn *conn = s->params.conns[stream];

	if (stream)
		return sc_frame_send(conn, SC_FRAME_CHUNK, flags, body,
				     SC_CHUNK_BODY_SIZE, data, len, err);
	SC_LOCK_SCOPE(&s->control);
	return sc_frame_send(conn, SC_FRAME_CHUNK, flags, body,
			     SC_CHUNK_BODY_SIZE, data, len, err);
}

static int net_chunk(struct sc_sink *sink, unsigned stream,
		     struct sc_slot *slot, struct sc_err *err)
{
	struct sink_net *s = (struct sink_net *)sink;
	struct sc_squeeze *squeeze = s->squeeze[stream];
	uint8_t body[SC_CHUNK_BODY_SIZE];
	const void *data = slot->buf;
	size_t len =
		sc_blockmap_pack(&slot->chunk.map, slot->buf, slot->chunk.len);
	size_t n = len && squeeze ? sc_squeeze(squeeze, data, len, &data) : 0;

	if (n)
		len = n;
	sc_rate_wait(s->params.rate, sc_rate_book(s->params.rate, len),
		     s->params.stop);
	sc_frame_put_chunk(body, &slot->chunk);
	return send_chunk(s, stream, n ? SC_FRAME_ZSTD : 0, body, data, len,
			  err);
}

static int net_chunks_end(struct sc_sink *sink, unsigned stream,
			  struct sc_err *err)
{
	struct sink_net *s = (struct sink_net *)sink;
	struct sc_enc none = { 0 };

	if (stream)
		return sc_frame_send(conn_of(sink, stream), SC_FRAME_CHUNKS_END,
				     0, NULL, 0, NULL, 0, err);
	if (!s->passing)
		return 0;
	s->passing = false;
	return send_enc(sink, SC_FRAME_CHUNKS_END, &none, err);
}

static int send_changes(struct sc_sink *sink,
			const struct sc_file_changes *changes,
			struct sc_enc *enc, struct sc_err *err)
{
	for (size_t i = 0; i < changes->n_drops; i++) {
		sc_frame_put_drop(enc, changes->drops[i]);
		if (send_batch(sink, SC_FRAME_CHANGE, enc, false, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < changes->n_renames; i++) {
		sc_frame_put_rename(enc, &changes->renames[i]);
		if (send_batch(sink, SC_FRAME_CHANGE, enc, false, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < changes->adds.n; i++) {
		sc_frame_put_add(enc, &changes->adds.files[i]);
		if (send_batch(sink, SC_FRAME_CHANGE, enc, false, err) < 0)
			return -1;
	}
	return send_batch(sink, SC_FRAME_CHANGE, enc, true, err);
}

static int net_change(struct sc_sink *sink,
		      const struct sc_file_changes *changes, struct sc_err *err)
{
	struct sink_net *s = (struct sink_net *)sink;
	struct sc_enc enc = { 0 };

	if (send_changes(sink, changes, &enc, err) < 0)
		return -1;
	s->passing = changes->adds.n > 0;
	sc_frame_put_change_end(&enc, changes);
	return send_enc(sink, SC_FRAME_CHANGE_END, &enc, err);
}

static int net_seal(struct sc_sink *sink, const struct sc_seal *seal,
		    struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	sc_frame_put_seal(&enc, seal);
	return send_enc(sink, SC_FRAME_SEAL, &enc, err);
}

/* The recipient answers DONE when the clone is durable, or why it is not. */
static int net_finish(struct sc_sink *sink, struct sc_err *err)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_ctl_error e;
	struct sc_dec dec;

	if (sc_frame_recv(conn_of(sink, 0), &frame, NULL, err) < 0)
		return sc_err_context(err, "waiting for the recipient");
	if (frame.type == SC_FRAME_DONE)
		return 0;
	dec = sc_frame_body(&frame);
	if (frame.type != SC_FRAME_ERROR || sc_ctl_get_error(&dec, &e) < 0)
		return sc_frame_bad(err, "expected DONE");
	return sc_err_set(err, (int)e.code, "recipient: %s", e.message);
}

static const struct sc_sink_ops net_ops = {
	.files = net_files,
	.redo_begin = net_redo_begin,
	.redo = net_redo,
	.stream_open = net_stream_open,
	.stream_close = net_stream_close,
	.chunk = net_chunk,
	.chunks_end = net_chunks_end,
	.change = net_change,
	.seal = net_seal,
	.finish = net_finish,
};

struct sc_sink *sc_sink_net_new(const struct sc_sink_net_params *params)
{
	struct sink_net *s = calloc(
		1, sizeof(*s) + (params->streams + 1) * sizeof(s->squeeze[0]));

	if (!s)
		return NULL;
	s->base.ops = &net_ops;
	s->params = *params;
	s->control = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	return &s->base;
}
