/* SPDX-License-Identifier: GPL-2.0-only */
/* Slots of a stream; see slots.h. */
#include "io/slots.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <sys/mman.h>

/* A huge page of x86-64. Source: Documentation/admin-guide/mm/transhuge.rst. */
#define HUGE_PAGE ((size_t)2 << 20)

/*
 * The arena in huge pages, where the kernel has some: a chunk is then one
 * stretch of memory for the device. In pages of 4 KiB it is 256 of them, which
 * is more than many devices take in one request (virtio: 254 segments), so
 * that io_uring hands it to a worker thread to be split.
 */
static void *map_arena(size_t len)
{
	char *p = mmap(NULL, len + HUGE_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t skip;

	if (p == MAP_FAILED)
		return NULL;
	skip = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1));
	if (skip)
		munmap(p, skip);
	munmap(p + skip + len, HUGE_PAGE - skip);
	/* Without it everything works, a little slower. */
	(void)madvise(p + skip, len, MADV_HUGEPAGE);
	return p + skip;
}

static int make_slots(struct sc_slots *s, unsigned n)
{
	s->all = calloc(n, sizeof(*s->all));
	s->idle = calloc(n, sizeof(struct sc_slot *));
	s->arena = map_arena((size_t)n * SC_CHUNK_SIZE);
	s->n = n;
	if (!s->all || !s->idle || !s->arena)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		s->all[i].buf = (uint8_t *)s->arena + (size_t)i * SC_CHUNK_SIZE;
		s->all[i].io.user = &s->all[i];
		sc_slot_give(s, &s->all[i]);
	}
	return 0;
}

int sc_slots_init(struct sc_slots *s, unsigned n, struct sc_engine *engine,
		  struct sc_err *err)
{
	*s = (struct sc_slots){ .engine = engine };
	if (make_slots(s, n) == 0 && !engine) {
		const struct sc_engine_params params = {
			.depth = n,
			.arena = s->arena,
			.arena_len = (size_t)n * SC_CHUNK_SIZE,
		};

		s->engine = sc_engine_open(&params);
	}
	if (s->n_idle == n && s->engine)
		return 0;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "out of memory for %u stream buffers of %u bytes", n,
			  SC_CHUNK_SIZE);
}

void sc_slots_free(struct sc_slots *s)
{
	if (s->engine)
		s->engine->ops->destroy(s->engine);
	if (s->arena)
		munmap(s->arena, (size_t)s->n * SC_CHUNK_SIZE);
	free(s->all);
	free(s->idle);
	*s = (struct sc_slots){ 0 };
}

void sc_slot_read(struct sc_slots *s, struct sc_slot *slot)
{
	slot->io.op = SC_IO_READ;
	slot->io.fd = slot->in->fd;
	slot->io.buf = slot->buf;
	slot->io.off = slot->chunk.off;
	slot->io.len = (uint32_t)sc_align_up(slot->chunk.len, SC_BLOCK_SIZE);
	s->engine->ops->submit(s->engine, &slot->io);
}

bool sc_slot_write(struct sc_slots *s, struct sc_slot *slot, uint32_t from)
{
	uint32_t len, padded;

	if (!sc_blockmap_next(&slot->chunk.map, slot->chunk.len, &from, &len))
		return false;
	padded = (uint32_t)sc_align_up(len, SC_BLOCK_SIZE);
	if (slot->out->direct && padded != len) {
		memset(slot->buf + from + len, 0, padded - len);
		len = padded;
	}
	slot->io.op = SC_IO_WRITE;
	slot->io.fd = slot->out->fd;
	slot->io.buf = slot->buf + from;
	slot->io.off = slot->chunk.off + from;
	slot->io.len = len;
	s->engine->ops->submit(s->engine, &slot->io);
	return true;
}
