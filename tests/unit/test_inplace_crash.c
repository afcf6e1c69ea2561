/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A replacement in place that ends at any moment: killed between steps and
 * before any change to the file system, by a call that fails, by power loss.
 * Always old or new data, complete, and nothing else when it was cleaned up.
 *
 * Linked with --wrap, see fs_wrap.h.
 */
#include "io/base/log.h"
#include "io/base/num.h"
#include "tests/unit/fs_sim.h"
#include "tests/unit/inplace_fixture.h"
#include "tests/unit/swap_model.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct inplace_fixture fx;
static struct fs_sim *sim;
static unsigned fds_before;
static size_t calls_left; /* until the hook strikes */
static bool struck;

static int setup(void **state)
{
	(void)state;
	/* What is not undone is logged: hundreds of times here. */
	sc_log_setup(SC_LOG_ERROR, NULL, NULL);
	fds_before = fx_count_fds();
	inplace_fixture_open(&fx);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_hooks = (struct fs_hooks){ 0 };
	inplace_fixture_close(&fx);
	return fx_count_fds() == fds_before ? 0 : -1;
}

static size_t last_step(void)
{
	return inplace_fixture_n_steps() - 1;
}

/* ---- what is expected ------------------------------------------------------
 */

static void expect(const struct tree *want, int datadir, bool ignore_stage,
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

static void expect_clone(int datadir, const char *what)
{
	struct tree want = inplace_fixture_clone(&fx);
	struct tree got = inplace_fixture_tree(datadir, true);
	char text[256];

	tree_remove(&got, SC_CLONE_DIR "/" SC_STAGE_MARK);
	if (!tree_equal(&want, &got, text))
		fail_msg("%s: %s", what, text);
	tree_free(&want);
	tree_free(&got);
	if (!inplace_fixture_redo_ok(datadir, &fx.err))
		fail_msg("%s: %s", what, fx.err.msg);
}

/* The server starts, on the old data or, if it may, on the clone. */
static void expect_start(int datadir, bool fails_early, bool may_be_clone,
			 const char *what)
{
	const char *why;
	enum swap_end end = swap_start_once(datadir, fails_early, &why);

	if (end == SWAP_DONE && may_be_clone && !fails_early)
		expect_clone(datadir, what);
	else if (end == SWAP_NONE || end == SWAP_ROLLED_BACK ||
		 (end == SWAP_FAILED && (fails_early || may_be_clone)))
		expect(&fx.old, datadir, true, what);
	else
		fail_msg("%s: start: %s %s", what, swap_end_name(end), why);
}

static void expect_cleaned(int datadir, const char *what)
{
	struct sc_err err = SC_ERR_INIT;

	if (sc_inplace_clean(datadir, NULL, &err) < 0)
		fail_msg("%s: clean: %s", what, err.msg);
	expect(&fx.old, datadir, false, what);
}

/* A new job's first act. */
static void expect_undone(int datadir, const char *what)
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
	if (!tree_equal(&fx.old, &got, text))
		fail_msg("%s: undone: %s", what, text);
	tree_free(&got);
	close(lock);
}

/* Both ways on from a state of the data directory before the commit. */
static void expect_both_ways(const char *what)
{
	struct tree found = tree_read(fx.dir.fd);
	struct dir_fixture other;

	dir_fixture_open(&other);
	tree_write(&found, other.fd);
	tree_free(&found);
	expect_undone(other.fd, what);
	dir_fixture_close(&other);
	expect_start(fx.dir.fd, false, false, what);
	expect_cleaned(fx.dir.fd, what);
}

/* ---- killed ----------------------------------------------------------------
 */

static int kill_here(const struct fs_op *op)
{
	(void)op;
	if (!calls_left--)
		raise(SIGKILL);
	return 0;
}

typedef int action_fn(void);

/* Run in a child that is killed before change number `calls`; true when it
 * was. */
static bool killed(action_fn *action, size_t calls)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		calls_left = calls;
		fs_hooks.before = kill_here;
		_exit(action() < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static size_t up_to;

static int run_steps(void)
{
	return inplace_fixture_run(&fx, 0, up_to);
}

static int run_steps_and_die(void)
{
	if (run_steps() < 0)
		return -1;
	return raise(SIGKILL);
}

static int run_undo(void)
{
	struct sc_err err = SC_ERR_INIT;

	return sc_inplace_undo(fx.dir.fd, NULL, &err);
}

static void killed_after_each_step(void **state)
{
	(void)state;
	for (up_to = 0; up_to <= last_step(); up_to++) {
		const char *name = inplace_fixture_step_name(up_to);

		assert_true(killed(run_steps_and_die, SIZE_MAX));
		if (up_to < last_step()) {
			expect_both_ways(name);
		} else {
			expect_start(fx.dir.fd, false, true, name);
			expect_clone(fx.dir.fd, name);
		}
		inplace_fixture_again(&fx);
	}
}

/* Before any change of the file system; it counts when its mark is gone. */
static void killed_anywhere(void **state)
{
	char what[64];
	size_t calls;

	(void)state;
	up_to = last_step();
	for (calls = 0; killed(run_steps, calls); calls++) {
		bool counts =
			!dir_fixture_has(fx.dir.fd, "#clone/#status_error") &&
			dir_fixture_has(fx.dir.fd, "#clone/#new_files");

		snprintf(what, sizeof(what), "killed before change %zu", calls);
		if (!counts)
			expect_both_ways(what);
		else
			expect_start(fx.dir.fd, false, true, what);
		if (counts)
			expect_clone(fx.dir.fd, what);
		inplace_fixture_again(&fx);
	}
	assert_true(calls > 150);
}

/* Then undone to the end, or the server starts, or fails to. */
static void killed_while_undoing(void **state)
{
	static const char *const steps[] = { "files", "seal", "list new files",
					     "rename new files", "sync" };
	char what[96];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(steps); i++) {
		bool again = true;

		up_to = inplace_fixture_step(steps[i]);
		for (size_t calls = 0; again; calls++) {
			assert_true(killed(run_steps_and_die, SIZE_MAX));
			again = killed(run_undo, calls);
			snprintf(what, sizeof(what),
				 "%s, undo killed before change %zu", steps[i],
				 calls);
			expect_both_ways(what);
			inplace_fixture_again(&fx);
		}
	}
}

/* ---- calls that fail -------------------------------------------------------
 */

static int fail_here(const struct fs_op *op)
{
	(void)op;
	if (calls_left--)
		return 0;
	struck = true;
	return EIO;
}

static void fail_at(size_t calls)
{
	calls_left = calls;
	struck = false;
	fs_hooks.before = fail_here;
}

/* Each call fails once; then the job undoes what it did. */
static void every_call_fails_once(void **state)
{
	size_t calls = 0, failures = 0;
	char what[96];

	(void)state;
	do {
		int rc;

		fail_at(calls);
		rc = inplace_fixture_run(&fx, 0, last_step());
		fs_hooks.before = NULL;
		snprintf(what, sizeof(what), "change %zu fails", calls++);
		if (rc < 0) {
			assert_true(sc_err_is_set(&fx.err));
			if (fx.stage)
				sc_stage_abort(fx.stage);
			failures++;
			expect_start(fx.dir.fd, false, false, what);
			expect_cleaned(fx.dir.fd, what);
		} else {
			expect_start(fx.dir.fd, false, true, what);
			expect_clone(fx.dir.fd, what);
		}
		inplace_fixture_again(&fx);
	} while (struck);
	assert_true(failures > 150);
}

/* An undo that could not do all says so, and the next one goes on. */
static void undo_that_fails(void **state)
{
	size_t calls = 0;
	char what[96];

	(void)state;
	do {
		int rc;

		up_to = inplace_fixture_step("sync");
		assert_true(killed(run_steps_and_die, SIZE_MAX));
		fail_at(calls);
		rc = run_undo();
		fs_hooks.before = NULL;
		snprintf(what, sizeof(what), "change %zu of the undo fails",
			 calls++);
		if ((rc < 0) != struck)
			fail_msg("%s: result %d", what, rc);
		expect_both_ways(what);
		inplace_fixture_again(&fx);
	} while (struck);
	assert_true(calls > 50);
}

/* ---- power loss ------------------------------------------------------------
 */

static void note(const struct fs_op *op)
{
	fs_sim_note(sim, op);
}

/* Run steps from..to on a disk that is watched. */
static void watch(size_t from, size_t to)
{
	fs_hooks.after = note;
	if (inplace_fixture_run(&fx, from, to) < 0)
		fail_msg("%s", fx.err.msg);
	fs_hooks.after = NULL;
}

static void old_then_clean(int dirfd, size_t at, const char *what, void *arg)
{
	(void)at;
	(void)arg;
	expect_start(dirfd, false, false, what);
	expect_cleaned(dirfd, what);
}

static void old_when_it_fails(int dirfd, size_t at, const char *what, void *arg)
{
	(void)at;
	(void)arg;
	expect_start(dirfd, true, false, what);
	expect_cleaned(dirfd, what);
}

static void old_by_undo(int dirfd, size_t at, const char *what, void *arg)
{
	(void)at;
	(void)arg;
	expect_undone(dirfd, what);
}

static void old_or_clone(int dirfd, size_t at, const char *what, void *arg)
{
	(void)at;
	(void)arg;
	expect_start(dirfd, false, true, what);
}

static void clone_only(int dirfd, size_t at, const char *what, void *arg)
{
	(void)at;
	(void)arg;
	if (swap_start_once(dirfd, false, NULL) != SWAP_DONE)
		fail_msg("%s: no clone", what);
	expect_clone(dirfd, what);
}

static void clone_fails_early(int dirfd, size_t at, const char *what, void *arg)
{
	(void)at;
	(void)arg;
	if (swap_start_once(dirfd, true, NULL) != SWAP_FAILED)
		fail_msg("%s: start did not fail", what);
	expect(&fx.old, dirfd, true, what);
}

static void power_lost_while_staging(void **state)
{
	size_t files = inplace_fixture_step("files");

	(void)state;
	sim = fs_sim_new(fx.dir.fd);
	watch(0, files);
	/* The last moment has all that may be missing. */
	fs_sim_crashes(sim, fs_sim_count(sim), fs_sim_count(sim),
		       old_then_clean, NULL);
	watch(files + 1, inplace_fixture_step("seal"));
	fs_sim_crashes(sim, fs_sim_count(sim), fs_sim_count(sim),
		       old_then_clean, NULL);
	fs_sim_free(sim);
}

static void power_lost_in_the_commit(void **state)
{
	size_t sealed, prepared, committed, n;

	(void)state;
	sim = fs_sim_new(fx.dir.fd);
	watch(0, inplace_fixture_step("seal"));
	sealed = fs_sim_count(sim);
	watch(inplace_fixture_step("seal") + 1, last_step() - 1);
	prepared = fs_sim_count(sim);
	watch(last_step(), last_step());
	committed = fs_sim_count(sim);

	n = fs_sim_crashes(sim, sealed, prepared, old_then_clean, NULL);
	assert_true(n > 100);
	fs_sim_crashes(sim, sealed, prepared, old_when_it_fails, NULL);
	fs_sim_crashes(sim, sealed, prepared, old_by_undo, NULL);
	fs_sim_crashes(sim, prepared, committed, old_or_clone, NULL);
	fs_sim_crashes(sim, committed, committed, clone_only, NULL);
	fs_sim_crashes(sim, committed, committed, clone_fails_early, NULL);
	fs_sim_free(sim);
}

static void power_lost_in_the_undo(void **state)
{
	static const char *const steps[] = { "list new files", "sync" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(steps); i++) {
		size_t began;

		sim = fs_sim_new(fx.dir.fd);
		watch(0, inplace_fixture_step(steps[i]));
		began = fs_sim_count(sim);
		fs_hooks.after = note;
		assert_int_equal(run_undo(), 0);
		fs_hooks.after = NULL;
		fs_sim_crashes(sim, began, fs_sim_count(sim), old_then_clean,
			       NULL);
		fs_sim_crashes(sim, began, fs_sim_count(sim), old_by_undo,
			       NULL);
		fs_sim_free(sim);
		inplace_fixture_again(&fx);
	}
}

/* ---- the lock --------------------------------------------------------------
 */

static int other_lock = -1;

/* The owner of the lock ends, and another job begins, between the opening of
 * the mark and its lock. */
static int change_of_owner(const struct fs_op *op)
{
	struct sc_err err = SC_ERR_INIT;

	if (op->call != FS_LOCK || other_lock >= 0)
		return 0;
	unlinkat(fx.dir.fd, "#clone/#snapclone_stage", 0);
	if (sc_inplace_lock(fx.dir.fd, geteuid(), getegid(), &other_lock, &err))
		abort();
	return 0;
}

static void lock_of_a_mark_that_is_gone(void **state)
{
	int fd;

	(void)state;
	fs_hooks.before = change_of_owner;
	assert_int_equal(
		sc_inplace_lock(fx.dir.fd, geteuid(), getegid(), &fd, &fx.err),
		-1);
	assert_int_equal(fx.err.code, SC_ER_CLONE_TOO_MANY);
	close(other_lock);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(killed_after_each_step),
		TEST(killed_anywhere),
		TEST(killed_while_undoing),
		TEST(every_call_fails_once),
		TEST(undo_that_fails),
		TEST(power_lost_while_staging),
		TEST(power_lost_in_the_commit),
		TEST(power_lost_in_the_undo),
		TEST(lock_of_a_mark_that_is_gone),
	};

	/* Memory where there is some: there are many small files. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
