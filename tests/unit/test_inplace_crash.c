/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A replacement in place that ends at any moment: killed between steps and
 * before any change to the file system, or by a call that fails (power loss:
 * test_inplace_power.c). Always old or new data, complete, and nothing else
 * when it was cleaned up.
 *
 * Linked with --wrap, see fs_wrap.h.
 */
#include "io/base/num.h"
#include "tests/unit/fs_wrap.h"
#include "tests/unit/inplace_expect.h"

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

static size_t calls_left; /* until the hook strikes */
static bool struck;

/* Both ways on from a state of the data directory before the commit. */
static void expect_both_ways(const char *what)
{
	struct tree found = tree_read(inplace_fx.dir.fd);
	struct dir_fixture other;

	dir_fixture_open(&other);
	tree_write(&found, other.fd);
	tree_free(&found);
	expect_undone(other.fd, what);
	dir_fixture_close(&other);
	expect_start(inplace_fx.dir.fd, false, false, what);
	expect_cleaned(inplace_fx.dir.fd, what);
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
	return inplace_fixture_run(&inplace_fx, 0, up_to);
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

	return sc_inplace_undo(inplace_fx.dir.fd, NULL, &err);
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
			expect_start(inplace_fx.dir.fd, false, true, name);
			expect_clone(inplace_fx.dir.fd, name);
		}
		inplace_fixture_again(&inplace_fx);
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
			!dir_fixture_has(inplace_fx.dir.fd,
					 "#clone/#status_error") &&
			dir_fixture_has(inplace_fx.dir.fd, "#clone/#new_files");

		snprintf(what, sizeof(what), "killed before change %zu", calls);
		if (!counts)
			expect_both_ways(what);
		else
			expect_start(inplace_fx.dir.fd, false, true, what);
		if (counts)
			expect_clone(inplace_fx.dir.fd, what);
		inplace_fixture_again(&inplace_fx);
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
			inplace_fixture_again(&inplace_fx);
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
		rc = inplace_fixture_run(&inplace_fx, 0, last_step());
		fs_hooks.before = NULL;
		snprintf(what, sizeof(what), "change %zu fails", calls++);
		if (rc < 0) {
			assert_true(sc_err_is_set(&inplace_fx.err));
			if (inplace_fx.stage)
				sc_stage_abort(inplace_fx.stage);
			failures++;
			expect_start(inplace_fx.dir.fd, false, false, what);
			expect_cleaned(inplace_fx.dir.fd, what);
		} else {
			expect_start(inplace_fx.dir.fd, false, true, what);
			expect_clone(inplace_fx.dir.fd, what);
		}
		inplace_fixture_again(&inplace_fx);
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
		inplace_fixture_again(&inplace_fx);
	} while (struck);
	assert_true(calls > 50);
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
	unlinkat(inplace_fx.dir.fd, "#clone/#snapclone_stage", 0);
	if (sc_inplace_lock(inplace_fx.dir.fd, geteuid(), getegid(),
			    &other_lock, &err))
		abort();
	return 0;
}

static void lock_of_a_mark_that_is_gone(void **state)
{
	int fd;

	(void)state;
	fs_hooks.before = change_of_owner;
	assert_int_equal(sc_inplace_lock(inplace_fx.dir.fd, geteuid(),
					 getegid(), &fd, &inplace_fx.err),
			 -1);
	assert_int_equal(inplace_fx.err.code, SC_ER_CLONE_TOO_MANY);
	close(other_lock);
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, expect_setup, expect_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(killed_after_each_step), TEST(killed_anywhere),
		TEST(killed_while_undoing),   TEST(every_call_fails_once),
		TEST(undo_that_fails),	      TEST(lock_of_a_mark_that_is_gone),
	};

	expect_in_memory();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
