/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine of plain pread and pwrite: for kernels without io_uring or where
 * a filter forbids it. Requests run when they are submitted and wait in a
 * first-in first-out list until they are asked for.
 */
#include "io/engine_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct engine_sync {
	struct sc_engine base;
	struct sc_io *head, **tail;
};

static int64_t try_once(const struct sc_io *io)
{
	int64_t rc = -1;

	errno = EINVAL;
	switch (io->op) {
	case SC_IO_READ:
		rc = pread(io->fd, sc_io_buf(io), sc_io_len(io),
			   (off_t)sc_io_off(io));
		break;
	case SC_IO_WRITE:
		rc = pwrite(io->fd, sc_io_buf(io), sc_io_len(io),
			    (off_t)sc_io_off(io));
		break;
	case SC_IO_FSYNC:
		rc = fsync(io->fd);
		break;
	}
	return rc < 0 ? -errno : rc;
}

static void sync_submit(struct sc_engine *engine, struct sc_io *io)
{
	struct engine_sync *es = (struct engine_sync *)engine;

	sc_io_begin(io);
	while (sc_io_step(io, try_once(io)))
		;
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
