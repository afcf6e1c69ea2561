/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fault engine of the tests: an engine around another one that lets
 * requests fail, do only a part, be interrupted, come back in another order
 * and read wrong bits. What happens follows from the plan's seed alone.
 *
 * A part of a request is really done by the engine below, and what is left is
 * tried again by the rules of every engine (sc_io_step()): so faults are those
 * of a kernel below the engine, not breaches of the engine's own promises.
 */
#ifndef SC_ENGINE_FAULT_H
#define SC_ENGINE_FAULT_H

#include "io/engine.h"

#include <stdatomic.h>
#include <stdbool.h>

enum sc_fault_kind {
	SC_FAULT_NONE = 0,
	SC_FAULT_ERROR, /* fails with plan->error, maybe after a part */
	SC_FAULT_END,	/* of a read: the file ends early, in its middle */
	SC_FAULT_FLIP,	/* of a read: one bit is wrong */
};

/* What goes wrong. Shared by the engines of one run, in any threads; borrowed
 * by them. All zero: nothing goes wrong. */
struct sc_fault_plan {
	uint64_t seed;
	/* Of 1000 tries, at any request. None of these may be noticed. */
	unsigned partial; /* do only a part */
	unsigned again;	  /* do nothing: EINTR or EAGAIN */
	bool reorder;	  /* completions in any order */
	/* The one request that fails: number `at` (from 1) of those whose
	 * operation is in `ops`. */
	enum sc_fault_kind kind;
	uint64_t at;
	unsigned ops; /* bits 1 << enum sc_io_op; 0 = all */
	int error;    /* errno of SC_FAULT_ERROR */
	/* Counted: requests of those operations, faults of any kind. */
	atomic_uint_fast64_t seen, injected;
	atomic_bool hit; /* that request came */
};

/*
 * inner: the engine below, of the same depth at least; destroyed with this
 * one. depth: 1..SC_ENGINE_MAX_DEPTH. NULL when out of memory; inner stays the
 * caller's then.
 */
struct sc_engine *sc_engine_fault_new(struct sc_engine *inner, unsigned depth,
				      struct sc_fault_plan *plan);

#endif
