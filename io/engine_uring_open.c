/* SPDX-License-Identifier: GPL-2.0-only */
/* Making an engine on io_uring: what the kernel has of all we can use; see
 * engine_uring.h. */
#include "io/engine_uring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	size_t n =
		(params->arena_len + URING_MAX_BUFFER - 1) / URING_MAX_BUFFER;
	struct iovec *iov;
	int rc;

	if (!n)
		return 0;
	iov = calloc(n, sizeof(*iov));
	if (!iov)
		return ENOMEM;
	for (size_t i = 0; i < n; i++) {
		iov[i].iov_base = (char *)params->arena + i * URING_MAX_BUFFER;
		iov[i].iov_len =
			SC_MIN(params->arena_len - i * URING_MAX_BUFFER,
			       URING_MAX_BUFFER);
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
	rc = io_uring_register_files(&eu->ring, eu->slots, URING_FILE_SLOTS);
	if (rc < 0)
		return -rc;
	eu->n_slots = URING_FILE_SLOTS;
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
	eu->base.ops = &engine_uring_ops;
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
