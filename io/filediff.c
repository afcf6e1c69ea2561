/* SPDX-License-Identifier: GPL-2.0-only */
/* The changes between two lists of files; see filediff.h. */
#include "io/filediff.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

/* A list in the order of kind, space id and name. */
struct sorted {
	struct sc_file **files; /* owned */
	size_t n, at;
};

struct diff {
	const struct sc_filediff *in;
	struct sc_file_changes *out;
	size_t n_system;
	struct sc_err *err;
};

/* Files with pages that have no page 0 yet have no space id. */
static bool has_space_id(const struct sc_file *file)
{
	return file->kind == SC_FILE_PAGES && file->spec.space_id != 0;
}

/* How many files of the system tablespace a scan has: it lists them first, and
 * the further ones are the only files whose first page is not 0. */
static size_t n_system(const struct sc_filelist *now)
{
	size_t n = now->n ? 1 : 0;

	while (n && n < now->n && now->files[n].kind == SC_FILE_PAGES &&
	       now->files[n].spec.first_page > 0)
		n++;
	return n;
}

/* Its file in the scan, or NULL. They keep their names for ever. */
static const struct sc_file *system_file(const struct diff *d,
					 const struct sc_file *file)
{
	for (size_t i = 0; i < d->n_system; i++) {
		const struct sc_file *now = &d->in->now->files[i];

		if (file->kind == now->kind &&
		    file->spec.space_id == now->spec.space_id &&
		    !strcmp(file->path, now->path))
			return now;
	}
	return NULL;
}

/* 0 for files that only their name tells apart: they come first. */
static uint32_t group_of(const struct sc_file *file)
{
	return has_space_id(file) ? file->spec.space_id : 0;
}

static int compare(const struct sc_file *a, const struct sc_file *b)
{
	uint32_t x = group_of(a), y = group_of(b);

	return x != y ? (x < y ? -1 : 1) : strcmp(a->path, b->path);
}

static int by_space_and_path(const void *a, const void *b)
{
	return compare(*(struct sc_file *const *)a,
		       *(struct sc_file *const *)b);
}

/* All but the system tablespace's. */
static int sort(const struct diff *d, const struct sc_filelist *list,
		struct sorted *ret)
{
	ret->files = malloc((list->n + 1) * sizeof(struct sc_file *));
	if (!ret->files)
		return sc_err_set(d->err, SC_ER_INTERNAL_ERROR,
				  "out of memory to compare %zu files",
				  list->n);
	for (size_t i = 0; i < list->n; i++) {
		struct sc_file *file = &list->files[i];

		if (!file->gone && !system_file(d, file))
			ret->files[ret->n++] = file;
	}
	qsort(ret->files, ret->n, sizeof(struct sc_file *), by_space_and_path);
	return 0;
}

static int drop(struct diff *d, const struct sc_file *have)
{
	return sc_file_changes_drop(
		d->out, (uint32_t)(have - d->in->have->files), d->err);
}

static int add(struct diff *d, const struct sc_file *now)
{
	return sc_filelist_add_like(&d->out->adds, now, d->err);
}

static bool same_id(const struct sc_file_id *a, const struct sc_file_id *b)
{
	return a->inode == b->inode && a->birth_ns == b->birth_ns &&
	       a->mtime_ns == b->mtime_ns;
}

static bool must_copy(const struct diff *d, const struct sc_file *have,
		      const struct sc_file *now)
{
	if (now->size < have->size || now->kind != have->kind)
		return true;
	if (!has_space_id(have))
		return now->size != have->size || !same_id(&now->id, &have->id);
	return d->in->stale(d->in->ctx, have, now);
}

/* Both are the same tablespace, or have the same name. */
static int match(struct diff *d, struct sc_file *have,
		 const struct sc_file *now)
{
	if (must_copy(d, have, now))
		return drop(d, have) < 0 ? -1 : add(d, now);
	have->id = now->id;
	if (!strcmp(have->path, now->path))
		return 0;
	return sc_file_changes_rename(d->out,
				      (uint32_t)(have - d->in->have->files),
				      now->path, d->err);
}

/* How many from `at` on belong to that group. */
static size_t group_len(const struct sorted *s, uint32_t group)
{
	size_t n = 0;

	while (s->at + n < s->n && group_of(s->files[s->at + n]) == group)
		n++;
	return n;
}

/* Those of a group that have the same name are the same. They leave their place
 * empty. */
static int match_names(struct diff *d, struct sc_file **have, size_t n_have,
		       struct sc_file **now, size_t n_now)
{
	size_t i = 0, j = 0;

	while (i < n_have && j < n_now) {
		int order = strcmp(have[i]->path, now[j]->path);

		if (order == 0) {
			if (match(d, have[i], now[j]) < 0)
				return -1;
			have[i] = now[j] = NULL;
		}
		i += order <= 0;
		j += order >= 0;
	}
	return 0;
}

/* The next that is left, or NULL. */
static struct sc_file *next_of(struct sc_file **files, size_t n, size_t *i)
{
	while (*i < n) {
		struct sc_file *file = files[(*i)++];

		if (file)
			return file;
	}
	return NULL;
}

/* What is left of a tablespace was renamed (several: somebody's copies, in any
 * order); what has no space id has gone, or is new. */
static int pair_rest(struct diff *d, struct sc_file **have, size_t n_have,
		     struct sc_file **now, size_t n_now, bool renamed)
{
	size_t i = 0, j = 0;

	for (;;) {
		struct sc_file *h = next_of(have, n_have, &i);
		struct sc_file *n = next_of(now, n_now, &j);

		if (!h && !n)
			return 0;
		if (h && n && renamed) {
			if (match(d, h, n) < 0)
				return -1;
			continue;
		}
		if ((h && drop(d, h) < 0) || (n && add(d, n) < 0))
			return -1;
	}
}

static int diff_group(struct diff *d, struct sc_file **have, size_t n_have,
		      struct sc_file **now, size_t n_now, bool renamed)
{
	if (match_names(d, have, n_have, now, n_now) < 0)
		return -1;
	return pair_rest(d, have, n_have, now, n_now, renamed);
}

static int diff_all(struct diff *d, struct sorted *have, struct sorted *now)
{
	while (have->at < have->n || now->at < now->n) {
		uint32_t group = UINT32_MAX;
		size_t n_have, n_now;

		if (have->at < have->n)
			group = group_of(have->files[have->at]);
		if (now->at < now->n)
			group = SC_MIN(group, group_of(now->files[now->at]));
		n_have = group_len(have, group);
		n_now = group_len(now, group);
		if (diff_group(d, have->files + have->at, n_have,
			       now->files + now->at, n_now, group != 0) < 0)
			return -1;
		have->at += n_have;
		now->at += n_now;
	}
	return 0;
}

/* Tables in the system tablespace may get indexes without redo, too. */
static int diff_system(struct diff *d)
{
	for (size_t i = 0; i < d->in->have->n; i++) {
		struct sc_file *have = &d->in->have->files[i];
		const struct sc_file *now = system_file(d, have);

		if (have->gone || !now)
			continue;
		if (d->in->stale(d->in->ctx, have, now)) {
			if (drop(d, have) < 0 || add(d, now) < 0)
				return -1;
		} else {
			have->id = now->id;
		}
	}
	return 0;
}

int sc_filediff(const struct sc_filediff *diff, struct sc_file_changes *changes,
		struct sc_err *err)
{
	struct diff d = { .in = diff,
			  .out = changes,
			  .n_system = n_system(diff->now),
			  .err = err };
	struct sorted have = { 0 }, now = { 0 };
	int rc = sort(&d, diff->have, &have);

	if (rc == 0)
		rc = sort(&d, diff->now, &now);
	if (rc == 0)
		rc = diff_all(&d, &have, &now);
	if (rc == 0)
		rc = diff_system(&d);
	free(have.files);
	free(now.files);
	return rc;
}
