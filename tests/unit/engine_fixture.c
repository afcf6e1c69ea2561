/* SPDX-License-Identifier: GPL-2.0-only */
/* Every engine, made for a test; see engine_fixture.h. */
#include "tests/unit/engine_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct engine_fixture fx_engines[] = {
	{ "sync", SC_ENGINE_SYNC, false, false },
	{ "uring", SC_ENGINE_URING, true, false },
	{ "uring_plain", SC_ENGINE_URING, false, false },
	{ "fault_sync", SC_ENGINE_SYNC, false, true },
	{ "fault_uring", SC_ENGINE_URING, true, true },
};

uint8_t *fx_arena(void)
{
	static void *arena;

	if (!arena && posix_memalign(&arena, 4096, FX_ARENA))
		abort();
	return arena;
}

struct sc_engine *fx_engine_open(const struct engine_fixture *fx,
				 unsigned depth, struct sc_fault_plan *plan)
{
	struct sc_engine_params params = { .depth = depth, .kind = fx->kind };
	struct sc_engine *engine;

	if (fx->arena) {
		params.arena = fx_arena();
		params.arena_len = FX_ARENA;
	}
	engine = sc_engine_open(&params);
	if (!engine) {
		printf("no io_uring here: %s\n", strerrordesc_np(errno));
		return NULL;
	}
	if (!fx->fault)
		return engine;
	*plan = (struct sc_fault_plan){
		.seed = 1, .partial = 400, .again = 200, .reorder = true
	};
	engine = sc_engine_fault_new(engine, depth, plan);
	if (!engine)
		abort();
	return engine;
}

int64_t fx_run(struct sc_engine *engine, enum sc_io_op op, int fd, void *buf,
	       uint32_t len, uint64_t off)
{
	struct sc_io io = {
		.op = op, .fd = fd, .buf = buf, .len = len, .off = off
	};

	engine->ops->submit(engine, &io);
	if (engine->ops->wait(engine) != &io)
		abort();
	return io.res;
}

uint32_t fx_random(uint64_t *state)
{
	/* Source: Numerical Recipes, 64-bit linear congruential generator. */
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}
