/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine on io_uring: one ring per engine, used by one thread. The only
 * file that knows liburing.
 *
 * A request has at most one entry in the ring at a time, so neither of its
 * queues can overflow while at most `depth` requests are queued or running.
 */
#include "io/engine_impl.h"

#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

/* Largest registered buffer. Source: io_uring_register_buffers(3). */
#define MAX_BUFFER SC_GIB
/* Registered files per engine: a stream has one or two open at a time. */
#define FILE_SLOTS 16

struct engine_uring {
	struct sc_engine base;
	struct io_uring ring;
	unsigned pending; /* queued or running */
	const char *arena;
	size_t arena_len;      /* registered, 0 = plain buffers */
	int slots[FILE_SLOTS]; /* descriptor, -1 = free */
	unsigned n_slots;      /* 0 = plain descriptors */
};

/*
 * Best first. DEFER_TASKRUN (6.1): completions are worked off when we ask for
 * them, not by interrupting the thread. COOP_TASKRUN (5.19): at the next system
 * call. Source: io_uring_setup(2).
 */
static const unsigned setup_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		IORING_SETUP_SUBMIT_ALL,
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_SUBMIT_ALL,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	0,
};

/* All of them are in Linux 5.6. Source: io_uring_enter(2). */
static const int needed_ops[] = { IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
				  IORING_OP_READ, IORING_OP_WRITE,
				  IORING_OP_FSYNC };

/* ---- requests --------------------------------------------------------------
 */

/* The registered buffer that the try lies in, -1 = none. */
static int buffer_of(const struct engine_uring *eu, const void *buf,
		     uint32_t len)
{
	size_t at = (size_t)((uintptr_t)buf - (uintptr_t)eu->arena);

	if ((uintptr_t)buf < (uintptr_t)eu->arena || at >= eu->arena_len ||
	    len > eu->arena_len - at ||
	    (len && at / MAX_BUFFER != (at + len - 1) / MAX_BUFFER))
		return -1;
	return (int)(at / MAX_BUFFER);
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

/* ---- open and close --------------------------------------------------------
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

static const struct sc_engine_ops uring_ops = {
	.name = "uring",
	.submit = uring_submit,
	.flush = uring_flush,
	.wait = uring_wait,
	.attach = uring_attach,
	.detach = uring_detach,
	.destroy = uring_destroy,
};

/* 0 or -errno. */
static int setup_ring(struct engine_uring *eu, unsigned depth,
		      struct sc_uring_got *got)
{
	int rc = -EINVAL;

	for (size_t i = 0; rc == -EINVAL && i < SC_ARRAY_SIZE(setup_flags);
	     i++) {
		got->flags = setup_flags[i];
		got->all_flags = i == 0;
		rc = io_uring_queue_init(depth, &eu->ring, setup_flags[i]);
	}
	return rc;
}

/* Whether the kernel knows the operations; 0 or -errno. */
static int check_ops(struct engine_uring *eu)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&eu->ring);
	int rc = probe ? 0 : -EOPNOTSUPP;

	for (size_t i = 0; probe && i < SC_ARRAY_SIZE(needed_ops); i++) {
		if (!io_uring_opcode_supported(probe, needed_ops[i]))
			rc = -EOPNOTSUPP;
	}
	io_uring_free_probe(probe);
	return rc;
}

/* A filter may allow the ring and forbid its use: send one entry through. */
static int check_enter(struct engine_uring *eu)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&eu->ring);
	struct io_uring_cqe *cqe;
	int rc;

	io_uring_prep_nop(sqe);
	do {
		rc = io_uring_submit_and_wait(&eu->ring, 1);
	} while (rc == -EINTR);
	if (rc < 0)
		return rc;
	rc = io_uring_wait_cqe(&eu->ring, &cqe);
	if (rc < 0)
		return rc;
	io_uring_cqe_seen(&eu->ring, cqe);
	return 0;
}

/* 0 or errno. */
static int register_arena(struct engine_uring *eu,
			  const struct sc_engine_params *params)
{
	size_t n = (params->arena_len + MAX_BUFFER - 1) / MAX_BUFFER;
	struct iovec *iov;
	int rc;

	if (!n)
		return 0;
	iov = calloc(n, sizeof(*iov));
	if (!iov)
		return ENOMEM;
	for (size_t i = 0; i < n; i++) {
		iov[i].iov_base = (char *)params->arena + i * MAX_BUFFER;
		iov[i].iov_len =
			SC_MIN(params->arena_len - i * MAX_BUFFER, MAX_BUFFER);
	}
	rc = io_uring_register_buffers(&eu->ring, iov, (unsigned)n);
	free(iov);
	if (rc < 0)
		return -rc;
	eu->arena = params->arena;
	eu->arena_len = params->arena_len;
	return 0;
}

/* 0 or errno. A table of -1 is empty on every kernel that has tables. */
static int register_files(struct engine_uring *eu)
{
	int rc;

	memset(eu->slots, -1, sizeof(eu->slots));
	rc = io_uring_register_files(&eu->ring, eu->slots, FILE_SLOTS);
	if (rc < 0)
		return -rc;
	eu->n_slots = FILE_SLOTS;
	return 0;
}

struct sc_engine *sc_engine_uring_new(const struct sc_engine_params *params,
				      struct sc_uring_got *got)
{
	struct engine_uring *eu = calloc(1, sizeof(*eu));
	int rc;

	*got = (struct sc_uring_got){ .ring = ENOMEM };
	if (!eu)
		return NULL;
	eu->base.ops = &uring_ops;
	rc = setup_ring(eu, params->depth, got);
	if (rc == 0) {
		rc = check_ops(eu);
		if (rc == 0)
			rc = check_enter(eu);
		if (rc < 0)
			io_uring_queue_exit(&eu->ring);
	}
	got->ring = -rc;
	if (rc < 0) {
		free(eu);
		return NULL;
	}
	got->buffers = register_arena(eu, params);
	got->files = register_files(eu);
	return &eu->base;
}
