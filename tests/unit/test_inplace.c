/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacing a data directory in place: what the next start finds, the way
 * back, and who is kept out. Crashes are in test_inplace_crash.c and
 * test_inplace_power.c. */
#include "io/base/num.h"
#include "tests/unit/inplace_fixture.h"
#include "tests/unit/swap_model.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct inplace_fixture fx;
static unsigned fds_before;

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	inplace_fixture_open(&fx);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	inplace_fixture_close(&fx);
	return fx_count_fds() == fds_before ? 0 : -1;
}

static void run_through(const char *step)
{
	if (inplace_fixture_run(&fx, 0, inplace_fixture_step(step)) < 0)
		fail_msg("%s", fx.err.msg);
}

static void expect_tree(struct tree *want, bool without_redo)
{
	struct tree got = inplace_fixture_tree(fx.dir.fd, without_redo);
	char text[256];

	if (!tree_equal(want, &got, text))
		fail_msg("%s", text);
	tree_free(&got);
}

static void expect_old(void)
{
	expect_tree(&fx.old, false);
}

static void expect_clone(void)
{
	struct tree want = inplace_fixture_clone(&fx);

	expect_tree(&want, true);
	tree_free(&want);
	if (!inplace_fixture_redo_ok(fx.dir.fd, &fx.err))
		fail_msg("%s", fx.err.msg);
}

static void expect_start(enum swap_end want, bool fails_early)
{
	const char *why;
	enum swap_end end = swap_start_once(fx.dir.fd, fails_early, &why);

	if (end != want)
		fail_msg("%s, expected %s: %s", swap_end_name(end),
			 swap_end_name(want), why);
}

static void expect_error(int rc, int code, const char *text)
{
	assert_int_equal(rc, -1);
	if (!strstr(fx.err.msg, text))
		fail_msg("'%s', expected '%s'", fx.err.msg, text);
	assert_int_equal(fx.err.code, code);
	fx.err = (struct sc_err)SC_ERR_INIT;
}

static void expect_text(const char *path, const char *want)
{
	uint8_t *got;
	size_t len;

	assert_int_equal(dir_fixture_get(fx.dir.fd, path, &got, &len), 0);
	assert_string_equal((char *)got, want);
	free(got);
}

static void clean(void)
{
	if (sc_inplace_clean(fx.dir.fd, NULL, &fx.err) < 0)
		fail_msg("%s", fx.err.msg);
}

static int lock(int *fd)
{
	return sc_inplace_lock(fx.dir.fd, geteuid(), getegid(), fd, &fx.err);
}

/* ---- the next start --------------------------------------------------------
 */

static void the_clone_comes(void **state)
{
	(void)state;
	run_through("commit");
	expect_start(SWAP_DONE, false);
	expect_clone();
	expect_text("#clone/#status_recovery", "begin\nend\n");
}

/* By the call that the daemon makes. */
static void prepare_runs_all_steps(void **state)
{
	struct tree want;

	(void)state;
	run_through("seal");
	assert_int_equal(sc_stage_prepare(fx.stage, &fx.err), 0);
	assert_int_equal(sc_stage_commit(fx.stage, &fx.err), 0);
	expect_start(SWAP_DONE, false);
	want = inplace_fixture_clone(&fx);
	for (size_t i = 0; i < want.n; i++)
		if (!want.entries[i].dir)
			assert_true(dir_fixture_has(fx.dir.fd,
						    want.entries[i].path));
	tree_free(&want);
}

static void recovery_fails_early(void **state)
{
	(void)state;
	run_through("commit");
	expect_start(SWAP_FAILED, true);
	expect_old();
	expect_text("#clone/#status_recovery", "begin\n0\n");
	expect_start(SWAP_NONE, false);
	expect_old();
}

/* The server dies while it swaps; the next start goes on. */
static void killed_while_it_swaps(void **state)
{
	struct swap_start start;
	unsigned steps = 0;

	(void)state;
	do {
		run_through("commit");
		start = (struct swap_start){ .datadir = fx.dir.fd,
					     .steps = steps++ };
		if (swap_start(&start) == SWAP_KILLED)
			expect_start(SWAP_DONE, false);
		expect_clone();
		inplace_fixture_again(&fx);
	} while (start.end == SWAP_KILLED);
	assert_true(steps > 40);
}

static void killed_while_it_swaps_then_fails(void **state)
{
	struct swap_start start = { 0 };
	unsigned steps = 0;

	(void)state;
	for (;;) {
		run_through("commit");
		start = (struct swap_start){ .datadir = fx.dir.fd,
					     .steps = steps++ };
		if (swap_start(&start) != SWAP_KILLED || start.past_return)
			break;
		expect_start(SWAP_FAILED, true);
		expect_old();
		inplace_fixture_again(&fx);
	}
	assert_true(steps > 20);
}

static void killed_while_it_rolls_back(void **state)
{
	struct swap_start start;
	enum swap_end end;
	unsigned steps = 0;

	(void)state;
	do {
		run_through("commit");
		start = (struct swap_start){ .datadir = fx.dir.fd,
					     .fails_early = true,
					     .steps = steps++ };
		end = swap_start(&start);
		if (end == SWAP_KILLED)
			end = swap_start_once(fx.dir.fd, true, NULL);
		assert_true(end == SWAP_FAILED || end == SWAP_ROLLED_BACK);
		expect_old();
		inplace_fixture_again(&fx);
	} while (start.end == SWAP_KILLED);
	assert_true(steps > 40);
}

static void three_clones_in_a_row(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		run_through("commit");
		expect_start(SWAP_DONE, false);
		expect_clone();
		sc_stage_free(fx.stage);
		fx.stage = NULL;
		/* As plugin and server do. */
		unlinkat(fx.dir.fd, "#clone/#snapclone_end", 0);
		unlinkat(fx.dir.fd, "#clone/#status_fix", 0);
	}
}

/* ---- the way back ----------------------------------------------------------
 */

static void abort_after_any_step(void **state)
{
	(void)state;
	for (size_t i = 0; i + 1 < inplace_fixture_n_steps(); i++) {
		run_through(inplace_fixture_step_name(i));
		sc_stage_abort(fx.stage);
		expect_old();
		expect_start(SWAP_NONE, false);
		inplace_fixture_again(&fx);
	}
}

static void clean_finds_nothing(void **state)
{
	(void)state;
	clean();
	expect_old();
}

static void clean_makes_no_trouble_after_a_clone(void **state)
{
	(void)state;
	run_through("commit");
	expect_start(SWAP_DONE, false);
	sc_stage_free(fx.stage);
	fx.stage = NULL;
	clean();
	expect_clone();
}

/* The daemon died between the commit and the removal of its mark: what the
 * mark says is not to be undone any more. */
static void mark_of_a_clone_that_counts(void **state)
{
	struct tree want;
	uint8_t *mark;
	size_t len;

	(void)state;
	run_through(inplace_fixture_step_name(inplace_fixture_n_steps() - 2));
	assert_int_equal(dir_fixture_get(fx.dir.fd, "#clone/#snapclone_stage",
					 &mark, &len),
			 0);
	assert_int_equal(sc_stage_commit(fx.stage, &fx.err), 0);
	dir_fixture_put(fx.dir.fd, "#clone/#snapclone_stage", mark, len);
	free(mark);
	expect_start(SWAP_DONE, false);
	sc_stage_free(fx.stage);
	fx.stage = NULL;
	/* DROP TABLE; the schema stays. */
	unlinkat(fx.dir.fd, "fresh2/a.ibd", 0);
	clean();
	want = inplace_fixture_clone(&fx);
	tree_remove(&want, "fresh2/a.ibd");
	expect_tree(&want, true);
	tree_free(&want);
}

/* A line cut off by a full disk, or by a crash, names something else. */
static void torn_mark(void **state)
{
	static const char *const marks[] = { "empty_schemas", "empty_schema/",
					     "empty_schema", "\nempty_schema" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(marks); i++) {
		dir_fixture_put(fx.dir.fd, "#clone/#snapclone_stage", marks[i],
				strlen(marks[i]));
		clean();
		expect_old();
	}
}

static void strange_marks(void **state)
{
	static const char mark[] = "../escape\n/tmp\n\n#clone\nshop\n";

	(void)state;
	dir_fixture_put(fx.dir.fd, "#clone/#snapclone_stage", mark,
			sizeof(mark) - 1);
	clean();
	expect_old();
}

/* The server made a table of that name while a dead job's list lay there. */
static void file_of_the_server_beside_a_staged_one(void **state)
{
	(void)state;
	run_through("list new files");
	dir_fixture_put(fx.dir.fd, "shop/new.ibd", "precious", 8);
	tree_put(&fx.old, "shop/new.ibd", "precious", 8);
	sc_stage_abort(fx.stage);
	expect_old();
}

static void directory_that_was_filled(void **state)
{
	(void)state;
	run_through("seal");
	dir_fixture_put(fx.dir.fd, "fresh/precious", "x", 1);
	tree_put(&fx.old, "fresh", NULL, 0);
	tree_put(&fx.old, "fresh/precious", "x", 1);
	sc_stage_abort(fx.stage);
	expect_old();
}

/* ---- who is kept out -------------------------------------------------------
 */

static void one_at_a_time(void **state)
{
	int first, second;

	(void)state;
	assert_int_equal(lock(&first), 0);
	expect_error(lock(&second), SC_ER_CLONE_TOO_MANY,
		     "another snapcloned still works in the data directory");
	close(first);
	assert_int_equal(lock(&second), 0);
	close(second);
}

static void second_stage(void **state)
{
	struct sc_staged *first;

	(void)state;
	run_through("files");
	first = fx.stage;
	expect_error(inplace_fixture_run(&fx, 0, 0), SC_ER_CLONE_TOO_MANY,
		     "another snapcloned");
	expect_error(sc_inplace_clean(fx.dir.fd, NULL, &fx.err),
		     SC_ER_CLONE_TOO_MANY, "another snapcloned");
	fx.stage = first;
	assert_int_equal(inplace_fixture_run(&fx,
					     inplace_fixture_step("chunks"),
					     inplace_fixture_n_steps() - 1),
			 0);
	expect_start(SWAP_DONE, false);
	expect_clone();
}

static void clone_that_waits_for_the_restart(void **state)
{
	struct sc_staged *first;
	int fd;

	(void)state;
	run_through("commit");
	first = fx.stage;
	for (int i = 0; i < 2; i++) {
		expect_error(inplace_fixture_run(&fx, 0, 0),
			     SC_ER_INTERNAL_ERROR,
			     "a finished clone waits in the data directory for "
			     "the restart of the server; HINT: restart mysqld");
		expect_error(lock(&fd), SC_ER_INTERNAL_ERROR, "waits");
		expect_error(sc_inplace_undo(fx.dir.fd, NULL, &fx.err),
			     SC_ER_INTERNAL_ERROR, "waits");
		expect_error(sc_inplace_clean(fx.dir.fd, NULL, &fx.err),
			     SC_ER_INTERNAL_ERROR, "waits");
	}
	fx.stage = first;
	expect_start(SWAP_DONE, false);
	expect_clone();
}

/* innodb_log_group_home_dir elsewhere: the start would not find what it is to
 * replace, which it calls fatal. */
static void redo_log_elsewhere(void **state)
{
	(void)state;
	run_through("seal");
	renameat(fx.dir.fd, "#innodb_redo", fx.dir.fd, "redo_elsewhere");
	expect_error(sc_stage_prepare(fx.stage, &fx.err), SC_ER_INTERNAL_ERROR,
		     "#innodb_redo");
	renameat(fx.dir.fd, "redo_elsewhere", fx.dir.fd, "#innodb_redo");
	sc_stage_abort(fx.stage);
	expect_old();
}

static void forget_manifest(void)
{
	unlinkat(fx.dir.fd, "#clone/" SC_MANIFEST_NAME, 0);
	tree_remove(&fx.old, "#clone/" SC_MANIFEST_NAME);
}

/* Without the manifest of an earlier clone, this one's is a new file. */
static void first_manifest(void **state)
{
	(void)state;
	forget_manifest();
	run_through("sync");
	sc_stage_abort(fx.stage);
	expect_old();
	inplace_fixture_again(&fx);
	forget_manifest();
	run_through("commit");
	expect_start(SWAP_DONE, false);
	expect_clone();
	inplace_fixture_again(&fx);
	forget_manifest();
	run_through("commit");
	expect_start(SWAP_FAILED, true);
	assert_false(dir_fixture_has(fx.dir.fd, "#clone/" SC_MANIFEST_NAME));
}

static void without_a_clone_directory(void **state)
{
	(void)state;
	forget_manifest();
	unlinkat(fx.dir.fd, "#clone/#view_status", 0);
	assert_int_equal(unlinkat(fx.dir.fd, "#clone", AT_REMOVEDIR), 0);
	tree_remove(&fx.old, "#clone/#view_status");
	run_through("seal");
	sc_stage_abort(fx.stage);
	expect_old();
	tree_remove(&fx.old, "#clone");
	assert_int_equal(unlinkat(fx.dir.fd, "#clone", AT_REMOVEDIR), 0);
	assert_int_equal(sc_inplace_undo(fx.dir.fd, NULL, &fx.err), 0);
	expect_old();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_clone_comes),
		TEST(prepare_runs_all_steps),
		TEST(recovery_fails_early),
		TEST(killed_while_it_swaps),
		TEST(killed_while_it_swaps_then_fails),
		TEST(killed_while_it_rolls_back),
		TEST(three_clones_in_a_row),
		TEST(abort_after_any_step),
		TEST(clean_finds_nothing),
		TEST(clean_makes_no_trouble_after_a_clone),
		TEST(mark_of_a_clone_that_counts),
		TEST(torn_mark),
		TEST(strange_marks),
		TEST(file_of_the_server_beside_a_staged_one),
		TEST(directory_that_was_filled),
		TEST(one_at_a_time),
		TEST(second_stage),
		TEST(clone_that_waits_for_the_restart),
		TEST(redo_log_elsewhere),
		TEST(first_manifest),
		TEST(without_a_clone_directory),
	};

	/* Memory where there is some: there are many small files. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
