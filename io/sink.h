/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a donor job puts what it read: the stage of a local clone
 * (daemon/sink_stage.c) or the recipient's daemon (daemon/sink_net.c).
 *
 * Order: files, redo_begin; then redo (one thread) and stream_open, chunk,
 * chunks_end, stream_close (one thread per stream) side by side; then, when all
 * streams ended, any number of passes (change), at last seal, finish. After a
 * change that drops all files redo_begin may come again, with another
 * checkpoint: what there was of redo is forgotten. All return 0 or -1 with err.
 */
#ifndef SC_SINK_H
#define SC_SINK_H

#include "io/filechange.h"
#include "io/slots.h"

struct sc_sink;

struct sc_sink_ops {
	int (*files)(struct sc_sink *sink, const struct sc_filelist *list,
		     struct sc_err *err);
	int (*redo_begin)(struct sc_sink *sink, const struct sc_redo_begin *m,
			  struct sc_err *err);
	/* len: a multiple of 512, or 0 to say that the donor is alive */
	int (*redo)(struct sc_sink *sink, uint64_t lsn, const void *data,
		    size_t len, struct sc_err *err);
	/* The stream begins, with its engine and slots, and ends, which comes
	 * also after a failure, when nothing is on its way. */
	int (*stream_open)(struct sc_sink *sink, unsigned stream,
			   struct sc_slots *slots, struct sc_err *err);
	void (*stream_close)(struct sc_sink *sink, unsigned stream);
	/* Take the slot's chunk; what its buffer holds is the sink's to change.
	 * 0: done with it; 1: a write of the slot is on its way, on its
	 * completion call wrote. */
	int (*chunk)(struct sc_sink *sink, unsigned stream,
		     struct sc_slot *slot, struct sc_err *err);
	/* 0: done with the slot; 1: another write is on its way. */
	int (*wrote)(struct sc_sink *sink, unsigned stream,
		     struct sc_slot *slot, struct sc_err *err);
	int (*chunks_end)(struct sc_sink *sink, unsigned stream,
			  struct sc_err *err);
	/* Between two passes, when all streams have ended and before the list
	 * is changed. What it adds the job's thread then copies, as stream 0:
	 * stream_open, chunk, wrote, chunks_end, stream_close (nothing of that
	 * need be called when it adds nothing). Redo may come meanwhile, but
	 * from another thread. */
	int (*change)(struct sc_sink *sink,
		      const struct sc_file_changes *changes,
		      struct sc_err *err);
	int (*seal)(struct sc_sink *sink, const struct sc_seal *seal,
		    struct sc_err *err);
	/* Wait until the clone is complete and durable. */
	int (*finish)(struct sc_sink *sink, struct sc_err *err);
};

struct sc_sink {
	const struct sc_sink_ops *ops;
};

#endif
