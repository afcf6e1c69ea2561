/* SPDX-License-Identifier: GPL-2.0-only */
/* Passes: what they drop, rename and add in a stage, what of it is refused, and
 * that the clone that comes of it is sound. In place see test_inplace*.c. */
#include "io/base/num.h"
#include "io/stage.h"
#include "io/verify.h"
#include "tests/unit/redo_fixture.h"
#include "tests/unit/stage_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { C = FX_STAGE_C, E = FX_STAGE_E, PAGE = 16384, OLD = 5000 };

static struct dir_fixture dir; /* the parent */
static int target;
static struct sc_filelist list;
static uint8_t *content[32]; /* by index, of gone files too */
static struct sc_file_changes changes;
static struct sc_staged *stage;
static struct sc_err err;
static unsigned fds_before;

/* ---- set-up
 * ------------------------------------------------------------------ */

static void put_file(struct sc_filelist *to, size_t index, const char *path,
		     uint32_t space, uint32_t pages, uint64_t lsn)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, space);

	content[index] = fx_pages(&spec, pages, lsn);
	assert_int_equal(sc_filelist_add(to, path, SC_FILE_PAGES, pages * PAGE,
					 &spec, &err),
			 0);
}

static void base(const char *path, uint32_t space, uint32_t pages)
{
	put_file(&list, list.n, path, space, pages, OLD);
}

static void add(const char *path, uint32_t space, uint32_t pages)
{
	put_file(&changes.adds, list.n + changes.adds.n, path, space, pages,
		 OLD + 1);
}

static void drop(uint32_t file)
{
	assert_int_equal(sc_file_changes_drop(&changes, file, &err), 0);
}

static void move(uint32_t file, const char *path)
{
	assert_int_equal(sc_file_changes_rename(&changes, file, path, &err), 0);
}

enum { SYSTEM, A, B, OTHER, LONELY };

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	err = (struct sc_err)SC_ERR_INIT;
	stage = NULL;
	target = fx_stage_target(&dir);
	base("ibdata1", 0, 70);
	base("db/a.ibd", 2, 65);
	base("db/b.ibd", 3, 3);
	base("other/o.ibd", 4, 1);
	base("lonely/deep/l.ibd", 5, 2);
	return target < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_stage_free(stage);
	for (size_t i = 0; i < SC_ARRAY_SIZE(content); i++) {
		free(content[i]);
		content[i] = NULL;
	}
	sc_filelist_free(&list);
	sc_file_changes_free(&changes);
	close(target);
	dir_fixture_close(&dir);
	return fx_count_fds() == fds_before ? 0 : -1;
}

static int send_file(unsigned stream, uint32_t file)
{
	return fx_stage_put_file(stage, stream, &list, content, file, &err);
}

static void start(void)
{
	struct sc_stage_params params = { .target = target,
					  .parent = dir.fd,
					  .name = "clone",
					  .page_size = PAGE,
					  .streams = 2 };

	if (sc_stage_open(&params, &stage, &err) < 0 ||
	    sc_stage_files(stage, &list, &err) < 0)
		fail_msg("%s", err.msg);
}

static void copy_base(void)
{
	start();
	for (uint32_t i = 0; i < list.n; i++) {
		if (send_file(1 + i % 2, i) < 0)
			fail_msg("%s", err.msg);
	}
}

/* The changes, then the chunks of what they add. */
static void pass(void)
{
	size_t n = list.n;

	if (sc_stage_change(stage, &changes, &err) < 0 ||
	    sc_file_changes_apply(&changes, &list, &err) < 0)
		fail_msg("%s", err.msg);
	sc_file_changes_free(&changes);
	for (uint32_t i = (uint32_t)n; i < list.n; i++) {
		if (send_file(0, i) < 0)
			fail_msg("%s", err.msg);
	}
}

static int seal(void)
{
	uint64_t sizes[SC_ARRAY_SIZE(content)] = { 0 };
	struct sc_seal s = { .mark = { .end_lsn = E },
			     .provider = "live",
			     .sizes = sizes,
			     .n_sizes = list.n };

	/* Nobody knows the size of a file that is gone. */
	for (size_t i = 0; i < list.n; i++)
		sizes[i] = list.files[i].gone ? 0 : list.files[i].size;
	return sc_stage_seal(stage, &s, &err);
}

static void expect_nothing_left(void)
{
	sc_stage_abort(stage);
	assert_false(dir_fixture_has(dir.fd, "clone"));
}

static void expect_file(const char *path, size_t index)
{
	uint8_t *got;
	size_t len;

	if (dir_fixture_get(target, path, &got, &len) < 0)
		fail_msg("%s is missing", path);
	assert_int_equal(len, list.files[index].size);
	assert_memory_equal(got, content[index], len);
	free(got);
}

static void found(void *arg, const char *text)
{
	(void)arg;
	fail_msg("verify found: %s", text);
}

/* The manifest names exactly what is there. */
static void expect_sound(void)
{
	const struct sc_verify_params params = { .dir = target,
						 .undo_dir = -1,
						 .home_dir = -1,
						 .threads = 1,
						 .found = found };
	struct sc_verify_report report = { 0 };

	if (sc_verify(&params, &report, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(report.found, 0);
	assert_true(report.before_start && report.redo_checked);
	assert_int_equal(report.files, sc_filelist_present(&list));
}

static void finish(void)
{
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 9, E, E, &err);
	if (seal() < 0 || sc_stage_commit(stage, &err) < 0)
		fail_msg("%s", err.msg);
	expect_sound();
}

/* ---- what passes do
 * ---------------------------------------------------------- */

static void one_of_each(void **state)
{
	(void)state;
	copy_base();
	drop(A);
	move(B, "db/c.ibd");
	add("db/new.ibd", 7, 80);
	pass();
	finish();
	assert_false(dir_fixture_has(target, "db/a.ibd"));
	assert_false(dir_fixture_has(target, "db/b.ibd"));
	expect_file("db/c.ibd", B);
	expect_file("db/new.ibd", 5);
	expect_file("ibdata1", SYSTEM);
}

static void names_swap(void **state)
{
	(void)state;
	copy_base();
	move(A, "db/b.ibd");
	move(B, "db/a.ibd");
	pass();
	finish();
	expect_file("db/b.ibd", A);
	expect_file("db/a.ibd", B);
}

/* a -> b -> o -> a, and a rename into the name of a dropped file. */
static void names_go_round(void **state)
{
	(void)state;
	copy_base();
	move(A, "db/b.ibd");
	move(B, "other/o.ibd");
	move(OTHER, "db/a.ibd");
	pass();
	drop(A);
	move(B, "db/b.ibd");
	pass();
	finish();
	expect_file("db/b.ibd", B);
	expect_file("db/a.ibd", OTHER);
	assert_false(dir_fixture_has(target, "other"));
}

/* A file that is copied anew: the same name, another index; and again. */
static void dropped_and_added(void **state)
{
	(void)state;
	copy_base();
	drop(B);
	add("db/b.ibd", 3, 4);
	pass();
	drop(5);
	add("db/b.ibd", 3, 5);
	pass();
	assert_int_equal(list.n, 7);
	finish();
	expect_file("db/b.ibd", 6);
}

static void what_a_pass_added_is_renamed(void **state)
{
	(void)state;
	copy_base();
	add("db/new.ibd", 7, 2);
	pass();
	move(5, "db/newer.ibd");
	pass();
	finish();
	expect_file("db/newer.ibd", 5);
}

static void directories_come_and_go(void **state)
{
	struct stat st, want;

	(void)state;
	copy_base();
	drop(LONELY);
	move(OTHER, "far/away/o.ibd");
	add("fresh/deep/f.ibd", 7, 1);
	pass();
	assert_false(dir_fixture_has(target, "lonely"));
	assert_false(dir_fixture_has(target, "other"));
	assert_int_equal(fstatat(target, "far/away", &st, 0), 0);
	assert_int_equal(fstat(target, &want), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(st.st_uid, want.st_uid);
	finish();
	expect_file("far/away/o.ibd", OTHER);
	expect_file("fresh/deep/f.ibd", 5);
}

/* The server insists on this one. */
static void the_servers_directory_stays(void **state)
{
	(void)state;
	base("mysql/m.ibd", 8, 1);
	copy_base();
	drop(5);
	pass();
	assert_true(dir_fixture_has(target, "mysql"));
	finish();
}

static void nothing_to_do(void **state)
{
	(void)state;
	copy_base();
	pass();
	pass();
	finish();
	assert_int_equal(list.n, 5);
}

/* Dropped before its chunks came: nobody misses them, nor its LSNs. */
static void gone_files_count_for_nothing(void **state)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);

	(void)state;
	fx_page(&spec, 1, E + 100, content[B] + PAGE);
	start();
	for (uint32_t i = 0; i < list.n; i++)
		assert_int_equal(i == A ? 0 : send_file(1, i), 0);
	drop(A);
	drop(B);
	pass();
	finish();
	assert_true(sc_stage_bytes(stage) == (70 + 3 + 1 + 2) * PAGE);
}

/* The newest page of all was dropped, but this one is too new as well. */
static void page_above_the_end(void **state)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 2);

	(void)state;
	fx_page(&spec, 64, E + 1, content[A] + 64 * PAGE);
	spec = fx_spec(FX_FLAGS_PLAIN, 3);
	fx_page(&spec, 1, E + 100, content[B] + PAGE);
	copy_base();
	drop(B);
	move(A, "db/renamed.ibd");
	pass();
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 9, E, E, &err);
	fx_expect_error(seal(), &err, SC_ER_INTERNAL_ERROR,
			"page 64 of db/renamed.ibd has LSN 48193, above");
	expect_nothing_left();
}

static void missing_chunk_of_a_pass(void **state)
{
	(void)state;
	copy_base();
	add("db/new.ibd", 7, 65);
	assert_int_equal(sc_stage_change(stage, &changes, &err), 0);
	assert_int_equal(sc_file_changes_apply(&changes, &list, &err), 0);
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 9, E, E, &err);
	fx_expect_error(seal(), &err, SC_ER_CLONE_PROTOCOL,
			"chunk 0 of db/new.ibd never arrived");
	expect_nothing_left();
}

/* ---- the redo of another checkpoint
 * ------------------------------------------ */

static void drop_all_and_add(void)
{
	uint32_t n = (uint32_t)list.n;

	for (uint32_t i = 0; i < n; i++) {
		if (!list.files[i].gone)
			drop(i);
	}
	add("ibdata1", 0, 70);
	add("db/a.ibd", 2, 65);
}

static void redo_begins_again(void **state)
{
	(void)state;
	copy_base();
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 1, E - 5000, E, &err);
	drop_all_and_add();
	pass();
	finish();
	assert_true(sc_stage_redo_bytes(stage) ==
		    sc_align_up(E, 512) - sc_redo_align(C));
	expect_file("ibdata1", 5);
	expect_file("db/a.ibd", 6);
	assert_false(dir_fixture_has(target, "other"));
}

static void redo_begins_again_only_then(void **state)
{
	struct sc_redo_begin begin = { C, FX_UUID, "MySQL 9.7.4" };

	(void)state;
	copy_base();
	fx_stage_redo_begin(stage, &err);
	drop(A);
	drop(B);
	pass();
	fx_expect_error(sc_stage_redo_begin(stage, &begin, &err), &err,
			SC_ER_CLONE_PROTOCOL, "redo began twice");
	err = (struct sc_err)SC_ERR_INIT;
	drop_all_and_add();
	pass();
	fx_stage_redo_begin(stage, &err);
	fx_expect_error(sc_stage_redo_begin(stage, &begin, &err), &err,
			SC_ER_CLONE_PROTOCOL, "redo began twice");
	expect_nothing_left();
}

/* ---- what is refused
 * ---------------------------------------------------------- */

static void changes_that_do_not_fit(void **state)
{
	static const uint32_t files[] = { 5, UINT32_MAX, B };

	(void)state;
	for (size_t i = 0; i < 2 * SC_ARRAY_SIZE(files); i++) {
		copy_base();
		drop(B);
		pass();
		if (i % 2)
			drop(files[i / 2]);
		else
			move(files[i / 2], "db/x.ibd");
		fx_expect_error(sc_stage_change(stage, &changes, &err), &err,
				SC_ER_CLONE_PROTOCOL,
				"changes of files that are not there");
		expect_nothing_left();
		fx_again(setup, teardown);
	}
}

static void changes_before_the_list(void **state)
{
	struct sc_stage_params params = { .target = target,
					  .parent = dir.fd,
					  .name = "clone",
					  .page_size = PAGE,
					  .streams = 1 };

	(void)state;
	assert_int_equal(sc_stage_open(&params, &stage, &err), 0);
	fx_expect_error(sc_stage_change(stage, &changes, &err), &err,
			SC_ER_CLONE_PROTOCOL,
			"changes before the list of files");
	expect_nothing_left();
}

/* Never over another file of the clone's. */
static void names_that_are_taken(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		copy_base();
		if (i == 0)
			move(A, "db/b.ibd");
		else if (i == 1)
			add("db/b.ibd", 9, 1);
		else if (i == 2)
			add("db/b.ibd/c.ibd", 9, 1);
		else
			move(A, "db/b.ibd/c.ibd");
		fx_expect_error(sc_stage_change(stage, &changes, &err), &err,
				SC_ER_INTERNAL_ERROR, "db/b.ibd");
		expect_nothing_left();
		fx_again(setup, teardown);
	}
}

static void chunk_of_a_gone_file(void **state)
{
	(void)state;
	start();
	drop(A);
	pass();
	fx_expect_error(send_file(0, A), &err, SC_ER_CLONE_PROTOCOL,
			"chunk of a file that is gone");
	expect_nothing_left();
}

static void disk_too_small(void **state)
{
	(void)state;
	copy_base();
	assert_int_equal(sc_filelist_add(&changes.adds, "db/huge.ibd",
					 SC_FILE_OPAQUE, (uint64_t)1 << 60,
					 NULL, &err),
			 0);
	fx_expect_error(sc_stage_change(stage, &changes, &err), &err,
			SC_ER_CLONE_DISK_SPACE,
			"the clone needs 1099511627840 MiB");
	assert_false(dir_fixture_has(target, "db/huge.ibd"));
	expect_nothing_left();
}

static void drop_a(void)
{
	drop(A);
}

static void move_from(void)
{
	move(A, "other/new.ibd");
}

static void move_to(void)
{
	move(OTHER, "db/new.ibd");
}

/* The owner of the target may turn a directory into a link to anywhere. */
static void links_are_not_followed(void **state)
{
	static void (*const change[])(void) = { drop_a, move_from, move_to };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(change); i++) {
		copy_base();
		dir_fixture_put(dir.fd, "neighbour/a.ibd", "theirs", 6);
		assert_int_equal(renameat(target, "db", target, "away"), 0);
		assert_int_equal(symlinkat("../neighbour", target, "db"), 0);
		change[i]();
		assert_int_equal(sc_stage_change(stage, &changes, &err), -1);
		assert_true(dir_fixture_has(dir.fd, "neighbour/a.ibd"));
		assert_false(dir_fixture_has(dir.fd, "neighbour/new.ibd"));
		sc_stage_abort(stage);
		assert_true(dir_fixture_has(dir.fd, "neighbour/a.ibd"));
		fx_again(setup, teardown);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_of_each),
		TEST(names_swap),
		TEST(names_go_round),
		TEST(dropped_and_added),
		TEST(what_a_pass_added_is_renamed),
		TEST(directories_come_and_go),
		TEST(the_servers_directory_stays),
		TEST(nothing_to_do),
		TEST(gone_files_count_for_nothing),
		TEST(page_above_the_end),
		TEST(missing_chunk_of_a_pass),
		TEST(redo_begins_again),
		TEST(redo_begins_again_only_then),
		TEST(changes_that_do_not_fit),
		TEST(changes_before_the_list),
		TEST(names_that_are_taken),
		TEST(chunk_of_a_gone_file),
		TEST(disk_too_small),
		TEST(links_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
