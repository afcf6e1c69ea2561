/* SPDX-License-Identifier: GPL-2.0-only */
/* Changes of a clone's list of files; see filechange.h. */
#include "io/filechange.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

void sc_file_changes_free(struct sc_file_changes *changes)
{
	for (size_t i = 0; i < changes->n_renames; i++)
		free(changes->renames[i].path);
	free(changes->renames);
	free(changes->drops);
	sc_filelist_free(&changes->adds);
	*changes = (struct sc_file_changes){ 0 };
}

static int no_memory(struct sc_err *err)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "out of memory for the list of changed files");
}

/* Room for one more of `size` bytes. 0 or -1. */
static int grow(void **array, size_t n, size_t *cap, size_t size,
		struct sc_err *err)
{
	size_t want = *cap ? *cap * 2 : 16;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*array, want * size);
	if (!p)
		return no_memory(err);
	*array = p;
	*cap = want;
	return 0;
}

int sc_file_changes_drop(struct sc_file_changes *changes, uint32_t file,
			 struct sc_err *err)
{
	if (grow((void **)&changes->drops, changes->n_drops,
		 &changes->cap_drops, sizeof(*changes->drops), err) < 0)
		return -1;
	changes->drops[changes->n_drops++] = file;
	return 0;
}

int sc_file_changes_rename(struct sc_file_changes *changes, uint32_t file,
			   const char *path, struct sc_err *err)
{
	struct sc_file_rename rename = { .file = file };

	if (grow((void **)&changes->renames, changes->n_renames,
		 &changes->cap_renames, sizeof(*changes->renames), err) < 0)
		return -1;
	rename.path = strdup(path);
	if (!rename.path)
		return no_memory(err);
	changes->renames[changes->n_renames++] = rename;
	return 0;
}

/* Is that one in the clone, and was not seen yet? */
static bool is_fresh(const struct sc_filelist *list, uint8_t *seen,
		     uint32_t file)
{
	uint8_t bit = (uint8_t)(1u << file % 8);

	if (file >= list->n || list->files[file].gone || seen[file / 8] & bit)
		return false;
	seen[file / 8] |= bit;
	return true;
}

bool sc_file_changes_ok(const struct sc_file_changes *changes,
			const struct sc_filelist *list)
{
	uint8_t *seen;
	bool ok;

	if (list->n + changes->adds.n > SC_MAX_FILES)
		return false;
	seen = calloc(list->n / 8 + 1, 1);
	ok = seen != NULL;
	for (size_t i = 0; ok && i < changes->n_drops; i++)
		ok = is_fresh(list, seen, changes->drops[i]);
	for (size_t i = 0; ok && i < changes->n_renames; i++)
		ok = is_fresh(list, seen, changes->renames[i].file) &&
		     sc_path_ok(changes->renames[i].path);
	for (size_t i = 0; ok && i < changes->adds.n; i++)
		ok = sc_path_ok(changes->adds.files[i].path);
	free(seen);
	return ok;
}

static void drop(struct sc_filelist *list, struct sc_file *file)
{
	file->gone = true;
	list->bytes -= file->size;
	list->stored -= file->stored;
}

static int rename_to(struct sc_file *file, const char *path, struct sc_err *err)
{
	char *copy = strdup(path);

	if (!copy)
		return no_memory(err);
	free(file->path);
	file->path = copy;
	return 0;
}

int sc_file_changes_apply(const struct sc_file_changes *changes,
			  struct sc_filelist *list, struct sc_err *err)
{
	for (size_t i = 0; i < changes->n_drops; i++)
		drop(list, &list->files[changes->drops[i]]);
	for (size_t i = 0; i < changes->n_renames; i++)
		if (rename_to(&list->files[changes->renames[i].file],
			      changes->renames[i].path, err) < 0)
			return -1;
	for (size_t i = 0; i < changes->adds.n; i++)
		if (sc_filelist_add_like(list, &changes->adds.files[i], err) <
		    0)
			return -1;
	return 0;
}
