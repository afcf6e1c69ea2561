/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The I/O engine: submits reads and writes and hands them back when they are
 * complete. One engine per stream thread, used by that thread alone.
 *
 * Engines: `sync` (engine_sync.c), a production engine with plain system
 * calls. `uring` and the `fault` wrapper implement the same table.
 */
#ifndef SC_ENGINE_H
#define SC_ENGINE_H

#include "io/base/err.h"

#include <stdint.h>

enum sc_io_op { SC_IO_READ, SC_IO_WRITE };

/* One request; owned by the submitter, untouched between submit and wait. */
struct sc_io {
	enum sc_io_op op;
	int fd;
	void *buf;
	uint32_t len; /* bytes */
	uint64_t off; /* bytes */
	int64_t res;  /* set on completion: bytes done or -errno; a read is
			 short only at the end of the file, a write never */
	void *user;   /* the submitter's */
	struct sc_io *next; /* the engine's */
};

struct sc_engine;

struct sc_engine_ops {
	const char *name;
	/* Queue a request. Cannot fail: failures are in its res. */
	void (*submit)(struct sc_engine *engine, struct sc_io *io);
	/* The next complete request, waiting for one; NULL when none is
	 * queued. */
	struct sc_io *(*wait)(struct sc_engine *engine);
	void (*destroy)(struct sc_engine *engine);
};

struct sc_engine {
	const struct sc_engine_ops *ops;
};

/* A new sync engine, NULL when out of memory. Freed by its destroy op. */
struct sc_engine *sc_engine_sync_new(void);

#endif
