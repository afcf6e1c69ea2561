/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine on io_uring: one ring per engine, used by one thread. Making it is
 * in engine_uring_open.c.
 *
 * A request has at most one entry in the ring at a time, so neither of its
 * queues can overflow while at most `depth` requests are queued or running.
 */
#include "io/engine_uring.h"

#include "io/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests --------------------------------------------------------------
 */

/* The registered buffer that the try lies in, -1 = none. */
static int buffer_of(const struct engine_uring *eu, const void *buf,
		     uint32_t len)
{
	size_t at = (size_t)((uintptr_t)buf - (uintptr_t)eu->arena);

	if ((uintptr_t)buf < (uintptr_t)eu->arena || at >= eu->arena_len ||
	    len > eu->arena_len - at ||
	    (len && at / URING_MAX_BUFFER != (at + len - 1) / URING_MAX_BUFFER))
		return -1;
	return (int)(at / URING_MAX_BUFFER);
}

static int slot_of(const struct engine_uring *eu, int fd)
{
	for (unsigned i = 0; i < eu->n_slots; i++) {
		if (eu->slots[i] == fd)
			return (int)i;
	}
	return -1;
}

static void prepare_transfer(const struct engine_uring *eu,
			     const struct sc_io *io, struct io_uring_sqe *sqe)
{
	bool reads = io->op == SC_IO_READ;
	uint32_t len = sc_io_len(io);
	void *buf = sc_io_buf(io);
	int index = buffer_of(eu, buf, len);

	if (index >= 0 && reads)
		io_uring_prep_read_fixed(sqe, io->fd, buf, len, sc_io_off(io),
					 index);
	else if (index >= 0)
		io_uring_prep_write_fixed(sqe, io->fd, buf, len, sc_io_off(io),
					  index);
	else if (reads)
		io_uring_prep_read(sqe, io->fd, buf, len, sc_io_off(io));
	else
		io_uring_prep_write(sqe, io->fd, buf, len, sc_io_off(io));
}

/* Put the next try of a request into the submission queue. */
static void push(struct engine_uring *eu, struct sc_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&eu->ring);
	int slot = slot_of(eu, io->fd);

	if (!sqe) {
		sc_error("io_uring: more requests than the engine's depth");
		abort();
	}
	switch (io->op) {
	case SC_IO_READ:
	case SC_IO_WRITE:
		prepare_transfer(eu, io, sqe);
		break;
	case SC_IO_FSYNC:
		io_uring_prep_fsync(sqe, io->fd, 0);
		break;
	}
	if (slot >= 0) {
		sqe->fd = slot;
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	io_uring_sqe_set_data(sqe, io);
}

static void uring_submit(struct sc_engine *engine, struct sc_io *io)
{
	struct engine_uring *eu = (struct engine_uring *)engine;

	sc_io_begin(io);
	eu->pending++;
	push(eu, io);
}

/* The ring worked when it was made; requests of ours are in the kernel's hands
 * and their memory with them, so there is no way on. */
static void broken(int rc)
{
	sc_error("io_uring_enter fails: %s", strerrordesc_np(-rc));
	abort();
}

/* EAGAIN: the kernel is short of memory; EBUSY: completions must be taken
 * first. What stays queued goes with the next call. */
static bool is_passing(int rc)
{
	return rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY;
}

static void start_queued(struct io_uring *ring)
{
	int rc = 0;

	if (io_uring_sq_ready(ring))
		rc = io_uring_submit(ring);
	if (!is_passing(rc))
		broken(rc);
}

static void uring_flush(struct sc_engine *engine)
{
	start_queued(&((struct engine_uring *)engine)->ring);
}

/* The next completion; something is queued or running. What is queued starts
 * first: the device works on while the caller does with what it gets. */
static struct io_uring_cqe *next_cqe(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	if (io_uring_peek_cqe(ring, &cqe) == 0) {
		start_queued(ring);
		return cqe;
	}
	while (io_uring_peek_cqe(ring, &cqe) != 0) {
		int rc = io_uring_submit_and_wait(ring, 1);

		if (!is_passing(rc))
			broken(rc);
	}
	return cqe;
}

static struct sc_io *uring_wait(struct sc_engine *engine)
{
	struct engine_uring *eu = (struct engine_uring *)engine;

	while (eu->pending) {
		struct io_uring_cqe *cqe = next_cqe(&eu->ring);
		struct sc_io *io = io_uring_cqe_get_data(cqe);
		int rc = cqe->res;

		io_uring_cqe_seen(&eu->ring, cqe);
		if (!sc_io_step(io, rc)) {
			eu->pending--;
			return io;
		}
		push(eu, io);
	}
	return NULL;
}

/* ---- files -----------------------------------------------------------------
 */

static void set_slot(struct engine_uring *eu, int slot, int fd)
{
	if (io_uring_register_files_update(&eu->ring, (unsigned)slot, &fd, 1) ==
	    1)
		eu->slots[slot] = fd;
	else if (fd < 0)
		broken(-EBADF); /* the slot would stand for a closed file */
}

static void uring_attach(struct sc_engine *engine, int fd)
{
	struct engine_uring *eu = (struct engine_uring *)engine;
	int slot = slot_of(eu, -1);

	if (fd >= 0 && slot >= 0 && slot_of(eu, fd) < 0)
		set_slot(eu, slot, fd);
}

static void uring_detach(struct sc_engine *engine, int fd)
{
	struct engine_uring *eu = (struct engine_uring *)engine;
	int slot = fd < 0 ? -1 : slot_of(eu, fd);

	if (slot >= 0)
		set_slot(eu, slot, -1);
}

/* ---- close --------------------------------------------------------
 */

static void uring_destroy(struct sc_engine *engine)
{
	struct engine_uring *eu = (struct engine_uring *)engine;

	/* The kernel takes a closed ring apart in its own time; locked memory
	 * and files are wanted back now. Neither can fail but for being none.
	 */
	if (eu->arena_len)
		(void)io_uring_unregister_buffers(&eu->ring);
	if (eu->n_slots)
		(void)io_uring_unregister_files(&eu->ring);
	io_uring_queue_exit(&eu->ring);
	free(eu);
}

const struct sc_engine_ops engine_uring_ops = {
	.name = "uring",
	.submit = uring_submit,
	.flush = uring_flush,
	.wait = uring_wait,
	.attach = uring_attach,
	.detach = uring_detach,
	.destroy = uring_destroy,
};
