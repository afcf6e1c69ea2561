/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a donor job puts what it read: the stage of a local clone
 * (daemon/sink_stage.c) or the recipient's daemon (daemon/sink_net.c).
 *
 * Order: files, redo_begin; then redo (one thread) and chunk, chunks_end (one
 * thread per stream) side by side; then, when all streams ended, seal, finish.
 * All return 0 or -1 with err.
 */
#ifndef SC_SINK_H
#define SC_SINK_H

#include "io/frame.h"

struct sc_sink;

struct sc_sink_ops {
	int (*files)(struct sc_sink *sink, const struct sc_filelist *list,
		     struct sc_err *err);
	int (*redo_begin)(struct sc_sink *sink, const struct sc_redo_begin *m,
			  struct sc_err *err);
	/* len: a multiple of 512, or 0 to say that the donor is alive */
	int (*redo)(struct sc_sink *sink, uint64_t lsn, const void *data,
		    size_t len, struct sc_err *err);
	/* data: NULL for a chunk of zeroes */
	int (*chunk)(struct sc_sink *sink, unsigned stream,
		     const struct sc_chunk *chunk, const void *data,
		     struct sc_err *err);
	int (*chunks_end)(struct sc_sink *sink, unsigned stream,
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
