/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set of notes by tablespace, for notes.c. One thread at a time.
 */
#ifndef SC_IO_REDO_NOTES_SET_H
#define SC_IO_REDO_NOTES_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sc_note {
	uint32_t space_id, page;
	bool deleted;  /* the file was; else: pages without redo */
	bool doubtful; /* looks like MLOG_INDEX_LOAD, but so do some numbers */
	uint32_t next; /* of its bucket, index + 1; 0: none */
	uint64_t index_id; /* doubtful ones: whose root the page is then */
	uint64_t lsn;	   /* newest; 0: it was none */
};

/* Zero-initialise. */
struct sc_note_set {
	struct sc_note *notes; /* owned */
	uint32_t *buckets;     /* owned; index + 1 of their first, 0: none */
	size_t n, cap;	       /* cap: of notes, and buckets */
};

void sc_note_set_free(struct sc_note_set *set);

/* Remember that; one of the same space, page, index and kind gets the newer
 * LSN. 0 or -1 (out of memory). */
int sc_note_set_add(struct sc_note_set *set, const struct sc_note *note);

/* The first of that tablespace behind prev (NULL: from the beginning), or
 * NULL. */
const struct sc_note *sc_note_set_next(const struct sc_note_set *set,
				       uint32_t space_id,
				       const struct sc_note *prev);

#endif
