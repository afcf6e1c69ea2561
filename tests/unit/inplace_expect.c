/* SPDX-License-Identifier: GPL-2.0-only */
/* What is expected of a data directory; see inplace_expect.h. */
#include "tests/unit/inplace_expect.h"

#include "io/base/log.h"
#include "tests/unit/fs_wrap.h"
#include "tests/unit/swap_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct inplace_fixture inplace_fx;
static unsigned fds_before;

int expect_setup(void **state)
{
	(void)state;
	/* What is not undone is logged: hundreds of times here. */
	sc_log_setup(SC_LOG_ERROR, NULL, NULL);
	fds_before = fx_count_fds();
	inplace_fixture_open(&inplace_fx);
	return 0;
}

int expect_teardown(void **state)
{
	(void)state;
	fs_hooks = (struct fs_hooks){ 0 };
	inplace_fixture_close(&inplace_fx);
	return fx_count_fds() == fds_before ? 0 : -1;
}

void expect_in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
}

size_t last_step(void)
{
	return inplace_fixture_n_steps() - 1;
}

void expect(const struct tree *want, int datadir, bool ignore_stage,
	    const char *what)
{
	struct tree got = inplace_fixture_tree(datadir, false);
	char text[256];

	if (ignore_stage)
		inplace_fixture_ignore_stage(&got);
	if (!tree_equal(want, &got, text))
		fail_msg("%s: %s", what, text);
	tree_free(&got);
}

void expect_clone(int datadir, const char *what)
{
	struct tree want = inplace_fixture_clone(&inplace_fx);
	struct tree got = inplace_fixture_tree(datadir, true);
	char text[256];

	tree_remove(&got, SC_CLONE_DIR "/" SC_STAGE_MARK);
	if (!tree_equal(&want, &got, text))
		fail_msg("%s: %s", what, text);
	tree_free(&want);
	tree_free(&got);
	if (!inplace_fixture_redo_ok(datadir, &inplace_fx.err))
		fail_msg("%s: %s", what, inplace_fx.err.msg);
}

void expect_start(int datadir, bool fails_early, bool may_be_clone,
		  const char *what)
{
	const char *why;
	enum swap_end end = swap_start_once(datadir, fails_early, &why);

	if (end == SWAP_DONE && may_be_clone && !fails_early)
		expect_clone(datadir, what);
	else if (end == SWAP_NONE || end == SWAP_ROLLED_BACK ||
		 (end == SWAP_FAILED && (fails_early || may_be_clone)))
		expect(&inplace_fx.old, datadir, true, what);
	else
		fail_msg("%s: start: %s %s", what, swap_end_name(end), why);
}

void expect_cleaned(int datadir, const char *what)
{
	struct sc_err err = SC_ERR_INIT;

	if (sc_inplace_clean(datadir, NULL, &err) < 0)
		fail_msg("%s: clean: %s", what, err.msg);
	expect(&inplace_fx.old, datadir, false, what);
}

void expect_undone(int datadir, const char *what)
{
	struct sc_err err = SC_ERR_INIT;
	struct tree got;
	char text[256];
	int lock;

	if (sc_inplace_lock(datadir, geteuid(), getegid(), &lock, &err) < 0 ||
	    sc_inplace_undo(datadir, NULL, &err) < 0)
		fail_msg("%s: undo: %s", what, err.msg);
	got = inplace_fixture_tree(datadir, false);
	tree_remove(&got, SC_CLONE_DIR "/" SC_STAGE_MARK);
	if (!tree_equal(&inplace_fx.old, &got, text))
		fail_msg("%s: undone: %s", what, text);
	tree_free(&got);
	close(lock);
}
