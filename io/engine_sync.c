/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine of plain pread and pwrite: for kernels without io_uring or where
 * a filter forbids it. Requests run when they are submitted and wait in a
 * first-in first-out list until they are asked for.
 */
#include "io/engine.h"

#include "io/base/fdio.h"

#include <stdlib.h>

struct engine_sync {
	struct sc_engine base;
	struct sc_io *head, **tail;
};

static void sync_submit(struct sc_engine *engine, struct sc_io *io)
{
	struct engine_sync *es = (struct engine_sync *)engine;

	if (io->op == SC_IO_READ) {
		io->res = sc_pread_full(io->fd, io->buf, io->len, io->off);
	} else {
		int rc = sc_pwrite_full(io->fd, io->buf, io->len, io->off);

		io->res = rc < 0 ? rc : (int64_t)io->len;
	}
	io->next = NULL;
	*es->tail = io;
	es->tail = &io->next;
}

static struct sc_io *sync_wait(struct sc_engine *engine)
{
	struct engine_sync *es = (struct engine_sync *)engine;
	struct sc_io *io = es->head;

	if (io) {
		es->head = io->next;
		if (!es->head)
			es->tail = &es->head;
	}
	return io;
}

static void sync_destroy(struct sc_engine *engine)
{
	free(engine);
}

static const struct sc_engine_ops sync_ops = {
	.name = "sync",
	.submit = sync_submit,
	.wait = sync_wait,
	.destroy = sync_destroy,
};

struct sc_engine *sc_engine_sync_new(void)
{
	struct engine_sync *es = calloc(1, sizeof(*es));

	if (!es)
		return NULL;
	es->base.ops = &sync_ops;
	es->tail = &es->head;
	return &es->base;
}
