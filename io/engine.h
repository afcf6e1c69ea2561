/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The I/O engine: takes requests and hands them back when they are complete.
 * One engine per thread, opened and used by that thread alone.
 *
 * Engines: `uring` (engine_uring.c, io_uring), `sync` (engine_sync.c, plain
 * system calls, for kernels without io_uring or where a filter forbids it),
 * and the `fault` wrapper (engine_fault.c) of the tests.
 */
#ifndef SC_ENGINE_H
#define SC_ENGINE_H

#include "io/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum sc_io_op {
	SC_IO_READ,
	SC_IO_WRITE,
	SC_IO_FSYNC, /* fd only */
};

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
	/* The engine's: list, bytes done so far, tries that did nothing. */
	struct sc_io *next;
	uint32_t done, tries;
};

struct sc_engine;

struct sc_engine_ops {
	const char *name;
	/* Queue a request; at most params.depth are queued or running. Cannot
	 * fail: failures are in its res. It may start as late as the next
	 * flush or wait. */
	void (*submit)(struct sc_engine *engine, struct sc_io *io);
	/* Start everything that is queued. Does not wait. */
	void (*flush)(struct sc_engine *engine);
	/* Start everything that is queued, then the next complete request,
	 * waiting for one; NULL when there is none. */
	struct sc_io *(*wait)(struct sc_engine *engine);
	/* A descriptor that many requests will use, and its end: before it is
	 * closed, with none of its requests running. Optional, only for speed:
	 * a system call each, so not for a file of one request. A descriptor
	 * that is closed without detach stays the old file for this engine.
	 */
	void (*attach)(struct sc_engine *engine, int fd);
	void (*detach)(struct sc_engine *engine, int fd);
	/* Nothing is queued or running. */
	void (*destroy)(struct sc_engine *engine);
};

struct sc_engine {
	const struct sc_engine_ops *ops;
};

enum sc_engine_kind {
	SC_ENGINE_AUTO = 0, /* uring, or sync where the kernel refuses it */
	SC_ENGINE_URING,    /* or nothing */
	SC_ENGINE_SYNC,
};

/* Most requests of an engine at once: far more than any device queues. */
#define SC_ENGINE_MAX_DEPTH 4096

struct sc_engine_params {
	unsigned depth; /* most requests at once, 1..SC_ENGINE_MAX_DEPTH */
	/* Where most buffers of requests lie; others are allowed. Borrowed
	 * until destroy. NULL and 0: none. */
	void *arena;
	size_t arena_len; /* bytes */
	enum sc_engine_kind kind;
};

/*
 * The best engine this kernel gives us; says in the log what it does without,
 * once per process. NULL with errno: ENOMEM; EINVAL for a depth out of range;
 * with SC_ENGINE_URING what the kernel refused the ring with. Freed by its
 * destroy op. Call it in the thread that will use the engine.
 */
struct sc_engine *sc_engine_open(const struct sc_engine_params *params);

/* What SC_ENGINE_AUTO means in this process: itself (the default) or
 * SC_ENGINE_SYNC. Like the log's set-up: from main, before threads start. */
void sc_engine_setup(enum sc_engine_kind kind);

/* "auto", "uring", "sync"; -1 for anything else. */
int sc_engine_kind_parse(const char *name, enum sc_engine_kind *ret);

struct sc_engine *sc_engine_sync_new(void);

#endif
