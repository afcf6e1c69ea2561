/* SPDX-License-Identifier: GPL-2.0-only */
/* The sink of a local clone: straight into the stage. */
#include "daemon/sinks.h"

#include <stdlib.h>

struct sink_stage {
	struct sc_sink base;
	struct sc_staged *stage;
};

static struct sc_staged *stage_of(struct sc_sink *sink)
{
	return ((struct sink_stage *)sink)->stage;
}

static int stage_files(struct sc_sink *sink, const struct sc_filelist *list,
		       struct sc_err *err)
{
	return sc_stage_files(stage_of(sink), list, err);
}

static int stage_redo_begin(struct sc_sink *sink, const struct sc_redo_begin *m,
			    struct sc_err *err)
{
	return sc_stage_redo_begin(stage_of(sink), m, err);
}

static int stage_redo(struct sc_sink *sink, uint64_t lsn, const void *data,
		      size_t len, struct sc_err *err)
{
	return sc_stage_redo(stage_of(sink), lsn, data, len, err);
}

static int stage_stream_open(struct sc_sink *sink, unsigned stream,
			     struct sc_slots *slots, struct sc_err *err)
{
	return sc_stage_stream_open(stage_of(sink), stream, slots, err);
}

static void stage_stream_close(struct sc_sink *sink, unsigned stream)
{
	sc_stage_stream_close(stage_of(sink), stream);
}

static int stage_chunk(struct sc_sink *sink, unsigned stream,
		       struct sc_slot *slot, struct sc_err *err)
{
	return sc_stage_chunk(stage_of(sink), stream, slot, err);
}

static int stage_wrote(struct sc_sink *sink, unsigned stream,
		       struct sc_slot *slot, struct sc_err *err)
{
	return sc_stage_wrote(stage_of(sink), stream, slot, err);
}

static int stage_chunks_end(struct sc_sink *sink, unsigned stream,
			    struct sc_err *err)
{
	(void)sink;
	(void)stream;
	(void)err;
	return 0;
}

static int stage_change(struct sc_sink *sink,
			const struct sc_file_changes *changes,
			struct sc_err *err)
{
	return sc_stage_change(stage_of(sink), changes, err);
}

static int stage_seal(struct sc_sink *sink, const struct sc_seal *seal,
		      struct sc_err *err)
{
	return sc_stage_seal(stage_of(sink), seal, err);
}

static int stage_finish(struct sc_sink *sink, struct sc_err *err)
{
	return sc_stage_commit(stage_of(sink), err);
}

static const struct sc_sink_ops stage_ops = {
	.files = stage_files,
	.redo_begin = stage_redo_begin,
	.redo = stage_redo,
	.stream_open = stage_stream_open,
	.stream_close = stage_stream_close,
	.chunk = stage_chunk,
	.wrote = stage_wrote,
	.chunks_end = stage_chunks_end,
	.change = stage_change,
	.seal = stage_seal,
	.finish = stage_finish,
};

struct sc_sink *sc_sink_stage_new(struct sc_staged *stage)
{
	struct sink_stage *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base.ops = &stage_ops;
	s->stage = stage;
	return &s->base;
}
