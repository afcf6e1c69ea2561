/* SPDX-License-Identifier: GPL-2.0-only */
/* The stage while data arrives; see stage.h. */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

/* Exactly one chunk of the list, and not one that we have. */
static int check_range(struct sc_staged *stage, const struct sc_chunk *chunk,
		       struct sc_err *err)
{
	const struct sc_file *file;
	uint64_t left;

	if (!stage->list || chunk->file >= stage->list->n)
		return sc_frame_bad(err, "chunk of an unknown file");
	file = &stage->list->files[chunk->file];
	if (file->gone)
		return sc_frame_bad(err, "chunk of a file that is gone");
	if (chunk->off >= file->size)
		return sc_frame_bad(err, "chunk beyond the end of its file");
	if (chunk->off % SC_CHUNK_SIZE)
		return sc_frame_bad(err, "chunk at a wrong offset");
	left = file->size - chunk->off;
	if (chunk->len != SC_MIN(left, SC_CHUNK_SIZE))
		return sc_frame_bad(err, "chunk of a wrong length");
	if (atomic_exchange(&stage->have[file->first_chunk +
					 chunk->off / SC_CHUNK_SIZE],
			    1))
		return sc_frame_bad(err, "chunk sent twice");
	return 0;
}

static int check_digest(struct sc_staged *stage, const struct sc_file *file,
			struct sc_slot *slot, struct sc_err *err)
{
	const struct sc_chunk *chunk = &slot->chunk;

	if (stage->local)
		return 0;
	if (!slot->hashed)
		sc_digest(slot->buf, chunk->len, slot->digest);
	if (!memcmp(slot->digest, chunk->digest, SC_DIGEST_SIZE))
		return 0;
	return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
			  "%s: bytes %" PRIu64 " to %" PRIu64
			  " were damaged on their way (digest mismatch)",
			  file->path, chunk->off, chunk->off + chunk->len);
}

/* Remember the newest page of the file, for the check against E. */
static void note_lsns(struct sc_staged *stage, const struct sc_file *file,
		      const struct sc_chunk *chunk, const char *data)
{
	uint32_t size = file->spec.physical_size;
	uint64_t max = 0, page = 0;

	for (uint32_t at = 0; at + size <= chunk->len; at += size) {
		uint64_t lsn = sc_page_lsn(data + at);

		if (lsn > max) {
			max = lsn;
			page = (chunk->off + at) / size;
		}
	}
	SC_LOCK_SCOPE(&stage->lock);
	if (max > stage->newest[chunk->file].lsn)
		stage->newest[chunk->file] = (struct stage_newest){ max, page };
}

static int open_for_write(void *arg, uint32_t index)
{
	struct sc_staged *stage = arg;
	const char *path = stage->list->files[index].path;
	char name[STAGE_NAME_CAP];

	return sc_direct_open_beneath(stage_name(stage, path, name), name,
				      O_WRONLY, true);
}

static void note_stream(struct sc_staged *stage, unsigned stream,
			const struct sc_slots *slots)
{
	SC_LOCK_SCOPE(&stage->lock);
	/* A pass is not one more. */
	stage->streams_used += stream > 0;
	stage->engine = slots->engine->ops->name;
}

int sc_stage_stream_open(struct sc_staged *stage, unsigned stream,
			 struct sc_slots *slots, struct sc_err *err)
{
	struct sc_openfiles *files;

	if (stream > stage->streams)
		return sc_frame_bad(err, "unknown stream");
	stage->per_stream[stream].slots = slots;
	note_stream(stage, stream, slots);
	files = &stage->per_stream[stream].files;
	files->open = open_for_write;
	files->arg = stage;
	files->engine = slots->engine;
	if (sc_openfiles_init(files, slots->n) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	return 0;
}

void sc_stage_stream_close(struct sc_staged *stage, unsigned stream)
{
	if (stream <= stage->streams)
		sc_openfiles_free(&stage->per_stream[stream].files);
}

int sc_stage_chunk(struct sc_staged *stage, unsigned stream,
		   struct sc_slot *slot, struct sc_err *err)
{
	struct sc_chunk *chunk = &slot->chunk;
	const struct sc_file *file;
	int sys_errno;

	if (check_range(stage, chunk, err) < 0)
		return -1;
	file = &stage->list->files[chunk->file];
	if (check_digest(stage, file, slot, err) < 0)
		return -1;
	memcpy(stage->digests[file->first_chunk + chunk->off / SC_CHUNK_SIZE],
	       chunk->digest, SC_DIGEST_SIZE);
	stage->copied_ms = sc_now_ms();
	if (file->kind == SC_FILE_PAGES)
		note_lsns(stage, file, chunk, (char *)slot->buf);
	stage->bytes += chunk->len;
	if (!sc_blockmap_bytes(&chunk->map, chunk->len))
		return 0;
	slot->out = sc_openfile_get(&stage->per_stream[stream].files,
				    chunk->file, &sys_errno);
	if (!slot->out)
		return stage_error(sys_errno, file->path, err);
	return sc_slot_write(stage->per_stream[stream].slots, slot, 0);
}

int sc_stage_wrote(struct sc_staged *stage, unsigned stream,
		   struct sc_slot *slot, struct sc_err *err)
{
	struct sc_openfile *out = slot->out;

	if (slot->io.res < 0)
		return stage_error((int)-slot->io.res,
				   stage->list->files[slot->chunk.file].path,
				   err);
	if (sc_slot_write(stage->per_stream[stream].slots, slot,
			  sc_slot_written(slot)))
		return 1;
	/* Start writing back now so that the fsync at the end is short. Only a
	 * hint: what it cannot do, the fsync reports. */
	if (!out->direct)
		(void)sync_file_range(out->fd, (off64_t)slot->chunk.off,
				      slot->chunk.len, SYNC_FILE_RANGE_WRITE);
	sc_openfile_put(out);
	slot->out = NULL;
	return 0;
}

/* All files were dropped, and the redo after another checkpoint comes. */
static int forget_redo(struct sc_staged *stage, struct sc_err *err)
{
	CLEANUP_CLOSE int dir = -1;
	char name[STAGE_NAME_CAP];

	sc_redo_build_free(stage->redo);
	stage->redo = NULL;
	stage->redo_bytes = 0;
	dir = openat(stage_name(stage, SC_REDO_DIR, name), name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return stage_error(errno, SC_REDO_DIR, err);
	if (sc_tree_remove(dir, err) < 0)
		return -1;
	if (unlinkat(stage->target, name, AT_REMOVEDIR) < 0)
		return stage_error(errno, SC_REDO_DIR, err);
	return 0;
}

int sc_stage_redo_begin(struct sc_staged *stage, const struct sc_redo_begin *m,
			struct sc_err *err)
{
	CLEANUP_CLOSE int dir = -1;
	char name[STAGE_NAME_CAP];
	struct sc_redo_build_params params = {
		.uuid = m->uuid,
		.creator = m->creator,
		.checkpoint_lsn = m->checkpoint_lsn,
		.page_size = stage->page_size,
		.uid = stage->uid,
		.gid = stage->gid,
		.mode = 0640,
	};

	if (stage->redo && !stage->redo_may_restart)
		return sc_frame_bad(err, "redo began twice");
	if (stage->redo && forget_redo(stage, err) < 0)
		return -1;
	stage->redo_may_restart = false;
	stage->checkpoint_lsn = m->checkpoint_lsn;
	snprintf(stage->donor_version, sizeof(stage->donor_version), "%s",
		 m->creator);
	stage_name(stage, SC_REDO_DIR, name);
	dir = stage_make_dir(stage, name, err);
	if (dir < 0)
		return -1;
	return sc_redo_build_open(dir, &params, &stage->redo, err);
}

int sc_stage_redo(struct sc_staged *stage, uint64_t lsn, const void *data,
		  size_t len, struct sc_err *err)
{
	if (!stage->redo)
		return sc_frame_bad(err, "redo before its beginning");
	if (!len)
		return 0;
	stage->redo_bytes += len;
	return sc_redo_build_append(stage->redo, lsn, data, len, err);
}

uint64_t sc_stage_bytes(const struct sc_staged *stage)
{
	return stage->bytes;
}

void sc_stage_set_network(struct sc_staged *stage, uint64_t bytes)
{
	stage->network = bytes;
}

uint64_t sc_stage_redo_bytes(const struct sc_staged *stage)
{
	return stage->redo_bytes;
}
