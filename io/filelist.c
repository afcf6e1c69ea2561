/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of files and its chunks; see filelist.h. The scan of a data
 * directory is in filescan.c. */
#include "io/filelist.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

void sc_filelist_free(struct sc_filelist *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->files[i].path);
	free(list->files);
	*list = (struct sc_filelist){ 0 };
}

static int filelist_grow(struct sc_filelist *list, struct sc_err *err)
{
	size_t cap = list->cap ? list->cap * 2 : 64;
	struct sc_file *files;

	if (list->n < list->cap)
		return 0;
	if (list->n >= SC_MAX_FILES)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "more than %u files", SC_MAX_FILES);
	files = realloc(list->files, cap * sizeof(*files));
	if (!files)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for %zu files", cap);
	list->files = files;
	list->cap = cap;
	return 0;
}

int sc_filelist_add(struct sc_filelist *list, const char *path,
		    enum sc_file_kind kind, uint64_t size,
		    const struct sc_page_spec *spec, struct sc_err *err)
{
	struct sc_file *file;

	if (filelist_grow(list, err) < 0)
		return -1;
	file = &list->files[list->n];
	*file = (struct sc_file){ .kind = kind,
				  .size = size,
				  .sealed_size = size,
				  .stored = size,
				  .first_chunk = list->chunks };
	if (spec)
		file->spec = *spec;
	file->path = strdup(path);
	if (!file->path)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for a file name");
	list->n++;
	list->chunks += sc_chunks_of(size);
	list->bytes += size;
	list->stored += size;
	return 0;
}

void sc_filelist_set_stored(struct sc_filelist *list, uint64_t stored)
{
	struct sc_file *file = &list->files[list->n - 1];

	list->stored -= file->stored;
	file->stored = SC_MIN(stored, file->size);
	list->stored += file->stored;
}

int sc_filelist_add_like(struct sc_filelist *list, const struct sc_file *from,
			 struct sc_err *err)
{
	struct sc_file *file;

	if (sc_filelist_add(list, from->path, from->kind, from->size,
			    &from->spec, err) < 0)
		return -1;
	sc_filelist_set_stored(list, from->stored);
	file = &list->files[list->n - 1];
	file->sealed_size = from->sealed_size;
	file->id = from->id;
	file->settled_lsn = from->settled_lsn;
	return 0;
}

size_t sc_filelist_present(const struct sc_filelist *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += !list->files[i].gone;
	return n;
}

struct sc_file *sc_filelist_find_chunk(const struct sc_filelist *list,
				       uint64_t chunk)
{
	size_t lo = 0, hi = list->n;

	/* The last file that begins at or before the chunk; files without
	 * chunks share their successor's first_chunk and lose to it. */
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (list->files[mid].first_chunk <= chunk)
			lo = mid;
		else
			hi = mid;
	}
	return &list->files[lo];
}

bool sc_path_ok(const char *path)
{
	const char *p = path;

	if (!*p || strlen(path) >= SC_PATH_MAX)
		return false;
	/* Lists in #clone have one name per line. */
	if (strpbrk(path, "\n\r"))
		return false;
	if (sc_is_external(path)) {
		if (!sc_is_table_name(path))
			return false;
		p++;
	}
	for (;;) {
		size_t len = strcspn(p, "/");

		if (len == 0 || len > 255 || (len == 1 && p[0] == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (p == path && len >= 2 && p[0] == '#')
			return false;
		if (!p[len])
			return true;
		p += len + 1;
	}
}
