/* SPDX-License-Identifier: GPL-2.0-only */
/* A directory's files and directories with their bytes, to compare. */
#ifndef SC_TESTS_TREE_H
#define SC_TESTS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_entry {
	char *path; /* relative */
	bool dir;
	size_t len;
	uint8_t *data; /* of a file */
};

struct tree {
	struct tree_entry *entries; /* by path */
	size_t n;
};

/* All below dirfd. Free with tree_free(). */
struct tree tree_read(int dirfd);
struct tree tree_copy(const struct tree *tree);
void tree_free(struct tree *tree);

/* data NULL: a directory. Replaces what is there, makes no parents. */
void tree_put(struct tree *tree, const char *path, const void *data,
	      size_t len);
/* Remove an entry and all below it; nothing when it is not there. */
void tree_remove(struct tree *tree, const char *path);
const struct tree_entry *tree_find(const struct tree *tree, const char *path);

/* Create it in an empty directory. */
void tree_write(const struct tree *tree, int dirfd);

/* True when equal; else `text` names the first difference. */
bool tree_equal(const struct tree *want, const struct tree *got,
		char text[256]);

#endif
