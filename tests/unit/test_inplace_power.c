/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A replacement in place on a disk that loses power at any moment (fs_sim.h):
 * always old or new data, complete, and nothing else when it was cleaned up.
 *
 * Linked with --wrap, see fs_wrap.h.
 */
#include "io/base/num.h"
#include "tests/unit/fs_sim.h"
#include "tests/unit/inplace_expect.h"
#include "tests/unit/swap_model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct fs_sim *sim;

static void note(const struct fs_op *op)
{
	fs_sim_note(sim, op);
}

/* Run steps from..to on a disk that is watched. */
static void watch(size_t from, size_t to)
{
	fs_hooks.after = note;
	if (inplace_fixture_run(&inplace_fx, from, to) < 0)
		fail_msg("%s", inplace_fx.err.msg);
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
	expect(&inplace_fx.old, dirfd, true, what);
}

static void power_lost_while_staging(void **state)
{
	size_t files = inplace_fixture_step("files");

	(void)state;
	sim = fs_sim_new(inplace_fx.dir.fd);
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
	sim = fs_sim_new(inplace_fx.dir.fd);
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

		sim = fs_sim_new(inplace_fx.dir.fd);
		watch(0, inplace_fixture_step(steps[i]));
		began = fs_sim_count(sim);
		fs_hooks.after = note;
		assert_int_equal(sc_inplace_undo(inplace_fx.dir.fd, NULL,
						 &inplace_fx.err),
				 0);
		fs_hooks.after = NULL;
		fs_sim_crashes(sim, began, fs_sim_count(sim), old_then_clean,
			       NULL);
		fs_sim_crashes(sim, began, fs_sim_count(sim), old_by_undo,
			       NULL);
		fs_sim_free(sim);
		inplace_fixture_again(&inplace_fx);
	}
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, expect_setup, expect_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(power_lost_while_staging),
		TEST(power_lost_in_the_commit),
		TEST(power_lost_in_the_undo),
	};

	expect_in_memory();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
