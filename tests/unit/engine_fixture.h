/* SPDX-License-Identifier: GPL-2.0-only */
/* Every engine, made for a test; seeded numbers. */
#ifndef SC_TESTS_ENGINE_FIXTURE_H
#define SC_TESTS_ENGINE_FIXTURE_H

#include "io/engine_fault.h"

#include <stddef.h>
#include <stdint.h>

/* Arena of the engines that register it. */
#define FX_ARENA ((size_t)2 << 20)
#define FX_ENGINES 5

struct engine_fixture {
	const char *name;
	enum sc_engine_kind kind;
	bool arena; /* buffers of tests lie in the registered arena */
	bool fault; /* partial and interrupted requests, in any order */
};

/* FX_ENGINES of them. */
extern const struct engine_fixture fx_engines[];

/* The arena, page-aligned, FX_ARENA bytes: lives as long as the program. */
uint8_t *fx_arena(void);

/* The engine, or NULL when this kernel has no io_uring (says so). plan: filled
 * in and borrowed when it is a fault engine. */
struct sc_engine *fx_engine_open(const struct engine_fixture *fx,
				 unsigned depth, struct sc_fault_plan *plan);

/* One request from beginning to end; its res. */
int64_t fx_run(struct sc_engine *engine, enum sc_io_op op, int fd, void *buf,
	       uint32_t len, uint64_t off);

/* The next number of a sequence, *state is its seed. */
uint32_t fx_random(uint64_t *state);

#endif
