/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the engine on io_uring, shared by engine_uring.c and
 * engine_uring_open.c, the only files that know liburing. */
#ifndef SC_ENGINE_URING_H
#define SC_ENGINE_URING_H

#include "io/engine_impl.h"

#include "io/base/num.h"

#include <liburing.h>

/* Largest registered buffer. Source: io_uring_register_buffers(3). */
#define URING_MAX_BUFFER SC_GIB
/* Registered files per engine: a stream has one or two open at a time. */
#define URING_FILE_SLOTS 16

struct engine_uring {
	struct sc_engine base;
	struct io_uring ring;
	unsigned pending; /* queued or running */
	const char *arena;
	size_t arena_len;	     /* registered, 0 = plain buffers */
	int slots[URING_FILE_SLOTS]; /* descriptor, -1 = free */
	unsigned n_slots;	     /* 0 = plain descriptors */
};

extern const struct sc_engine_ops engine_uring_ops;

#endif
