/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A data directory after a replacement in place that ended somewhere, and what
 * must be true of it: old or new data, complete, and nothing else when it was
 * cleaned up. Every function fails the test that calls it; `what` says in which
 * case. One thread.
 */
#ifndef SC_TESTS_INPLACE_EXPECT_H
#define SC_TESTS_INPLACE_EXPECT_H

#include "tests/unit/inplace_fixture.h"
#include "tests/unit/tree.h"

#include <stdbool.h>
#include <stddef.h>

/* What the tests work on, from setup to teardown; hooks (fs_wrap.h) end there.
 */
extern struct inplace_fixture inplace_fx;
int expect_setup(void **state);
int expect_teardown(void **state);
/* Memory where there is some: there are many small files. Before the first
 * setup. */
void expect_in_memory(void);

/* Number of the fixture's last step. */
size_t last_step(void);

/* The tree is that one; ignore_stage: but for what is staged. */
void expect(const struct tree *want, int datadir, bool ignore_stage,
	    const char *what);
/* It is the clone. */
void expect_clone(int datadir, const char *what);
/* The server starts, on the old data or, if it may, on the clone. */
void expect_start(int datadir, bool fails_early, bool may_be_clone,
		  const char *what);
/* Cleaning it up leaves the old data. */
void expect_cleaned(int datadir, const char *what);
/* So does a new job's first act. */
void expect_undone(int datadir, const char *what);

#endif
