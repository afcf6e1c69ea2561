/* SPDX-License-Identifier: GPL-2.0-only */
/* A hash table of notes; see notes_set.h. */
#include "io/redo/notes_set.h"

#include "io/base/num.h"

#include <stdlib.h>

enum { FIRST_CAP = 256 };

void sc_note_set_free(struct sc_note_set *set)
{
	free(set->notes);
	free(set->buckets);
	*set = (struct sc_note_set){ 0 };
}

/* cap is a power of two. */
static uint32_t *bucket(const struct sc_note_set *set, uint32_t space_id)
{
	uint32_t hash = space_id * 0x9e3779b1u;

	return &set->buckets[(hash ^ hash >> 16) & (set->cap - 1)];
}

static void link_note(struct sc_note_set *set, size_t i)
{
	uint32_t *head = bucket(set, set->notes[i].space_id);

	set->notes[i].next = *head;
	*head = (uint32_t)i + 1;
}

static int grow(struct sc_note_set *set)
{
	size_t cap = set->cap ? set->cap * 2 : FIRST_CAP;
	uint32_t *buckets;
	struct sc_note *notes;

	if (cap > UINT32_MAX / 2)
		return -1;
	notes = realloc(set->notes, cap * sizeof(*notes));
	if (!notes)
		return -1;
	set->notes = notes;
	buckets = calloc(cap, sizeof(*buckets));
	if (!buckets)
		return -1;
	free(set->buckets);
	set->buckets = buckets;
	set->cap = cap;
	for (size_t i = 0; i < set->n; i++)
		link_note(set, i);
	return 0;
}

const struct sc_note *sc_note_set_next(const struct sc_note_set *set,
				       uint32_t space_id,
				       const struct sc_note *prev)
{
	uint32_t i;

	if (!set->n)
		return NULL;
	for (i = prev ? prev->next : *bucket(set, space_id); i;
	     i = set->notes[i - 1].next)
		if (set->notes[i - 1].space_id == space_id)
			return &set->notes[i - 1];
	return NULL;
}

int sc_note_set_add(struct sc_note_set *set, const struct sc_note *note)
{
	const struct sc_note *at = NULL;

	while ((at = sc_note_set_next(set, note->space_id, at))) {
		struct sc_note *same = &set->notes[at - set->notes];

		if (at->page != note->page || at->deleted != note->deleted ||
		    at->index_id != note->index_id)
			continue;
		same->lsn = SC_MAX(same->lsn, note->lsn);
		same->doubtful = note->doubtful;
		return 0;
	}
	if (set->n == set->cap && grow(set) < 0)
		return -1;
	set->notes[set->n] = *note;
	link_note(set, set->n++);
	return 0;
}
