/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stage's target, and what comes into it: chunks and redo, without a
 * connection that brings them. Tests of stages have their files as a list and
 * the bytes of each. Unless it says else, a function fails the test.
 */
#ifndef SC_TEST_STAGE_FIXTURE_H
#define SC_TEST_STAGE_FIXTURE_H

#include "io/stage.h"
#include "tests/unit/dir_fixture.h"

/* Their redo: checkpoint and end. */
enum { FX_STAGE_C = 8192 + 700, FX_STAGE_E = 8192 + 40000 };

/* A new directory with an empty one, "clone", in it, whose descriptor is
 * returned, or -1. */
int fx_stage_target(struct dir_fixture *parent);

/* Once more from the beginning. */
void fx_again(int (*setup)(void **state), int (*teardown)(void **state));

/* The chunk of that number of a file. content: bytes by file. Any thread. */
struct sc_chunk fx_chunk(const struct sc_filelist *list,
			 uint8_t *const content[], uint32_t file,
			 uint64_t number);

/* Put one chunk as a stream of its own that begins and ends with it. data:
 * chunk->len bytes; its map is made here. Thread-safe. 0 or -1. */
int fx_stage_put(struct sc_staged *stage, unsigned stream,
		 const struct sc_chunk *chunk, const void *data,
		 struct sc_err *err);

/* All chunks of a file, likewise. */
int fx_stage_put_file(struct sc_staged *stage, unsigned stream,
		      const struct sc_filelist *list, uint8_t *const content[],
		      uint32_t file, struct sc_err *err);

/* REDO_BEGIN; then the blocks below end of a log that ends at log_end. seed:
 * which log. */
void fx_stage_redo_begin(struct sc_staged *stage, struct sc_err *err);
void fx_stage_redo(struct sc_staged *stage, uint64_t seed, uint64_t end,
		   uint64_t log_end, struct sc_err *err);

/* It failed with that number, and that is in its text. */
void fx_expect_error(int rc, const struct sc_err *err, int code,
		     const char *text);

#endif
