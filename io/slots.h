/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stream's chunks on their way: a fixed number of slots, each a chunk's
 * buffer in one arena and the request that reads or writes it. A stream's
 * thread only.
 */
#ifndef SC_SLOTS_H
#define SC_SLOTS_H

#include "io/base/num.h"
#include "io/engine.h"
#include "io/frame.h"
#include "io/openfile.h"

struct sc_slot {
	struct sc_io io; /* user: the slot */
	uint8_t *buf;	 /* SC_CHUNK_SIZE bytes, aligned for O_DIRECT */
	struct sc_chunk chunk;
	bool hashed; /* received: digest is that of the buffer */
	uint8_t digest[SC_DIGEST_SIZE];
	struct sc_openfile *in, *out; /* being read, written; else NULL */
	bool drop_cache;	      /* the read fills the page cache */
};

struct sc_slots {
	struct sc_slot *all, **idle; /* owned */
	unsigned n, n_idle;
	void *arena;		  /* n * SC_CHUNK_SIZE bytes, mapped */
	struct sc_engine *engine; /* owned */
};

/* n: 1..; engine: taken over, NULL = sc_engine_open(). 0 or -1 when out of
 * memory; end with sc_slots_free() in either case. */
int sc_slots_init(struct sc_slots *s, unsigned n, struct sc_engine *engine,
		  struct sc_err *err);
/* All are idle. Works on zeroed memory too. */
void sc_slots_free(struct sc_slots *s);

/* Memory of a job's chunks on their way, all streams together. */
#define SC_SLOTS_PER_JOB 192

/* Slots of each of so many streams, 1..want: as many as the job may have. */
static inline unsigned sc_slots_per_stream(unsigned want, unsigned streams)
{
	unsigned share = SC_SLOTS_PER_JOB / streams;

	return SC_MAX(1u, SC_MIN(want, share));
}

static inline struct sc_slot *sc_slot_take(struct sc_slots *s)
{
	return s->idle[--s->n_idle];
}

static inline void sc_slot_give(struct sc_slots *s, struct sc_slot *slot)
{
	s->idle[s->n_idle++] = slot;
}

/* Queue the read of the slot's chunk from slot->in; its tail is read by whole
 * blocks, because O_DIRECT needs that. */
void sc_slot_read(struct sc_slots *s, struct sc_slot *slot);

/*
 * Queue the write to slot->out of the first run of the chunk's blocks at or
 * after byte `from` of the chunk; false when there is none. After each
 * completion call it again with sc_slot_written(). A short tail is padded with
 * zeroes to a whole block when the file is open with O_DIRECT: cut it off at
 * the end.
 */
bool sc_slot_write(struct sc_slots *s, struct sc_slot *slot, uint32_t from);

/* The byte of the chunk up to which it is written; the last write is complete.
 */
static inline uint32_t sc_slot_written(const struct sc_slot *slot)
{
	return (uint32_t)(slot->io.off - slot->chunk.off) + slot->io.len;
}

#endif
