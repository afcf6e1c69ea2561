/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Notes of indexes that were built without redo, weeded: the root page tells
 * whether there is such an index (io/redo/notes.h). Job's thread.
 */
#include "daemon/donor.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Offsets on a page, and types. Source: fil0types.h, page0types.h
 * (PAGE_HEADER 38 + PAGE_INDEX_ID 28). */
#define PAGE_TYPE 24
#define INDEX_ID 66
#define TYPE_INDEX 17855
#define TYPE_RTREE 17854
#define HEAD 512

struct roots {
	struct donor *d;
	const struct sc_file **files; /* owned; by tablespace id */
	size_t n;
};

static int by_space(const void *a, const void *b)
{
	const struct sc_file *const *x = a, *const *y = b;
	uint32_t i = (*x)->spec.space_id, j = (*y)->spec.space_id;

	return (i > j) - (i < j);
}

static int sort_files(struct roots *roots, struct sc_err *err)
{
	const struct sc_filelist *list = &roots->d->list;

	roots->files = malloc((list->n + 1) * sizeof(*roots->files));
	if (!roots->files)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	for (size_t i = 0; i < list->n; i++) {
		const struct sc_file *file = &list->files[i];

		if (!file->gone && file->kind == SC_FILE_PAGES &&
		    file->spec.space_id)
			roots->files[roots->n++] = file;
	}
	qsort((void *)roots->files, roots->n, sizeof(*roots->files), by_space);
	return 0;
}

/* Of a plain page. One that cannot be read as such tells nothing. */
static bool may_be_root(const struct roots *roots, const struct sc_file *file,
			uint32_t page, uint64_t index_id)
{
	struct sc_image *running = roots->d->running;
	CLEANUP_CLOSE int fd = running->open_file(running, file->path, false);
	uint8_t head[HEAD];
	uint16_t type;
	ssize_t n = fd;

	if (fd >= 0)
		n = sc_pread_full(fd, head, HEAD,
				  (uint64_t)page * file->spec.physical_size);
	if (n < 0 && n != -ENOENT)
		sc_info("%s is copied again, as it cannot be looked at: %s",
			file->path, strerrordesc_np((int)-n));
	if (n < HEAD)
		return true;
	type = sc_load_be16(head + PAGE_TYPE);
	if (type >= SC_PAGE_TYPE_ENCRYPTED - 1 &&
	    type <= SC_PAGE_TYPE_ENCRYPTED_RTREE)
		return true;
	return (type == TYPE_INDEX || type == TYPE_RTREE) &&
	       sc_load_be64(head + INDEX_ID) == index_id;
}

/* The system tablespace's file that has the page; *page: its number there. */
static const struct sc_file *system_file(const struct roots *roots,
					 uint32_t *page)
{
	const struct sc_filelist *list = &roots->d->list;

	for (size_t i = 0; i < list->n; i++) {
		const struct sc_file *file = &list->files[i];
		uint32_t first = file->spec.first_page;

		if (file->gone || file->kind != SC_FILE_PAGES ||
		    file->spec.space_id || *page < first ||
		    *page - first >= file->size / file->spec.physical_size)
			continue;
		*page -= first;
		return file;
	}
	return NULL;
}

static bool is_real(void *ctx, uint32_t space_id, uint32_t page,
		    uint64_t index_id)
{
	struct roots *roots = ctx;
	struct sc_file key = { .spec.space_id = space_id };
	const struct sc_file *file = &key;
	const struct sc_file **found = NULL;

	if (space_id)
		found = bsearch(&file, (void *)roots->files, roots->n,
				sizeof(*roots->files), by_space);
	file = found ? *found : space_id ? NULL : system_file(roots, &page);
	/* What is not in the list is copied in any case. */
	return !file || may_be_root(roots, file, page, index_id);
}

int donor_weed_notes(struct donor *d, struct sc_err *err)
{
	struct roots roots = { .d = d };
	int rc = sort_files(&roots, err);
	size_t n = rc < 0 ? 0 : sc_redo_notes_weed(d->notes, is_real, &roots);

	if (n)
		sc_debug("%zu notes in the redo were none", n);
	free((void *)roots.files);
	return rc;
}
