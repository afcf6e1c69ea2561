/* SPDX-License-Identifier: GPL-2.0-only */
/* See listing.h. */
#include "tests/fault/listing.h"

#include "io/base/cleanup.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_LINES = 1024 };

static char *lines[MAX_LINES];
static size_t n_lines, root_len;

static int add_line(const char *path, const struct stat *st, int type,
		    struct FTW *ftw)
{
	bool file = type == FTW_F;

	(void)ftw;
	if (n_lines == MAX_LINES ||
	    asprintf(&lines[n_lines], "%s %o %lld %lld.%ld %llu\n",
		     path + root_len, st->st_mode,
		     file ? (long long)st->st_size : 0LL,
		     file ? (long long)st->st_mtim.tv_sec : 0LL,
		     file ? st->st_mtim.tv_nsec : 0L,
		     (unsigned long long)st->st_ino) < 0)
		return -1;
	n_lines++;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *listing_make(const char *root)
{
	size_t len = 1;
	char *text;

	n_lines = 0;
	root_len = strlen(root);
	if (nftw(root, add_line, 16, FTW_PHYS) != 0)
		return NULL;
	qsort(lines, n_lines, sizeof(*lines), by_text);
	for (size_t i = 0; i < n_lines; i++)
		len += strlen(lines[i]);
	text = calloc(1, len);
	for (size_t i = 0, at = 0; i < n_lines; i++) {
		if (text)
			at += (size_t)sprintf(text + at, "%s", lines[i]);
		free(lines[i]);
	}
	return text;
}

int listing_same(const char *root, const char *want, struct sc_err *err)
{
	CLEANUP_FREE char *have = listing_make(root);
	size_t at = 0, line = 0;

	if (!have)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "cannot list %s",
				  root);
	if (!strcmp(have, want))
		return 0;
	for (; have[at] == want[at]; at++)
		line = want[at] == '\n' ? at + 1 : line;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "%s is not as it was: '%.*s', was '%.*s'", root,
			  (int)strcspn(have + line, "\n"), have + line,
			  (int)strcspn(want + line, "\n"), want + line);
}
