/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults in whole daemons, for tests; see engine_hook.h. */
#include "io/engine_hook.h"

#ifdef SC_TEST_HOOKS
#include "io/base/log.h"
#include "io/engine_fault.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct sc_fault_plan plan; /* of the process */
static bool faults;

static void read_plan(void)
{
	const char *text = getenv("SNAPCLONE_FAULTS");
	unsigned reorder, kind;

	if (!text)
		return;
	if (sscanf(text, "%" SCNu64 " %u %u %u %u %" SCNu64 " %u %d",
		   &plan.seed, &plan.partial, &plan.again, &reorder, &kind,
		   &plan.at, &plan.ops, &plan.error) != 8)
		abort();
	plan.reorder = reorder;
	plan.kind = (enum sc_fault_kind)kind;
	faults = true;
	sc_warning("every engine makes faults: %s", text);
}

struct sc_engine *sc_engine_hooked(struct sc_engine *engine, unsigned depth)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_plan);
	return engine && faults ? sc_engine_fault_new(engine, depth, &plan)
				: engine;
}
#endif
