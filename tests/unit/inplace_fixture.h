/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data directory of a recipient and a clone that replaces it, step by step
 * from the opening of the stage to the commit.
 */
#ifndef SC_TESTS_INPLACE_FIXTURE_H
#define SC_TESTS_INPLACE_FIXTURE_H

#include "io/inplace.h"
#include "io/stage.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/tree.h"

enum { INPLACE_FIXTURE_FILES = 64 };

struct inplace_fixture {
	struct dir_fixture dir;	 /* the data directory */
	struct sc_filelist list; /* of the clone */
	/* Each one's final path, which its content tells. */
	const char *names[INPLACE_FIXTURE_FILES];
	struct sc_staged *stage; /* from step "open" on */
	struct tree old;	 /* before anything happened */
	struct sc_err err;
};

void inplace_fixture_open(struct inplace_fixture *fx);
void inplace_fixture_close(struct inplace_fixture *fx);

/* The data directory as at first, in a new place. */
void inplace_fixture_again(struct inplace_fixture *fx);

/*
 * The steps of a clone in place: the calls of the stage with a pass,
 * sc_inplace_steps, the commit. A step added to sc_inplace_steps is among them.
 */
size_t inplace_fixture_n_steps(void);
const char *inplace_fixture_step_name(size_t step);
/* The step of that name; aborts when there is none. */
size_t inplace_fixture_step(const char *name);
/* 0 or -1 with fx->err. */
int inplace_fixture_run(struct inplace_fixture *fx, size_t from, size_t to);

/* What the data directory is when the server has started on the clone; redo
 * log and #status_recovery left out. */
struct tree inplace_fixture_clone(const struct inplace_fixture *fx);

/* The directory as it is, without redo log and #status_recovery if so. */
struct tree inplace_fixture_tree(int datadir, bool without_redo);

/* True when the redo log is that of the clone, complete. */
bool inplace_fixture_redo_ok(int datadir, struct sc_err *err);

/*
 * What may lie beside complete old data until someone cleans up is taken out
 * of the tree: staged files, directories that staging made, files of #clone
 * that no start reads.
 */
void inplace_fixture_ignore_stage(struct tree *tree);

#endif
