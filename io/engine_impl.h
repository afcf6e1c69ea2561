/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the engines: what engine_*.c share. Used by them alone. */
#ifndef SC_ENGINE_IMPL_H
#define SC_ENGINE_IMPL_H

#include "io/engine.h"

#include <stdbool.h>

/* What the kernel gave an io_uring engine; 0 = all of it, else the errno. */
struct sc_uring_got {
	int ring;	/* the ring itself: there is no engine */
	unsigned flags; /* setup flags it took, see engine_uring_open.c */
	bool all_flags; /* these are the best we know */
	int buffers;	/* registering the arena */
	int files;	/* the table of registered files */
};

/* The engine on io_uring, or NULL with got->ring set. got: filled in. */
struct sc_engine *sc_engine_uring_new(const struct sc_engine_params *params,
				      struct sc_uring_got *got);

/* Times in a row that a request may come back with EINTR or EAGAIN. Bounds a
 * loop that nothing is known to enter: regular files have neither. */
#define SC_IO_MAX_TRIES 1000

/* Where a try of the request begins and what it still asks for. */
static inline void *sc_io_buf(const struct sc_io *io)
{
	return (char *)io->buf + io->done;
}

static inline uint32_t sc_io_len(const struct sc_io *io)
{
	return io->len - io->done;
}

static inline uint64_t sc_io_off(const struct sc_io *io)
{
	return io->off + io->done;
}

/* Before the first try of a request. */
void sc_io_begin(struct sc_io *io);

/*
 * The kernel's answer to one try: bytes or -errno. False when the request is
 * complete, with its res set; true when the rest needs another try.
 */
bool sc_io_step(struct sc_io *io, int64_t rc);

#endif
