/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults in whole daemons: builds for the fault tests (SC_TEST_HOOKS) wrap
 * every engine into the fault engine when the environment variable
 * SNAPCLONE_FAULTS is set. In other builds this is nothing.
 */
#ifndef SC_ENGINE_HOOK_H
#define SC_ENGINE_HOOK_H

#include "io/engine.h"

#ifdef SC_TEST_HOOKS
/*
 * SNAPCLONE_FAULTS: the numbers of a struct sc_fault_plan, separated by
 * spaces: seed partial again reorder kind at ops error. All engines of the
 * process share it. engine: taken over; NULL stays NULL.
 */
struct sc_engine *sc_engine_hooked(struct sc_engine *engine, unsigned depth);
#else
static inline struct sc_engine *sc_engine_hooked(struct sc_engine *engine,
						 unsigned depth)
{
	(void)depth;
	return engine;
}
#endif

#endif
