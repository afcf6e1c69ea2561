/* SPDX-License-Identifier: GPL-2.0-only */
/* Notes of DDL in the redo; see notes.h. */
#include "io/redo/notes.h"

#include "io/base/cleanup.h"
#include "io/redo/notes_look.h"
#include "io/redo/notes_set.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
	PAYLOAD = SC_REDO_BLOCK - SC_REDO_BLOCK_HEADER - SC_REDO_BLOCK_TRAILER,
	BUF_SIZE = 64 << 10,  /* moved when full, not with each block */
	MIN_PAGE_SIZE = 1024, /* UNIV_ZIP_SIZE_MIN */
};

struct sc_redo_notes {
	pthread_mutex_t lock; /* of set and count */
	struct sc_note_set set;
	struct sc_redo_notes_count count;

	/* The writer's. */
	uint64_t lsn;  /* of the block that was looked at last */
	uint32_t used; /* its bytes so far, 0: none came yet */
	size_t group;  /* where in buf its first mini-transaction begins */
	size_t len;    /* bytes in buf */
	size_t n_open; /* records that are not complete, in order */
	uint32_t open[SC_NOTE_RECORD];
	uint8_t buf[BUF_SIZE];
};

struct sc_redo_notes *sc_redo_notes_new(void)
{
	struct sc_redo_notes *notes = calloc(1, sizeof(*notes));

	if (notes)
		pthread_mutex_init(&notes->lock, NULL);
	return notes;
}

void sc_redo_notes_free(struct sc_redo_notes *notes)
{
	if (!notes)
		return;
	pthread_mutex_destroy(&notes->lock);
	sc_note_set_free(&notes->set);
	free(notes);
}

/* ---- the stream of records -------------------------------------------------
 */

static uint64_t *counter(struct sc_redo_notes_count *count,
			 enum sc_note_kind kind)
{
	switch (kind) {
	case SC_NOTE_CREATED:
		return &count->created;
	case SC_NOTE_RENAMED:
		return &count->renamed;
	case SC_NOTE_DELETED:
		return &count->deleted;
	case SC_NOTE_LOADED:
		return &count->loaded;
	case SC_NOTE_DECRYPTED:
		return &count->decrypted;
	default:
		return &count->built;
	}
}

/* A table that is renamed from a name of its own has all it needs in redo. */
static bool is_note(const struct sc_note_found *found)
{
	return found->kind != SC_NOTE_RENAMED || found->intermediate;
}

static int add(struct sc_redo_notes *notes, const struct sc_note_found *found)
{
	struct sc_note note = { .space_id = found->space_id,
				.page = found->page,
				.deleted = found->kind == SC_NOTE_DELETED,
				.doubtful = found->kind == SC_NOTE_LOADED,
				.index_id = found->index_id,
				.lsn = sc_redo_normal_lsn(notes->lsn +
							  notes->used) };
	int rc = 0;

	pthread_mutex_lock(&notes->lock);
	++*counter(&notes->count, found->kind);
	if (is_note(found))
		rc = sc_note_set_add(&notes->set, &note);
	pthread_mutex_unlock(&notes->lock);
	return rc;
}

/* Look at what begins there; *more: it goes on. */
static int look_at(struct sc_redo_notes *notes, size_t at, bool *more)
{
	struct sc_note_found found;
	enum sc_note_verdict v =
		sc_note_look(notes->buf, notes->len, at, &found);

	*more = v == SC_NOTE_MORE;
	return v == SC_NOTE_YES ? add(notes, &found) : 0;
}

/* Those that were not complete, then what came. */
static int look_at_all(struct sc_redo_notes *notes, size_t from)
{
	size_t n = notes->n_open;
	bool more;

	notes->n_open = 0;
	for (size_t i = 0; i < n; i++) {
		if (look_at(notes, notes->open[i], &more) < 0)
			return -1;
		if (more)
			notes->open[notes->n_open++] = notes->open[i];
	}
	for (size_t at = from; at < notes->len; at++) {
		if (!sc_note_firsts[notes->buf[at]] ||
		    (at < notes->group && sc_note_alone(notes->buf[at])))
			continue;
		if (look_at(notes, at, &more) < 0)
			return -1;
		if (more)
			notes->open[notes->n_open++] = (uint32_t)at;
	}
	return 0;
}

/* Forget what no record needs that is not complete, or that may begin. */
static void make_room(struct sc_redo_notes *notes)
{
	size_t drop = notes->len - SC_MIN(notes->len, (size_t)SC_NOTE_BEFORE);

	if (notes->len + PAYLOAD <= sizeof(notes->buf))
		return;
	if (notes->n_open)
		drop = SC_MIN(drop, notes->open[0] -
					    SC_MIN(notes->open[0],
						   (uint32_t)SC_NOTE_BEFORE));
	memmove(notes->buf, notes->buf + drop, notes->len - drop);
	notes->len -= drop;
	for (size_t i = 0; i < notes->n_open; i++)
		notes->open[i] -= (uint32_t)drop;
}

/* Another block, unless it is the last one again. */
static void begin_block(struct sc_redo_notes *notes, uint64_t lsn)
{
	bool full = notes->used >= SC_REDO_BLOCK - SC_REDO_BLOCK_TRAILER;

	if (notes->used && lsn == notes->lsn)
		return;
	/* After a gap nothing goes on. */
	if (!full || lsn != notes->lsn + SC_REDO_BLOCK)
		notes->len = notes->n_open = 0;
	notes->lsn = lsn;
	notes->used = SC_REDO_BLOCK_HEADER;
}

/* Where in buf the block's first mini-transaction begins. at: of its byte
 * `from`. */
static size_t group_at(const struct sc_redo_block *b, size_t at, uint32_t from)
{
	if (!b->first_rec_group)
		return SIZE_MAX;
	return b->first_rec_group <= from ? at : at + b->first_rec_group - from;
}

int sc_redo_notes_block(struct sc_redo_notes *notes, const uint8_t *plain,
			uint64_t lsn, struct sc_err *err)
{
	struct sc_redo_block b;
	uint32_t from, end;
	size_t at;

	sc_redo_block_parse(plain, &b);
	begin_block(notes, lsn);
	from = SC_MIN(notes->used,
		      (uint32_t)SC_REDO_BLOCK - SC_REDO_BLOCK_TRAILER);
	end = SC_MIN((uint32_t)b.data_len,
		     (uint32_t)SC_REDO_BLOCK - SC_REDO_BLOCK_TRAILER);
	notes->used = SC_MAX(notes->used, (uint32_t)b.data_len);
	if (end <= from)
		return 0;
	make_room(notes);
	at = notes->len;
	notes->group = group_at(&b, at, from);
	memcpy(notes->buf + at, plain + from, end - from);
	notes->len += end - from;
	if (look_at_all(notes, at) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for notes of DDL in the redo");
	return 0;
}

/* The next doubtful note from *at on, which is moved behind it. */
static bool next_doubtful(struct sc_redo_notes *notes, size_t *at,
			  struct sc_note *ret)
{
	SC_LOCK_SCOPE(&notes->lock);
	while (*at < notes->set.n) {
		*ret = notes->set.notes[(*at)++];
		if (ret->doubtful && ret->lsn)
			return true;
	}
	return false;
}

static void settle(struct sc_redo_notes *notes, size_t i, uint64_t lsn,
		   bool real)
{
	struct sc_note *note;
	SC_LOCK_SCOPE(&notes->lock);

	/* The follower may have moved them. */
	note = &notes->set.notes[i];
	if (note->lsn != lsn)
		return; /* it came again meanwhile */
	note->doubtful = false;
	if (!real)
		note->lsn = 0;
}

size_t sc_redo_notes_weed(struct sc_redo_notes *notes, sc_redo_note_fn *is_real,
			  void *ctx)
{
	struct sc_note note;
	size_t at = 0, weeded = 0;

	while (next_doubtful(notes, &at, &note)) {
		bool real =
			is_real(ctx, note.space_id, note.page, note.index_id);

		settle(notes, at - 1, note.lsn, real);
		weeded += !real;
	}
	return weeded;
}

/* ---- questions -------------------------------------------------------------
 */

static bool find(struct sc_redo_notes *notes, uint32_t space_id, bool deleted,
		 uint64_t above_lsn, uint64_t pages)
{
	const struct sc_note *note = NULL;

	pthread_mutex_lock(&notes->lock);
	while ((note = sc_note_set_next(&notes->set, space_id, note)))
		if (note->deleted == deleted && note->lsn > above_lsn &&
		    note->page < pages)
			break;
	pthread_mutex_unlock(&notes->lock);
	return note != NULL;
}

bool sc_redo_notes_unlogged(struct sc_redo_notes *notes, uint32_t space_id,
			    uint64_t above_lsn, uint64_t bytes)
{
	return find(notes, space_id, false, above_lsn,
		    bytes / MIN_PAGE_SIZE + 1);
}

bool sc_redo_notes_deleted(struct sc_redo_notes *notes, uint32_t space_id,
			   uint64_t above_lsn)
{
	return find(notes, space_id, true, above_lsn, 1);
}

void sc_redo_notes_count(struct sc_redo_notes *notes,
			 struct sc_redo_notes_count *ret)
{
	pthread_mutex_lock(&notes->lock);
	*ret = notes->count;
	pthread_mutex_unlock(&notes->lock);
}
