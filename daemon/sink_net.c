/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sink of a remote clone: frames on the data connections. Stream 0 is used
 * by one thread at a time (the job's, then the redo sender's, then the job's
 * again), each data stream by its own.
 */
#include "daemon/sinks.h"

#include "io/base/num.h"
#include "io/squeeze.h"

#include <stdlib.h>

/* A batch of file records; well below the limit of its frame. */
#define FILES_BATCH (256 * SC_KIB)

struct sink_net {
	struct sc_sink base;
	struct sc_sink_net_params params;
	struct sc_squeeze *squeeze[]; /* per stream, NULL = no compression */
};

static struct sc_conn *conn_of(struct sc_sink *sink, unsigned stream)
{
	return ((struct sink_net *)sink)->params.conns[stream];
}

static int net_files(struct sc_sink *sink, const struct sc_filelist *list,
		     struct sc_err *err)
{
	struct sc_conn *conn = conn_of(sink, 0);
	struct sc_enc enc = { 0 };

	for (size_t i = 0; i < list->n; i++) {
		sc_frame_put_file(&enc, &list->files[i]);
		if (enc.len >= FILES_BATCH &&
		    sc_frame_send_enc(conn, SC_FRAME_FILES, &enc, err) < 0)
			return -1;
	}
	if (enc.len && sc_frame_send_enc(conn, SC_FRAME_FILES, &enc, err) < 0)
		return -1;
	sc_enc_u64(&enc, list->n);
	sc_enc_u64(&enc, list->bytes);
	return sc_frame_send_enc(conn, SC_FRAME_FILES_END, &enc, err);
}

static int net_redo_begin(struct sc_sink *sink, const struct sc_redo_begin *m,
			  struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	sc_frame_put_redo_begin(&enc, m);
	return sc_frame_send_enc(conn_of(sink, 0), SC_FRAME_REDO_BEGIN, &enc,
				 err);
}

static int net_redo(struct sc_sink *sink, uint64_t lsn, const void *data,
		    size_t len, struct sc_err *err)
{
	uint8_t body[8];

	sc_store_le64(body, lsn);
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
	sc_rate_wait(sc_rate_book(s->params.rate, len), s->params.stop);
	sc_frame_put_chunk(body, &slot->chunk);
	return sc_frame_send(conn_of(sink, stream), SC_FRAME_CHUNK,
			     n ? SC_FRAME_ZSTD : 0, body, sizeof(body), data,
			     len, err);
}

static int net_chunks_end(struct sc_sink *sink, unsigned stream,
			  struct sc_err *err)
{
	return sc_frame_send(conn_of(sink, stream), SC_FRAME_CHUNKS_END, 0,
			     NULL, 0, NULL, 0, err);
}

static int net_seal(struct sc_sink *sink, const struct sc_seal *seal,
		    struct sc_err *err)
{
	struct sc_enc enc = { 0 };

	sc_frame_put_seal(&enc, seal);
	return sc_frame_send_enc(conn_of(sink, 0), SC_FRAME_SEAL, &enc, err);
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
	return &s->base;
}
