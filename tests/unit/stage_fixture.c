/* SPDX-License-Identifier: GPL-2.0-only */
/* See stage_fixture.h. */
#include "tests/unit/stage_fixture.h"

#include "io/base/num.h"

static int put(struct sc_staged *stage, unsigned stream, struct sc_slots *slots,
	       struct sc_slot *slot, struct sc_err *err)
{
	int rc = sc_stage_stream_open(stage, stream, slots, err);

	if (rc == 0)
		rc = sc_stage_chunk(stage, stream, slot, err);
	while (rc > 0) {
		if (slots->engine->ops->wait(slots->engine) != &slot->io)
			return sc_err_set(err, 1, "nothing is on its way");
		rc = sc_stage_wrote(stage, stream, slot, err);
	}
	sc_stage_stream_close(stage, stream);
	return rc;
}

int fx_stage_put(struct sc_staged *stage, unsigned stream,
		 const struct sc_chunk *chunk, const void *data,
		 struct sc_err *err)
{
	uint32_t len = SC_MIN(chunk->len, SC_CHUNK_SIZE);
	struct sc_slots slots;
	int rc = sc_slots_init(&slots, 1, NULL, err);

	if (rc == 0) {
		struct sc_slot *slot = sc_slot_take(&slots);

		slot->chunk = *chunk;
		memcpy(slot->buf, data, len);
		sc_blockmap_find(&slot->chunk.map, data, len, 1);
		rc = put(stage, stream, &slots, slot, err);
	}
	sc_slots_free(&slots);
	return rc;
}
