/* SPDX-License-Identifier: GPL-2.0-only */
/* Chunks for a stage, without a connection that brings them. */
#ifndef SC_TEST_STAGE_FIXTURE_H
#define SC_TEST_STAGE_FIXTURE_H

#include "io/stage.h"

/* Put one chunk as a stream of its own that begins and ends with it. data:
 * chunk->len bytes; its map is made here. Thread-safe. 0 or -1. */
int fx_stage_put(struct sc_staged *stage, unsigned stream,
		 const struct sc_chunk *chunk, const void *data,
		 struct sc_err *err);

#endif
