/* SPDX-License-Identifier: GPL-2.0-only */
/* Seeded faults around another engine; see engine_fault.h. */
#include "io/engine_fault.h"

#include "io/base/num.h"
#include "io/engine_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* Parts of direct requests are whole blocks; 4 KiB is the largest in use. */
#define BLOCK 4096

/* A request on its way, and the one that stands for it below. */
struct shadow {
	struct sc_io below;
	struct sc_io *io; /* the submitter's */
	enum sc_fault_kind fate;
};

struct engine_fault {
	struct sc_engine base;
	struct sc_engine *inner;
	struct sc_fault_plan *plan;
	uint64_t random;
	unsigned depth;
	unsigned running;	/* below */
	struct shadow *shadows; /* depth of them, owned */
	struct shadow **idle;	/* owned */
	unsigned n_idle;
	struct sc_io **ready; /* complete, owned */
	unsigned n_ready;
};

/* Source: SplitMix64, Steele et al., "Fast splittable pseudorandom number
 * generators" (2014). */
static uint64_t next_random(struct engine_fault *ef)
{
	uint64_t z = ef->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static bool dice(struct engine_fault *ef, unsigned per_mille)
{
	bool hit = next_random(ef) % 1000 < per_mille;

	ef->plan->injected += hit;
	return hit;
}

static bool transfers(const struct sc_io *io)
{
	return io->op == SC_IO_READ || io->op == SC_IO_WRITE;
}

/* What happens to a new request: nothing, or what the plan has for its number.
 */
static enum sc_fault_kind draw_fate(struct engine_fault *ef,
				    const struct sc_io *io)
{
	struct sc_fault_plan *plan = ef->plan;

	if (plan->ops && !(plan->ops & 1u << io->op))
		return SC_FAULT_NONE;
	if (++plan->seen != plan->at)
		return SC_FAULT_NONE;
	if (plan->kind > SC_FAULT_ERROR && io->op != SC_IO_READ)
		return SC_FAULT_NONE;
	plan->hit = true;
	plan->injected++;
	return plan->kind;
}

/* Less than len bytes, or 0 when there is no such part. */
static uint32_t part_of(struct engine_fault *ef, const struct sc_io *io)
{
	uint32_t unit = fcntl(io->fd, F_GETFL) & O_DIRECT ? BLOCK : 1;
	uint32_t units = (sc_io_len(io) + unit - 1) / unit;

	if (!transfers(io) || units < 2)
		return 0;
	return unit * (uint32_t)(1 + next_random(ef) % (units - 1));
}

static void run_below(struct engine_fault *ef, struct shadow *shadow,
		      uint32_t len)
{
	const struct sc_io *io = shadow->io;

	shadow->below = (struct sc_io){ .op = io->op,
					.fd = io->fd,
					.buf = sc_io_buf(io),
					.len = len,
					.off = sc_io_off(io),
					.user = shadow };
	ef->running++;
	ef->inner->ops->submit(ef->inner, &shadow->below);
}

/* One try: true when it went below, else *rc is its answer. */
static bool try_once(struct engine_fault *ef, struct shadow *shadow,
		     int64_t *rc)
{
	const struct sc_io *io = shadow->io;
	uint32_t part = part_of(ef, io);

	if (shadow->fate == SC_FAULT_ERROR) {
		*rc = -ef->plan->error;
		if (!part || io->done || next_random(ef) % 2)
			return false;
	} else if (shadow->fate == SC_FAULT_END) {
		*rc = 0;
		if (!part || io->done)
			return false;
	} else if (dice(ef, ef->plan->again)) {
		*rc = next_random(ef) % 2 ? -EINTR : -EAGAIN;
		return false;
	} else if (!part || !dice(ef, ef->plan->partial)) {
		part = sc_io_len(io);
	}
	run_below(ef, shadow, part);
	return true;
}

static void flip(struct engine_fault *ef, struct sc_io *io)
{
	uint64_t bit = next_random(ef);

	if (io->res > 0)
		((uint8_t *)io->buf)[(bit >> 3) % (uint64_t)io->res] ^=
			(uint8_t)(1u << (bit & 7));
}

static void finish(struct engine_fault *ef, struct shadow *shadow)
{
	if (shadow->fate == SC_FAULT_FLIP)
		flip(ef, shadow->io);
	ef->ready[ef->n_ready++] = shadow->io;
	ef->idle[ef->n_idle++] = shadow;
}

/* Try until a try goes below or the request is complete. */
static void go_on(struct engine_fault *ef, struct shadow *shadow)
{
	int64_t rc;

	while (!try_once(ef, shadow, &rc)) {
		if (!sc_io_step(shadow->io, rc)) {
			finish(ef, shadow);
			return;
		}
	}
}

static void fault_submit(struct sc_engine *engine, struct sc_io *io)
{
	struct engine_fault *ef = (struct engine_fault *)engine;
	struct shadow *shadow;

	if (!ef->n_idle || ef->n_ready + ef->running >= ef->depth)
		abort(); /* more than the engine's depth */
	shadow = ef->idle[--ef->n_idle];
	shadow->io = io;
	shadow->fate = draw_fate(ef, io);
	sc_io_begin(io);
	go_on(ef, shadow);
}

static void fault_flush(struct sc_engine *engine)
{
	struct engine_fault *ef = (struct engine_fault *)engine;

	ef->inner->ops->flush(ef->inner);
}

/* Something is running below. */
static void reap(struct engine_fault *ef)
{
	struct sc_io *below = ef->inner->ops->wait(ef->inner);
	struct shadow *shadow = below->user;

	ef->running--;
	if (sc_io_step(shadow->io, below->res))
		go_on(ef, shadow);
	else
		finish(ef, shadow);
}

static struct sc_io *fault_wait(struct sc_engine *engine)
{
	struct engine_fault *ef = (struct engine_fault *)engine;
	unsigned i = 0;
	struct sc_io *io;

	while (ef->running &&
	       (!ef->n_ready || (ef->plan->reorder && next_random(ef) % 4)))
		reap(ef);
	if (!ef->n_ready)
		return NULL;
	if (ef->plan->reorder)
		i = (unsigned)(next_random(ef) % ef->n_ready);
	io = ef->ready[i];
	ef->ready[i] = ef->ready[--ef->n_ready];
	return io;
}

static void fault_attach(struct sc_engine *engine, int fd)
{
	struct engine_fault *ef = (struct engine_fault *)engine;

	ef->inner->ops->attach(ef->inner, fd);
}

static void fault_detach(struct sc_engine *engine, int fd)
{
	struct engine_fault *ef = (struct engine_fault *)engine;

	ef->inner->ops->detach(ef->inner, fd);
}

static void fault_free(struct engine_fault *ef)
{
	free(ef->shadows);
	free(ef->idle);
	free(ef->ready);
	free(ef);
}

static void fault_destroy(struct sc_engine *engine)
{
	struct engine_fault *ef = (struct engine_fault *)engine;

	ef->inner->ops->destroy(ef->inner);
	fault_free(ef);
}

static const struct sc_engine_ops fault_ops = {
	.name = "fault",
	.submit = fault_submit,
	.flush = fault_flush,
	.wait = fault_wait,
	.attach = fault_attach,
	.detach = fault_detach,
	.destroy = fault_destroy,
};

struct sc_engine *sc_engine_fault_new(struct sc_engine *inner, unsigned depth,
				      struct sc_fault_plan *plan)
{
	struct engine_fault *ef = calloc(1, sizeof(*ef));

	if (!ef)
		return NULL;
	ef->base.ops = &fault_ops;
	ef->inner = inner;
	ef->plan = plan;
	ef->random = plan->seed;
	ef->depth = depth;
	ef->shadows = calloc(depth, sizeof(*ef->shadows));
	ef->idle = calloc(depth, sizeof(struct shadow *));
	ef->ready = calloc(depth, sizeof(struct sc_io *));
	if (!ef->shadows || !ef->idle || !ef->ready) {
		fault_free(ef);
		return NULL;
	}
	while (ef->n_idle < depth) {
		ef->idle[ef->n_idle] = &ef->shadows[ef->n_idle];
		ef->n_idle++;
	}
	return &ef->base;
}
