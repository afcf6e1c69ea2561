/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What InnoDB's start-up does with the lists in #clone of a data directory: a
 * model for tests, with real files.
 *
 * A start rolls back when #status_error is there. Else it moves the clone's
 * files in (roll forward) before recovery; when recovery fails it makes
 * #status_error and rolls back in the same process, when it succeeds it
 * removes the old files. The SQL layer's part (#status_fix) is left out.
 *
 * Source: storage/innobase/clone/clone0api.cc of MySQL 9.7: clone_init(),
 * clone_files_recovery(), clone_files_error(), and clone_update_gtid_status(),
 * which removes #replace_files at the end.
 */
#ifndef SC_TESTS_SWAP_MODEL_H
#define SC_TESTS_SWAP_MODEL_H

#include <limits.h>
#include <stdbool.h>

enum swap_end {
	SWAP_UNDER_WAY,
	SWAP_REFUSED,	  /* #status_in_progress: the server does not start */
	SWAP_FATAL,	  /* a file in a state that the server knows no way out
			     of: it does not start, nor will the next time */
	SWAP_KILLED,	  /* after `steps` changes */
	SWAP_FAILED,	  /* recovery failed; what was listed is rolled back */
	SWAP_ROLLED_BACK, /* the server runs, on the old data */
	SWAP_NONE,	  /* the server runs, nothing was listed */
	SWAP_DONE,	  /* the server runs on the clone */
};

struct swap_start {
	int datadir;
	bool fails_early; /* in: redo recovery fails */
	unsigned steps;	  /* in: changes until it is killed, SWAP_ALL = never */

	bool past_return; /* out: the old files are being removed */
	enum swap_end end;
	char why[256]; /* of SWAP_FATAL and SWAP_REFUSED */
};

#define SWAP_ALL UINT_MAX

/* Start the server once. */
enum swap_end swap_start(struct swap_start *start);

/* The same without kill. why: of the last call. */
enum swap_end swap_start_once(int datadir, bool fails_early,
			      const char **ret_why);

const char *swap_end_name(enum swap_end end);

#endif
