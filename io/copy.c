/* SPDX-License-Identifier: GPL-2.0-only */
/* The copy of one stream; see copy.h. */
#include "io/copy.h"

#include "io/base/log.h"
#include "io/base/num.h"
#include "io/cache.h"
#include "io/copy_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

/* Zeroes within a dense file are left out by extents of this many blocks, so
 * that the copy is not torn into smaller ones. */
#define DENSE_GROUP (64 * 1024 / SC_BLOCK_SIZE)

struct stream {
	struct sc_copy *copy;
	struct sc_slots *slots;
	unsigned index;
	struct sc_openfiles files;
	struct sc_copy_checker *checker; /* owned */
};

static const struct sc_file *file_of(const struct stream *st,
				     const struct sc_slot *slot)
{
	return &st->copy->list->files[slot->chunk.file];
}

static int open_for_read(void *arg, uint32_t index)
{
	const struct sc_copy *copy = arg;
	const struct sc_file *file = &copy->list->files[index];
	struct sc_image *image = copy->image;
	bool direct = file->kind == SC_FILE_PAGES;
	int fd = copy->same_files ? sc_file_open_listed(image, file, direct)
				  : image->open_file(image, file->path, direct);

	/* No read-ahead: it would fill the page cache with what we would then
	 * take for the server's. Our own reads are ahead already. */
	if (fd >= 0)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	return fd;
}

/* The slot has nothing to do with its file any more. */
static void leave_input(struct sc_slot *slot)
{
	if (slot->in && slot->drop_cache)
		sc_cache_drop(slot->in->fd, slot->chunk.off, slot->chunk.len);
	if (slot->in)
		sc_openfile_put(slot->in);
	slot->in = NULL;
}

/* What the sink said of a slot: above 0, it is on its way again. */
static int settle(struct stream *st, struct sc_slot *slot, int rc)
{
	if (rc > 0)
		return 0;
	sc_slot_give(st->slots, slot);
	return rc;
}

/* A chunk that was read and checked goes to the sink. */
static int pass_on(struct stream *st, struct sc_slot *slot, struct sc_err *err)
{
	struct sc_sink *sink = st->copy->sink;

	sc_blockmap_find(&slot->chunk.map, slot->buf, slot->chunk.len,
			 sc_file_is_sparse(file_of(st, slot)) ? 1
							      : DENSE_GROUP);
	st->copy->bytes_read += slot->chunk.len;
	return settle(st, slot, sink->ops->chunk(sink, st->index, slot, err));
}

/* Check the pages piece by piece and hash each piece while it is hot. */
static int check_and_hash(struct stream *st, struct sc_slot *slot,
			  struct sc_err *err)
{
	const struct sc_file *file = file_of(st, slot);
	struct sc_chunk *chunk = &slot->chunk;
	struct sc_digest_state state;

	sc_digest_begin(&state);
	for (uint32_t at = 0; at < chunk->len; at += SC_DIGEST_PIECE) {
		uint32_t n = SC_MIN(chunk->len - at, SC_DIGEST_PIECE);

		if (file->kind == SC_FILE_PAGES &&
		    sc_copy_check(st->checker, file, slot->io.fd,
				  chunk->off + at, slot->buf + at, n, err) < 0)
			return -1;
		sc_digest_add(&state, slot->buf + at, n);
	}
	sc_digest_end(&state, chunk->digest);
	return 0;
}

/* Leave the file of a chunk to a later pass. */
static bool set_aside(struct sc_copy *copy, uint32_t file)
{
	if (!copy->aside)
		return false;
	copy->aside[file] = 1;
	return true;
}

/* Nothing that was read from a lost image counts. */
static int check_image(struct sc_image *image, struct sc_err *err)
{
	return image->check ? image->check(image, err) : 0;
}

/* 0; 1: the file was set aside; -1. */
static int check_pages(struct stream *st, struct sc_slot *slot,
		       struct sc_err *err)
{
	struct sc_copy *copy = st->copy;
	struct sc_err why = SC_ERR_INIT;

	if (check_and_hash(st, slot, &why) == 0)
		return check_image(copy->image, err);
	if (!copy->stop && copy->aside &&
	    copy->excused(copy->ctx, file_of(st, slot)) &&
	    set_aside(copy, slot->chunk.file)) {
		sc_info("%s; it is copied again later, as DDL runs", why.msg);
		return 1;
	}
	*err = why;
	return -1;
}

/* 0; 1: the file was set aside; -1. */
static int check_read(struct stream *st, struct sc_slot *slot,
		      struct sc_err *err)
{
	const struct sc_file *file = file_of(st, slot);
	const struct sc_chunk *chunk = &slot->chunk;

	if (slot->io.res < 0)
		return sc_copy_read_failed(file, chunk->off, (int)-slot->io.res,
					   err);
	if (slot->io.res >= (int64_t)chunk->len)
		return check_pages(st, slot, err);
	if (set_aside(st->copy, chunk->file))
		return 1;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "%s was truncated while it was copied: %" PRId64
			  " bytes at %" PRIu64 ", expected %u",
			  file->path, slot->io.res, chunk->off, chunk->len);
}

static int complete_write(struct stream *st, struct sc_slot *slot,
			  struct sc_err *err)
{
	struct sc_sink *sink = st->copy->sink;

	return settle(st, slot, sink->ops->wrote(sink, st->index, slot, err));
}

static int complete_read(struct stream *st, struct sc_slot *slot,
			 struct sc_err *err)
{
	int rc = check_read(st, slot, err);

	leave_input(slot);
	if (rc == 0)
		return pass_on(st, slot, err);
	sc_slot_give(st->slots, slot);
	return rc > 0 ? 0 : -1;
}

/* Wait for one request and go on with its chunk, unless the stream has failed.
 */
static int reap(struct stream *st, bool failed, struct sc_err *err)
{
	struct sc_engine *engine = st->slots->engine;
	struct sc_slot *slot = engine->ops->wait(engine)->user;

	if (!failed)
		return slot->io.op == SC_IO_READ
			       ? complete_read(st, slot, err)
			       : complete_write(st, slot, err);
	leave_input(slot);
	sc_slot_give(st->slots, slot);
	return -1;
}

static int drain(struct stream *st, bool failed, struct sc_err *err)
{
	while (st->slots->n_idle < st->slots->n)
		failed |= reap(st, failed, err) < 0;
	return failed ? -1 : 0;
}

/* Nothing but a hole of the image: there is nothing to read. */
static int pass_on_hole(struct stream *st, struct sc_slot *slot,
			struct sc_err *err)
{
	leave_input(slot);
	memset(slot->buf, 0, slot->chunk.len);
	sc_digest(slot->buf, slot->chunk.len, slot->chunk.digest);
	return pass_on(st, slot, err);
}

/* Wait until so many bytes may be read. What is on its way is passed on first:
 * it need not wait as well. */
static int await_turn(struct stream *st, uint32_t len, struct sc_err *err)
{
	struct sc_rate *rate = st->copy->data_rate;
	uint64_t turn = rate ? sc_rate_book(rate, len) : 0;

	if (!turn)
		return 0;
	if (drain(st, false, err) < 0)
		return -1;
	sc_rate_wait(rate, turn, &st->copy->stop);
	return 0;
}

/* Begin with a chunk of an open file; a slot is idle. */
static int begin_chunk(struct stream *st, struct sc_openfile *in, uint64_t off,
		       uint32_t len, struct sc_err *err)
{
	bool hole = sc_range_is_hole(in->fd, off, len);
	struct sc_slot *slot;

	if (!hole && await_turn(st, len, err) < 0) {
		sc_openfile_put(in);
		return -1;
	}
	slot = sc_slot_take(st->slots);
	slot->in = in;
	slot->chunk.file = in->file;
	slot->chunk.off = off;
	slot->chunk.len = len;
	slot->drop_cache =
		!hole && !in->direct && !sc_cache_has(in->fd, off, len);
	if (hole)
		return pass_on_hole(st, slot, err);
	sc_slot_read(st->slots, slot);
	return 0;
}

/* Begin with chunk number `chunk`. */
static int begin(struct stream *st, uint64_t chunk, struct sc_err *err)
{
	const struct sc_filelist *list = st->copy->list;
	const struct sc_file *file = sc_filelist_find_chunk(list, chunk);
	uint64_t off = (chunk - file->first_chunk) * SC_CHUNK_SIZE;
	uint32_t index = (uint32_t)(file - list->files);
	struct sc_openfile *in;
	int sys_errno;

	if (file->shared || (st->copy->aside && st->copy->aside[index]))
		return 0;
	in = sc_openfile_get(&st->files, index, &sys_errno);
	if (!in && (sys_errno == ENOENT || sys_errno == ESTALE) &&
	    set_aside(st->copy, index))
		return 0;
	if (!in)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
				  "cannot open %s", file->path);
	return begin_chunk(st, in, off,
			   (uint32_t)SC_MIN(SC_CHUNK_SIZE, file->size - off),
			   err);
}

static int run(struct stream *st, struct sc_err *err)
{
	struct sc_copy *copy = st->copy;

	for (;;) {
		uint64_t chunk;

		if (copy->stop)
			return sc_copy_stopped(err);
		if (!st->slots->n_idle) {
			if (reap(st, false, err) < 0)
				return -1;
			continue; /* it may have become a write */
		}
		chunk = copy->next_chunk++;
		if (chunk >= copy->list->chunks)
			return 0;
		if (begin(st, chunk, err) < 0)
			return -1;
	}
}

static int run_in_sink(struct stream *st, struct sc_err *err)
{
	struct sc_sink *sink = st->copy->sink;
	int rc = sink->ops->stream_open(sink, st->index, st->slots, err);

	if (rc == 0) {
		rc = run(st, err);
		rc = drain(st, rc < 0, err);
	}
	if (rc == 0)
		rc = sink->ops->chunks_end(sink, st->index, err);
	sink->ops->stream_close(sink, st->index);
	return rc;
}

int sc_copy_stream(struct sc_copy *copy, struct sc_slots *slots,
		   unsigned stream, struct sc_err *err)
{
	struct stream st = {
		.copy = copy,
		.slots = slots,
		.index = stream,
		.files = { .open = open_for_read,
			   .arg = copy,
			   .engine = slots->engine },
	};
	int rc = sc_openfiles_init(&st.files, slots->n);

	st.checker = sc_copy_checker_new(copy);
	if (rc < 0 || !st.checker)
		rc = sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	else
		rc = run_in_sink(&st, err);
	sc_copy_checker_free(st.checker);
	sc_openfiles_free(&st.files);
	return rc;
}
