/* SPDX-License-Identifier: GPL-2.0-only */
/* Directory trees in memory. */
#include "tests/unit/tree.h"

#include "tests/unit/dir_fixture.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct tree_entry *)a)->path,
		      ((const struct tree_entry *)b)->path);
}

static struct tree_entry *append(struct tree *tree, const char *path)
{
	tree->entries =
		realloc(tree->entries, (tree->n + 1) * sizeof(*tree->entries));
	assert(tree->entries);
	tree->entries[tree->n] =
		(struct tree_entry){ .path = strdup(path), .dir = true };
	return &tree->entries[tree->n++];
}

static void sort(struct tree *tree)
{
	if (tree->n)
		qsort(tree->entries, tree->n, sizeof(*tree->entries), by_path);
}

/* Most file systems tell the type with the name. */
static bool is_dir(int root, const char *path, const struct dirent *de)
{
	struct stat st;

	if (de->d_type != DT_UNKNOWN)
		return de->d_type == DT_DIR;
	return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

static void read_dir(struct tree *tree, int root, const char *prefix)
{
	int fd = openat(root, *prefix ? prefix : ".", O_RDONLY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct dirent *de;

	assert(dir);
	while ((de = readdir(dir))) {
		struct tree_entry *entry;
		char path[2048];

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s%s%s", prefix,
			 *prefix ? "/" : "", de->d_name);
		entry = append(tree, path);
		entry->dir = is_dir(root, path, de);
		if (entry->dir)
			read_dir(tree, root, path);
		else
			dir_fixture_get(root, path, &entry->data, &entry->len);
	}
	closedir(dir);
}

struct tree tree_read(int dirfd)
{
	struct tree tree = { 0 };

	read_dir(&tree, dirfd, "");
	sort(&tree);
	return tree;
}

struct tree tree_copy(const struct tree *tree)
{
	struct tree copy = { 0 };

	for (size_t i = 0; i < tree->n; i++) {
		const struct tree_entry *e = &tree->entries[i];

		tree_put(&copy, e->path, e->dir ? NULL : e->data, e->len);
	}
	return copy;
}

static void free_entry(struct tree_entry *entry)
{
	free(entry->path);
	free(entry->data);
}

void tree_free(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		free_entry(&tree->entries[i]);
	free(tree->entries);
	*tree = (struct tree){ 0 };
}

const struct tree_entry *tree_find(const struct tree *tree, const char *path)
{
	struct tree_entry key = { .path = (char *)(uintptr_t)path };

	return tree->n ? bsearch(&key, tree->entries, tree->n,
				 sizeof(*tree->entries), by_path)
		       : NULL;
}

void tree_put(struct tree *tree, const char *path, const void *data, size_t len)
{
	struct tree_entry *entry =
		(struct tree_entry *)(uintptr_t)tree_find(tree, path);

	entry = entry ? entry : append(tree, path);
	free(entry->data);
	entry->data = NULL;
	entry->len = 0;
	entry->dir = !data;
	if (data) {
		entry->data = malloc(len + 1);
		memcpy(entry->data, data, len);
		entry->len = len;
	}
	sort(tree);
}

static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);

	return !strncmp(path, top, len) && (!path[len] || path[len] == '/');
}

void tree_remove(struct tree *tree, const char *path)
{
	size_t kept = 0;

	for (size_t i = 0; i < tree->n; i++) {
		if (is_below(tree->entries[i].path, path))
			free_entry(&tree->entries[i]);
		else
			tree->entries[kept++] = tree->entries[i];
	}
	tree->n = kept;
}

void tree_write(const struct tree *tree, int dirfd)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct tree_entry *e = &tree->entries[i];
		int fd;

		if (e->dir) {
			mkdirat(dirfd, e->path, 0750);
			continue;
		}
		fd = openat(dirfd, e->path, O_WRONLY | O_CREAT | O_CLOEXEC,
			    0640);
		assert(fd >= 0);
		if (write(fd, e->data, e->len) != (ssize_t)e->len)
			abort();
		close(fd);
	}
}

static void differ(const char *what, const char *path, char text[256])
{
	snprintf(text, 256, "%s: %.200s", what, path);
}

bool tree_equal(const struct tree *want, const struct tree *got, char text[256])
{
	for (size_t i = 0, j = 0; i < want->n || j < got->n; i++, j++) {
		const struct tree_entry *w = &want->entries[i];
		const struct tree_entry *g = &got->entries[j];
		int order = i == want->n  ? 1
			    : j == got->n ? -1
					  : strcmp(w->path, g->path);

		if (order < 0)
			differ("missing", w->path, text);
		else if (order > 0)
			differ("not expected", g->path, text);
		else if (w->dir != g->dir || w->len != g->len ||
			 (w->len && memcmp(w->data, g->data, w->len)))
			differ("other bytes", w->path, text);
		else
			continue;
		return false;
	}
	return true;
}
