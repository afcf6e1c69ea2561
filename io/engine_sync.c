/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine of plain pread and pwrite: for kernels without io_uring or where
 * a filter forbids it. Requests run when they are submitted and wait in a
 * first-in first-out list until they are asked for.
 */
#include "io/engine.h"

#include "io/base/fdio.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct engine_sync {
	struct sc_engine base;
	struct sc_io *head, **tail;
};

static int64_t run(const struct sc_io *io)
{
	int rc;

	switch (io->op) {
	case SC_IO_READ:
		return sc_pread_full(io->fd, io->buf, io->len, io->off);
	case SC_IO_WRITE:
		rc = sc_pwrite_full(io->fd, io->buf, io->len, io->off);
		return rc < 0 ? rc : (int64_t)io->len;
	case SC_IO_FSYNC:
		return fsync(io->fd) < 0 ? -errno : 0;
	}
	return -EINVAL;
}

static void sync_submit(struct sc_engine *engine, struct sc_io *io)
{
	struct engine_sync *es = (struct engine_sync *)engine;

	io->res = run(io);
	io->next = NULL;
	*es->tail = io;
	es->tail = &io->next;
}

static void sync_flush(struct sc_engine *engine)
{
	(void)engine;
}

static void sync_file(struct sc_engine *engine, int fd)
{
	(void)engine;
	(void)fd;
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
	.flush = sync_flush,
	.wait = sync_wait,
	.attach = sync_file,
	.detach = sync_file,
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
