/* SPDX-License-Identifier: GPL-2.0-only */
/* Chunks from a connection into the stage; see recipient.h. */
#include "daemon/recipient.h"

#include "io/base/num.h"
#include "io/squeeze.h"

/* Chunks that are received or written at once, per stream. */
#define RECEIVE_DEPTH 4

int receiver_open(struct receiver *rx, struct link *link, struct sc_err *err)
{
	unsigned n = sc_slots_per_stream(RECEIVE_DEPTH, link->r->start.streams);

	*rx = (struct receiver){ .link = link, .squeeze = sc_squeeze_new() };
	if (sc_slots_init(&rx->slots, n, NULL, err) < 0)
		return -1;
	return rx->squeeze
		       ? 0
		       : sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
}

void receiver_close(struct receiver *rx)
{
	sc_slots_free(&rx->slots);
	sc_squeeze_free(rx->squeeze);
}

int receiver_begin(struct receiver *rx, struct sc_err *err)
{
	return sc_stage_stream_open(rx->link->r->stage, rx->link->stream,
				    &rx->slots, err);
}

/* What the stage said of a slot: above 0, it is being written. */
static int settle(struct receiver *rx, struct sc_slot *slot, int rc)
{
	if (rc > 0)
		return 0;
	sc_slot_give(&rx->slots, slot);
	return rc;
}

/* Wait for one write and go on with its chunk, unless the stream has failed. */
static int reap(struct receiver *rx, bool failed, struct sc_err *err)
{
	struct sc_engine *engine = rx->slots.engine;
	struct sc_slot *slot = engine->ops->wait(engine)->user;
	int rc = failed ? -1
			: sc_stage_wrote(rx->link->r->stage, rx->link->stream,
					 slot, err);

	return settle(rx, slot, rc);
}

/* The chunk as it is, hashed piece by piece while each is hot. */
static int receive_plain(struct receiver *rx, struct sc_slot *slot,
			 struct sc_err *err)
{
	struct sc_digest_state state;
	uint32_t len = slot->chunk.len;

	sc_digest_begin(&state);
	for (uint32_t at = 0; at < len; at += SC_DIGEST_PIECE) {
		uint32_t n = SC_MIN(len - at, SC_DIGEST_PIECE);

		if (sc_conn_read(rx->link->conn, slot->buf + at, n, err) < 0)
			return -1;
		sc_digest_add(&state, slot->buf + at, n);
	}
	sc_digest_end(&state, slot->digest);
	slot->hashed = true;
	return 0;
}

/* The blocks of its map, compressed or not. */
static int receive_packed(struct receiver *rx, const struct sc_frame *frame,
			  struct sc_slot *slot, uint32_t len,
			  struct sc_err *err)
{
	uint32_t data_len = frame->data_len;
	bool zstd = frame->flags & SC_FRAME_ZSTD;
	void *to = zstd ? sc_unsqueeze_buffer(rx->squeeze) : slot->buf;

	if (data_len && sc_conn_read(rx->link->conn, to, data_len, err) < 0)
		return -1;
	if (zstd &&
	    sc_unsqueeze(rx->squeeze, data_len, slot->buf, len, err) < 0)
		return -1;
	sc_blockmap_unpack(&slot->chunk.map, slot->buf, slot->chunk.len);
	return 0;
}

/* The data of a frame whose header and body came, into the slot. */
static int receive_chunk(struct receiver *rx, const struct sc_frame *frame,
			 struct sc_slot *slot, struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	bool zstd = frame->flags & SC_FRAME_ZSTD;
	uint32_t len;

	slot->hashed = false;
	if (sc_frame_get_chunk(&dec, &slot->chunk) < 0)
		return sc_frame_bad(err, "malformed CHUNK");
	len = sc_blockmap_bytes(&slot->chunk.map, slot->chunk.len);
	if (zstd ? !len : frame->data_len != len)
		return sc_frame_bad(err, "malformed CHUNK");
	if (!zstd && len == slot->chunk.len)
		return receive_plain(rx, slot, err);
	return receive_packed(rx, frame, slot, len, err);
}

int receiver_ready(struct receiver *rx, struct sc_err *err)
{
	while (!rx->slots.n_idle) {
		if (reap(rx, false, err) < 0)
			return -1;
	}
	rx->slots.engine->ops->flush(rx->slots.engine);
	return 0;
}

int receiver_take(struct receiver *rx, const struct sc_frame *frame,
		  struct sc_err *err)
{
	struct sc_slot *slot = sc_slot_take(&rx->slots);
	int rc = receive_chunk(rx, frame, slot, err);

	rx->link->r->network +=
		SC_FRAME_HEADER_SIZE + frame->body_len + frame->data_len;
	if (rc == 0)
		rc = sc_stage_chunk(rx->link->r->stage, rx->link->stream, slot,
				    err);
	return settle(rx, slot, rc);
}

int receiver_end(struct receiver *rx, int rc, struct sc_err *err)
{
	while (rx->slots.n_idle < rx->slots.n)
		rc |= reap(rx, rc < 0, err);
	sc_stage_stream_close(rx->link->r->stage, rx->link->stream);
	return rc;
}
