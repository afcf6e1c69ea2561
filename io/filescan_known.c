/* SPDX-License-Identifier: GPL-2.0-only */
/* Files that did not change since an earlier scan; see filescan_impl.h. */
#include "io/filescan_impl.h"

#include <stdlib.h>
#include <string.h>

/* A file's time of writing comes from a clock that ticks every 1 to 10 ms, and
 * may be set a little before the bytes are there. */
#define SETTLED_NS 1000000000ll

static size_t slot_of(const struct known *known, uint64_t inode)
{
	uint64_t hash = inode * 0x9e3779b97f4a7c15;

	return (size_t)(hash >> 32) & (known->n_slots - 1);
}

/* What came of page 0 may be different today, whatever the times say. */
static bool is_usable(const struct sc_filelist *list, size_t i)
{
	const struct sc_file *file = &list->files[i];

	return !file->gone && file->id.inode &&
	       (file->kind == SC_FILE_OPAQUE || file->spec.space_id) &&
	       file->id.mtime_ns < list->taken_ns - SETTLED_NS;
}

int known_open(struct known *known, const struct sc_filelist *list,
	       struct sc_err *err)
{
	*known = (struct known){ .list = list, .n_slots = 64 };
	if (!list)
		return 0;
	while (known->n_slots < 2 * list->n)
		known->n_slots *= 2;
	known->slots = calloc(known->n_slots, sizeof(*known->slots));
	if (!known->slots)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory to compare %zu files",
				  list->n);
	for (size_t i = 0; i < list->n; i++) {
		size_t at = slot_of(known, list->files[i].id.inode);

		if (!is_usable(list, i))
			continue;
		while (known->slots[at])
			at = (at + 1) & (known->n_slots - 1);
		known->slots[at] = (uint32_t)i + 1;
	}
	return 0;
}

void known_close(struct known *known)
{
	free(known->slots);
	*known = (struct known){ 0 };
}

static bool is_same(const struct sc_file *file, const char *path,
		    const struct statx *st)
{
	struct sc_file_id id = sc_file_id_from(st);

	return file->id.inode == id.inode && file->id.birth_ns == id.birth_ns &&
	       file->id.mtime_ns == id.mtime_ns && file->size == st->stx_size &&
	       !strcmp(file->path, path);
}

const struct sc_file *known_find(const struct known *known, const char *path,
				 const struct statx *st)
{
	if (!known->list)
		return NULL;
	for (size_t at = slot_of(known, st->stx_ino); known->slots[at];
	     at = (at + 1) & (known->n_slots - 1)) {
		const struct sc_file *file =
			&known->list->files[known->slots[at] - 1];

		if (is_same(file, path, st))
			return file;
	}
	return NULL;
}
