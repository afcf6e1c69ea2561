/* SPDX-License-Identifier: GPL-2.0-only */
/* The copy of one stream; see copy.h. */
#include "io/copy.h"

#include "io/base/cleanup.h"
#include "io/base/num.h"
#include "io/copy_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A chunk on its way. */
struct slot {
	struct sc_io io;
	void *buf;
	const struct sc_file *file;
	uint32_t file_index;
	uint32_t len; /* logical bytes */
};

struct stream {
	struct sc_copy *copy;
	struct sc_engine *engine;
	unsigned index;
	struct sc_copy_checker *checker; /* owned */
	struct slot *slots;		 /* copy->depth of them, owned */
	struct slot **idle;		 /* those not in flight, owned */
	unsigned n_idle;
	/* The file read last stays open: chunks of a file come in a row. */
	uint32_t open_index;
	int open_fd;
};

/* Open the file of the next chunk; nothing is in flight then. */
static int switch_file(struct stream *st, uint32_t file_index,
		       struct sc_err *err)
{
	const struct sc_file *file = &st->copy->list->files[file_index];
	int fd = st->copy->image->open_file(st->copy->image, file->path,
					    file->kind == SC_FILE_PAGES);

	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -fd,
				  "cannot open %s", file->path);
	if (st->open_fd >= 0)
		close(st->open_fd);
	st->open_fd = fd;
	st->open_index = file_index;
	return 0;
}

/* A chunk came back from the engine: check it and pass it on. */
static int complete(struct stream *st, struct slot *slot, struct sc_err *err)
{
	struct sc_chunk chunk = { .file = slot->file_index,
				  .len = slot->len,
				  .off = slot->io.off };
	const struct sc_file *file = slot->file;
	const void *data = slot->buf;

	if (slot->io.res < 0)
		return sc_copy_read_failed(file, slot->io.off,
					   (int)-slot->io.res, err);
	if (slot->io.res < (int64_t)slot->len)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"%s was truncated while it was copied: %" PRId64
			" bytes at %" PRIu64 ", expected %u",
			file->path, slot->io.res, slot->io.off, slot->len);
	if (file->kind == SC_FILE_PAGES &&
	    sc_copy_check(st->checker, file, slot->io.fd, slot->io.off,
			  slot->buf, slot->len, err) < 0)
		return -1;
	sc_digest(slot->buf, slot->len, chunk.digest);
	if (sc_is_zero(slot->buf, slot->len))
		data = NULL;
	else if (st->copy->network_rate)
		sc_rate_take(st->copy->network_rate, slot->len,
			     &st->copy->stop);
	st->copy->bytes_read += slot->len;
	return st->copy->sink->ops->chunk(st->copy->sink, st->index, &chunk,
					  data, err);
}

static bool busy(const struct stream *st)
{
	return st->n_idle < st->copy->depth;
}

/* Wait for one request; finish it unless the stream has failed. */
static int reap(struct stream *st, bool failed, struct sc_err *err)
{
	struct slot *slot = st->engine->ops->wait(st->engine)->user;

	st->idle[st->n_idle++] = slot;
	return failed ? -1 : complete(st, slot, err);
}

static int drain(struct stream *st, bool failed, struct sc_err *err)
{
	while (busy(st))
		failed |= reap(st, failed, err) < 0;
	return failed ? -1 : 0;
}

/* Begin the read of chunk number `chunk`; a slot is idle. */
static int begin(struct stream *st, uint64_t chunk, struct sc_err *err)
{
	const struct sc_filelist *list = st->copy->list;
	struct sc_file *file = sc_filelist_find_chunk(list, chunk);
	uint64_t off = (chunk - file->first_chunk) * SC_CHUNK_SIZE;
	uint32_t index = (uint32_t)(file - list->files);
	struct slot *slot;

	if (index != st->open_index &&
	    (drain(st, false, err) < 0 || switch_file(st, index, err) < 0))
		return -1;
	slot = st->idle[--st->n_idle];
	slot->file = file;
	slot->file_index = index;
	slot->len = (uint32_t)SC_MIN(SC_CHUNK_SIZE, file->size - off);
	slot->io = (struct sc_io){ .op = SC_IO_READ,
				   .fd = st->open_fd,
				   .buf = slot->buf,
				   .off = off,
				   .user = slot };
	if (st->copy->data_rate)
		sc_rate_take(st->copy->data_rate, slot->len, &st->copy->stop);
	/* The tail of a file is read by whole blocks; O_DIRECT needs that. */
	slot->io.len = (uint32_t)sc_align_up(slot->len, SC_COPY_ALIGN);
	st->engine->ops->submit(st->engine, &slot->io);
	return 0;
}

static int run(struct stream *st, struct sc_err *err)
{
	struct sc_copy *copy = st->copy;

	for (;;) {
		uint64_t chunk;

		if (copy->stop)
			return sc_copy_stopped(err);
		if (!st->n_idle && reap(st, false, err) < 0)
			return -1;
		chunk = copy->next_chunk++;
		if (chunk >= copy->list->chunks)
			return 0;
		if (begin(st, chunk, err) < 0)
			return -1;
	}
}

static int stream_buffers(struct stream *st, struct sc_err *err)
{
	unsigned depth = st->copy->depth;

	st->checker = sc_copy_checker_new(st->copy);
	st->slots = calloc(depth, sizeof(*st->slots));
	st->idle = calloc(depth, sizeof(struct slot *));
	for (unsigned i = 0; st->slots && st->idle && i < depth; i++) {
		if (posix_memalign(&st->slots[i].buf, SC_COPY_ALIGN,
				   SC_CHUNK_SIZE)) {
			st->slots[i].buf = NULL;
			break;
		}
		st->idle[st->n_idle++] = &st->slots[i];
	}
	if (st->n_idle == depth && st->checker)
		return 0;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "out of memory for %u stream buffers of %u bytes",
			  depth, SC_CHUNK_SIZE);
}

static void free_buffers(struct stream *st)
{
	for (unsigned i = 0; st->slots && i < st->copy->depth; i++)
		free(st->slots[i].buf);
	free(st->slots);
	free(st->idle);
	sc_copy_checker_free(st->checker);
}

int sc_copy_stream(struct sc_copy *copy, struct sc_engine *engine,
		   unsigned stream, struct sc_err *err)
{
	struct stream st = { .copy = copy,
			     .engine = engine,
			     .index = stream,
			     .open_index = UINT32_MAX,
			     .open_fd = -1 };
	int rc = stream_buffers(&st, err);

	if (rc == 0) {
		rc = run(&st, err);
		rc = drain(&st, rc < 0, err);
	}
	if (rc == 0)
		rc = copy->sink->ops->chunks_end(copy->sink, stream, err);
	if (st.open_fd >= 0)
		close(st.open_fd);
	free_buffers(&st);
	return rc;
}
