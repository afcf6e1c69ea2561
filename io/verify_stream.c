/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread that reads chunks and checks them; see verify_impl.h. The work list
 * is shared: one atomic counter. */
#include "io/verify_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/cache.h"
#include "io/direct.h"
#include "io/page_open.h"
#include "io/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Chunks of a thread that are read at once. */
#define DEPTH 4

struct stream {
	struct verify *v;
	struct sc_slots slots;
	struct sc_openfiles files;
	struct sc_page_opener *opener;
	uint8_t *page0; /* SC_DIRECT_ALIGN bytes */
	/* Of the file checked last; NULL: its pages cannot be told apart. */
	uint32_t spec_of;
	bool have_spec;
	struct sc_page_spec spec;
};

static const struct sc_file *file_of(const struct stream *st,
				     const struct sc_slot *slot)
{
	return &st->v->work.files[slot->chunk.file];
}

static int open_for_read(void *arg, uint32_t index)
{
	const struct verify *v = arg;
	const char *path = v->work.files[index].path;
	char name[VERIFY_NAME_CAP];
	int fd, dir = verify_name(v, path, name);

	fd = sc_direct_or_buffered(sc_open_beneath(
		dir, name, O_RDONLY | O_DIRECT | O_NONBLOCK, 0));
	if (fd == -EINVAL) /* not on this file system */
		fd = sc_open_beneath(dir, name, O_RDONLY | O_NONBLOCK, 0);
	return fd;
}

/* ---- pages --------------------------------------------------------------- */

/* What the manifest, or nothing at all, says of a file without a page 0 that
 * can be read. */
static bool assume_spec(struct stream *st, const struct sc_file *file)
{
	struct sc_page_spec spec;

	st->spec = file->spec;
	st->spec.logical_size = st->spec.physical_size;
	if (file->spec.flags &&
	    sc_page_spec_from_flags(file->spec.flags, file->spec.space_id,
				    &spec) &&
	    spec.physical_size == file->spec.physical_size)
		st->spec = spec;
	st->spec.first_page = file->spec.first_page;
	return st->spec.physical_size >= SC_PAGE_SIZE_MIN;
}

static bool load_spec(struct stream *st, const struct sc_slot *slot)
{
	const struct sc_file *file = file_of(st, slot);
	struct sc_err err = SC_ERR_INIT;
	ssize_t n;
	int rc = 1;

	if (st->v->files[slot->chunk.file].system)
		return assume_spec(st, file);
	n = sc_pread_full(slot->in->fd, st->page0, SC_DIRECT_ALIGN, 0);
	if (n == (ssize_t)SC_DIRECT_ALIGN)
		rc = sc_page_spec_read(st->page0, (size_t)n, &st->spec, &err);
	if (rc == 0)
		return true;
	if (rc < 0 && !slot->chunk.off)
		verify_found(st->v, "%s: %s%s", file->path, err.msg,
			     file->spec.flags ? ""
					      : "; its pages were not checked");
	/* Nothing is known of such a file but what page 0 should say. */
	return (rc > 0 || file->spec.flags) && assume_spec(st, file);
}

/* An encrypted page where page 0 tells of no encryption: the redo has the
 * newer page 0, so it is right when the digest is. */
static bool ahead_of_page0(const struct stream *st, const uint8_t *page,
			   bool digest_ok)
{
	uint16_t type = sc_page_type(page);

	return digest_ok && !st->spec.encrypted &&
	       type >= SC_PAGE_TYPE_ENCRYPTED &&
	       type <= SC_PAGE_TYPE_ENCRYPTED_RTREE;
}

static void report_page(struct stream *st, const struct sc_slot *slot,
			uint32_t at, enum sc_page_verdict verdict)
{
	const struct sc_file *file = file_of(st, slot);
	uint64_t off = slot->chunk.off + at;
	uint32_t size = st->spec.physical_size;
	uint32_t no = st->spec.first_page + (uint32_t)(off / size);
	const uint8_t *page = slot->buf + at;

	if (verdict == SC_PAGE_MISPLACED)
		verify_found(st->v,
			     "%s: page %u (bytes %" PRIu64 " to %" PRIu64
			     ") is page %u of tablespace %u",
			     file->path, no, off, off + size - 1,
			     sc_page_no(page), sc_page_space(page));
	else
		verify_found(st->v,
			     "%s: page %u (bytes %" PRIu64 " to %" PRIu64
			     ") is damaged",
			     file->path, no, off, off + size - 1);
}

static void check_pages(struct stream *st, const struct sc_slot *slot,
			bool digest_ok)
{
	uint32_t size = st->spec.physical_size;
	uint64_t unchecked = 0, n = 0;

	for (uint32_t at = 0; at + size <= slot->chunk.len; at += size, n++) {
		uint32_t no = st->spec.first_page +
			      (uint32_t)((slot->chunk.off + at) / size);
		enum sc_page_verdict verdict = sc_page_check_at(
			&st->spec, slot->buf + at, no, st->opener);

		if (verdict == SC_PAGE_UNCHECKED ||
		    verdict == SC_PAGE_ENCRYPTED ||
		    (verdict == SC_PAGE_BAD &&
		     ahead_of_page0(st, slot->buf + at, digest_ok)))
			unchecked++;
		else if (verdict >= SC_PAGE_BAD)
			report_page(st, slot, at, verdict);
	}
	st->v->pages += n - unchecked;
	st->v->unchecked += unchecked;
}

/* ---- chunks -------------------------------------------------------------- */

/* The chunk is as it was when it was cloned; what the file grew by until the
 * seal, behind that, is zero. */
static bool check_digest(struct stream *st, const struct sc_slot *slot)
{
	struct verify *v = st->v;
	uint32_t origin = v->files[slot->chunk.file].origin;
	const struct sc_file *was = &v->m.list.files[origin];
	uint64_t off = slot->chunk.off, chunk = off / SC_CHUNK_SIZE;
	uint64_t len =
		off < was->size ? SC_MIN(SC_CHUNK_SIZE, was->size - off) : 0;
	uint8_t digest[SC_DIGEST_SIZE];
	bool ok = len <= slot->chunk.len;

	v->digests++;
	if (ok && len) {
		sc_digest(slot->buf, len, digest);
		ok = !memcmp(digest, v->m.digests[was->first_chunk + chunk],
			     SC_DIGEST_SIZE);
	}
	ok = ok && sc_is_zero(slot->buf + len, slot->chunk.len - len);
	if (!ok)
		verify_found(v,
			     "%s: chunk %" PRIu64 " (bytes %" PRIu64
			     " to %" PRIu64
			     ") is not what was cloned (digest mismatch)",
			     was->path, chunk, off, off + slot->chunk.len - 1);
	return ok;
}

/* It has no digests. */
static bool is_shared(const struct verify *v, const struct sc_slot *slot)
{
	uint32_t origin = v->files[slot->chunk.file].origin;

	return origin < v->m.list.n && v->m.list.files[origin].shared;
}

static void check_chunk(struct stream *st, const struct sc_slot *slot)
{
	const struct sc_file *file = file_of(st, slot);
	bool digest_ok = st->v->before_start && !is_shared(st->v, slot) &&
			 check_digest(st, slot);

	if (file->kind == SC_FILE_PAGES) {
		if (st->spec_of != slot->chunk.file) {
			st->have_spec = load_spec(st, slot);
			st->spec_of = slot->chunk.file;
		}
		if (st->have_spec)
			check_pages(st, slot, digest_ok);
	}
	st->v->bytes += slot->chunk.len;
}

static void complete(struct stream *st, struct sc_slot *slot)
{
	const struct sc_file *file = file_of(st, slot);
	uint64_t off = slot->chunk.off;

	if (slot->io.res >= (int64_t)slot->chunk.len)
		check_chunk(st, slot);
	else
		verify_found(st->v,
			     "%s: bytes %" PRIu64 " to %" PRIu64
			     " cannot be read: %s",
			     file->path, off, off + slot->chunk.len - 1,
			     slot->io.res < 0
				     ? strerrordesc_np((int)-slot->io.res)
				     : "the file ends before");
	sc_openfile_put(slot->in);
	slot->in = NULL;
	sc_slot_give(&st->slots, slot);
}

static void reap(struct stream *st)
{
	struct sc_engine *engine = st->slots.engine;

	complete(st, engine->ops->wait(engine)->user);
}

/* Begin with chunk number `chunk`; a slot is idle. */
static void begin(struct stream *st, uint64_t chunk)
{
	struct verify *v = st->v;
	const struct sc_file *file = sc_filelist_find_chunk(&v->work, chunk);
	uint32_t index = (uint32_t)(file - v->work.files);
	struct sc_openfile *in;
	struct sc_slot *slot;
	int sys_errno;

	if (v->files[index].skip)
		return;
	in = sc_openfile_get(&st->files, index, &sys_errno);
	if (!in) {
		if (!atomic_exchange(&v->files[index].skip, true))
			verify_found(v, "%s cannot be opened: %s", file->path,
				     strerrordesc_np(sys_errno));
		return;
	}
	slot = sc_slot_take(&st->slots);
	slot->in = in;
	slot->chunk.file = index;
	slot->chunk.off = (chunk - file->first_chunk) * SC_CHUNK_SIZE;
	slot->chunk.len =
		(uint32_t)SC_MIN(SC_CHUNK_SIZE, file->size - slot->chunk.off);
	if (!sc_range_is_hole(in->fd, slot->chunk.off, slot->chunk.len)) {
		sc_slot_read(&st->slots, slot);
		return;
	}
	memset(slot->buf, 0, slot->chunk.len);
	slot->io.res = slot->chunk.len;
	complete(st, slot);
}

static void run(struct stream *st)
{
	struct verify *v = st->v;
	uint64_t chunk;

	while (!v->stop) {
		if (!st->slots.n_idle) {
			reap(st);
			continue;
		}
		chunk = v->next_chunk++;
		if (chunk >= v->work.chunks)
			break;
		begin(st, chunk);
	}
	while (st->slots.n_idle < st->slots.n)
		reap(st);
}

int verify_stream(struct verify *v, struct sc_err *err)
{
	struct stream st = { .v = v, .spec_of = UINT32_MAX };
	int rc = sc_slots_init(&st.slots, DEPTH, NULL, err);
	void *page0 = NULL;

	st.opener = sc_page_opener_new();
	if (posix_memalign(&page0, SC_DIRECT_ALIGN, SC_DIRECT_ALIGN) == 0)
		st.page0 = page0;
	st.files = (struct sc_openfiles){ .open = open_for_read,
					  .arg = v,
					  .engine = st.slots.engine };
	if (rc == 0 && (!st.opener || !st.page0 ||
			sc_openfiles_init(&st.files, DEPTH) < 0))
		rc = sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (rc == 0)
		run(&st);
	sc_openfiles_free(&st.files);
	sc_slots_free(&st.slots);
	sc_page_opener_free(st.opener);
	free(st.page0);
	return rc;
}
