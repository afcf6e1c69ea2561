/* SPDX-License-Identifier: GPL-2.0-only */
/* External tablespaces: where their names lead, which a donor lists, and that a
 * clone into a new directory makes and leaves nothing but its own. */
#include "dir_fixture.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/base/outside.h"
#include "io/verify.h"
#include "tests/unit/stage_fixture.h"
#include "tests/unit/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { E = FX_STAGE_E, PAGE = 16384, IBDATA = 0, TS, TABLE, NEW_DIR, N_FILES };

static struct dir_fixture parent, ext, inner;
static int target;
static struct sc_roots roots;
static struct sc_filelist list;
static uint8_t *content[N_FILES];
static struct sc_staged *stage;
static struct tree before;
static struct sc_err err;
static unsigned fds_before;

/* An external name; one buffer a call of a few. */
static const char *far(const char *path)
{
	static char names[8][160];
	static unsigned next;
	char *name = names[next++ % 8];

	snprintf(name, sizeof(names[0]), "%s/%s", ext.path, path);
	return name;
}

static void add_file(const char *path, uint32_t space)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, space);

	content[list.n] = fx_pages(&spec, 2, 5000);
	assert_int_equal(sc_filelist_add(&list, path, SC_FILE_PAGES, 2 * PAGE,
					 &spec, &err),
			 0);
}

static void set_root(unsigned i, const struct dir_fixture *dir)
{
	roots.fd[i] = dir->fd;
	roots.external[i] = true;
	snprintf(roots.path[i], sizeof(roots.path[i]), "%s", dir->path);
}

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	err = (struct sc_err)SC_ERR_INIT;
	stage = NULL;
	target = fx_stage_target(&parent);
	dir_fixture_open(&ext);
	dir_fixture_open(&inner);
	roots = (struct sc_roots){ .n = 2, .fd = { target } };
	set_root(1, &ext);
	dir_fixture_put(ext.fd, "db/own.txt", "own", 3);
	before = tree_read(ext.fd);
	add_file("ibdata1", 0);
	add_file(far("ts.ibd"), 7);
	add_file(far("db/t.ibd"), 8);
	add_file(far("new/sub/t.ibd"), 9);
	return target < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_stage_free(stage);
	for (size_t i = 0; i < N_FILES; i++)
		free(content[i]);
	sc_filelist_free(&list);
	tree_free(&before);
	close(target);
	dir_fixture_close(&parent);
	dir_fixture_close(&ext);
	dir_fixture_close(&inner);
	return fx_count_fds() == fds_before ? 0 : -1;
}

static void expect_as_before(void)
{
	struct tree now = tree_read(ext.fd);
	char text[256];

	if (!tree_equal(&before, &now, text))
		fail_msg("%s", text);
	tree_free(&now);
}

/* ---- names --------------------------------------------------------------- */

static void names_tell_places(void **state)
{
	struct sc_place place;

	(void)state;
	set_root(2, &inner);
	snprintf(roots.path[2], sizeof(roots.path[2]), "%s/in", ext.path);
	roots.n = 3;
	place = sc_roots_place(&roots, target, far("db/t.ibd"));
	assert_int_equal(place.dir, ext.fd);
	assert_string_equal(place.path, "db/t.ibd");
	/* The innermost one. */
	place = sc_roots_place(&roots, target, far("in/db/t.ibd"));
	assert_int_equal(place.dir, inner.fd);
	assert_string_equal(place.path, "db/t.ibd");
	place = sc_roots_place(&roots, target, far("inn/t.ibd"));
	assert_int_equal(place.dir, ext.fd);
	assert_string_equal(place.path, "inn/t.ibd");
	place = sc_roots_place(&roots, target, "db/t.ibd");
	assert_int_equal(place.dir, target);
}

/* A descriptor that is not looked at would open any file of the host. */
static void other_names_lead_nowhere(void **state)
{
	struct sc_place place;

	(void)state;
	roots.external[1] = false;
	place = sc_roots_place(&roots, target, far("ts.ibd"));
	assert_int_equal(place.dir, -1);
	assert_true(*place.path != '/');
	assert_int_equal(sc_roots_find(&roots, far("ts.ibd")), SC_NO_ROOT);
	assert_int_equal(sc_roots_place(NULL, target, "/etc/x.ibd").dir, -1);
	roots.external[1] = true;
	assert_int_equal(sc_roots_find(&roots, "/etc/x.ibd"), SC_NO_ROOT);
}

/* ---- the donor's list ---------------------------------------------------- */

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	struct sc_place place = sc_roots_place(image->roots, image->root, path);

	(void)direct;
	return sc_open_beneath(place.dir, place.path, O_RDONLY, 0);
}

static void put(int dir, const char *path)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 7);
	uint8_t *pages = fx_pages(&spec, 2, 1000);

	dir_fixture_put(dir, path, pages, 2 * PAGE);
	free(pages);
}

static void scan_list(struct sc_filelist *ret, bool live)
{
	struct sc_image image = { .open_file = open_file,
				  .provider = "test",
				  .live = live,
				  .root = target,
				  .roots = &roots };

	if (sc_filelist_scan(&image, "ibdata1:1M", PAGE, NULL, ret, &err) < 0)
		fail_msg("%s", err.msg);
}

static bool has(const struct sc_filelist *found, const char *path)
{
	for (size_t i = 0; i < found->n; i++) {
		if (!strcmp(found->files[i].path, path))
			return true;
	}
	return false;
}

static void donor_lists_them(void **state)
{
	static const char *const others[] = {
		"undo_001",	   "ib_buffer_pool",	 "server/mysql.ibd",
		"server/db/t.ibd", "clone/#clone/x",	 "clone/t.ibd",
		".hidden/t.ibd",   "#innodb_redo/t.ibd",
	};
	struct sc_filelist found = { 0 };

	(void)state;
	put(target, "ibdata1");
	put(target, "db/here.ibd");
	put(ext.fd, "ts.ibd");
	put(ext.fd, "db/sub/t.ibd");
	assert_int_equal(symlinkat("db", ext.fd, "link"), 0);
	for (size_t i = 0; i < SC_ARRAY_SIZE(others); i++)
		put(ext.fd, others[i]);
	scan_list(&found, false);
	assert_int_equal(found.n, 4);
	assert_true(has(&found, far("ts.ibd")));
	assert_true(has(&found, far("db/sub/t.ibd")));
	assert_true(has(&found, "db/here.ibd"));
	sc_filelist_free(&found);
}

/* What the walk does not come to, the server is asked about. */
static void what_a_walk_reaches(void **state)
{
	static const struct {
		const char *path;
		bool reached;
	} cases[] = {
		{ "ts.ibd", true },	      { "db/t.ibd", true },
		{ "db/gone.ibd", true },      { "gone/t.ibd", true },
		{ "link/t.ibd", false },      { "db/link.ibd", false },
		{ ".hidden/t.ibd", false },   { "#x/t.ibd", false },
		{ "db/#x/t.ibd", true },      { "server/t.ibd", false },
		{ "server/db/t.ibd", false },
	};

	(void)state;
	put(ext.fd, "ts.ibd");
	put(ext.fd, "db/t.ibd");
	put(ext.fd, "db/#x/t.ibd");
	put(ext.fd, ".hidden/t.ibd");
	put(ext.fd, "#x/t.ibd");
	put(ext.fd, "server/mysql.ibd");
	put(ext.fd, "server/db/t.ibd");
	assert_int_equal(symlinkat("db", ext.fd, "link"), 0);
	assert_int_equal(symlinkat("t.ibd", ext.fd, "db/link.ibd"), 0);
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		if (sc_external_reaches(ext.fd, cases[i].path) !=
		    cases[i].reached)
			fail_msg("%s", cases[i].path);
	}
}

/* A directory may hold undo tablespaces, without directory in their names, and
 * external ones. */
static void one_directory_for_both(void **state)
{
	struct sc_filelist found = { 0 };

	(void)state;
	roots.undo = 1;
	put(target, "ibdata1");
	put(ext.fd, "undo_001");
	put(ext.fd, "more.ibu");
	put(ext.fd, "db/t.ibd");
	scan_list(&found, false);
	assert_int_equal(found.n, 4);
	assert_true(has(&found, "undo_001"));
	assert_true(has(&found, "more.ibu"));
	assert_true(has(&found, far("db/t.ibd")));
	sc_filelist_free(&found);
}

/* Where there was none at the beginning only running files are looked at. */
static void later_ones(void **state)
{
	struct sc_filelist found = { 0 }, running = { 0 };

	(void)state;
	roots.external[1] = SC_EXTERNAL_LATER;
	put(target, "ibdata1");
	put(ext.fd, "db/t.ibd");
	scan_list(&found, false);
	assert_int_equal(found.n, 1);
	scan_list(&running, true);
	assert_int_equal(running.n, 2);
	assert_true(has(&running, far("db/t.ibd")));
	sc_filelist_free(&found);
	sc_filelist_free(&running);
}

/* ---- a clone into a new directory ---------------------------------------- */

static int open_stage(bool local, const struct sc_roots *with)
{
	struct sc_stage_params params = { .target = target,
					  .parent = parent.fd,
					  .name = "clone",
					  .page_size = PAGE,
					  .local = local,
					  .roots = with,
					  .streams = 1 };

	if (sc_stage_open(&params, &stage, &err) < 0)
		fail_msg("%s", err.msg);
	return sc_stage_files(stage, &list, &err);
}

static void deliver(void)
{
	if (open_stage(false, &roots) < 0)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < list.n; i++) {
		if (!list.files[i].gone &&
		    fx_stage_put_file(stage, 1, &list, content, i, &err) < 0)
			fail_msg("%s", err.msg);
	}
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 9, E, E, &err);
}

static void seal(void)
{
	uint64_t sizes[N_FILES];
	struct sc_seal m = { .mark = { .end_lsn = E },
			     .sizes = sizes,
			     .n_sizes = list.n };

	for (size_t i = 0; i < list.n; i++)
		sizes[i] = list.files[i].size;
	if (sc_stage_seal(stage, &m, &err) < 0)
		fail_msg("%s", err.msg);
}

static void said(void *arg, const char *text)
{
	(void)arg;
	fail_msg("%s", text);
}

static void they_come_with_the_commit(void **state)
{
	struct sc_verify_params params = { .dir = target,
					   .undo_dir = -1,
					   .home_dir = -1,
					   .threads = 1,
					   .found = said };
	struct sc_verify_report report;

	(void)state;
	deliver();
	seal();
	assert_false(dir_fixture_has(ext.fd, "ts.ibd"));
	if (sc_stage_commit(stage, &err) < 0)
		fail_msg("%s", err.msg);
	for (unsigned i = TS; i < N_FILES; i++) {
		struct sc_place place =
			sc_roots_place(&roots, target, list.files[i].path);
		uint8_t *got;
		size_t len;

		assert_int_equal(
			dir_fixture_get(place.dir, place.path, &got, &len), 0);
		assert_int_equal(len, 2 * PAGE);
		assert_memory_equal(got, content[i], len);
		free(got);
	}
	assert_false(dir_fixture_has(ext.fd, "ts.ibd.#clone"));
	if (sc_verify(&params, &report, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(report.files, N_FILES);
}

static void nothing_of_a_failed_one_stays(void **state)
{
	(void)state;
	deliver();
	assert_true(dir_fixture_has(ext.fd, "new/sub/t.ibd.#clone"));
	sc_stage_abort(stage);
	expect_as_before();
	fx_again(setup, teardown);
	deliver();
	seal();
	/* Somebody makes one of that name meanwhile: it stays. */
	dir_fixture_put(ext.fd, "db/t.ibd", "theirs", 6);
	fx_expect_error(sc_stage_commit(stage, &err), &err, SC_ER_FILE_EXISTS,
			far("db/t.ibd"));
	sc_stage_abort(stage);
	assert_true(dir_fixture_has(ext.fd, "db/t.ibd"));
	unlinkat(ext.fd, "db/t.ibd", 0);
	expect_as_before();
}

/* The daemon died: the plugin has the note. */
static void nor_of_one_that_died(void **state)
{
	(void)state;
	deliver();
	seal();
	if (sc_outside_remove(target, &err) < 0)
		fail_msg("%s", err.msg);
	expect_as_before();
	assert_int_equal(sc_outside_remove(target, &err), 0);
	sc_outside_forget(target);
	assert_int_equal(sc_outside_remove(target, &err), 0);
}

static void commit(void)
{
	deliver();
	seal();
	if (sc_stage_commit(stage, &err) < 0)
		fail_msg("%s", err.msg);
}

/* It died, or the statement was killed, when it had committed. */
static void nor_of_one_that_had_committed(void **state)
{
	(void)state;
	commit();
	assert_true(dir_fixture_has(ext.fd, "new/sub/t.ibd"));
	if (sc_outside_remove(target, &err) < 0)
		fail_msg("%s", err.msg);
	expect_as_before();
}

/* It died between two renames. */
static void nor_of_one_that_died_in_its_commit(void **state)
{
	(void)state;
	deliver();
	seal();
	dir_fixture_put(ext.fd, "new/sub/t.ibd", "theirs", 6);
	fx_expect_error(sc_stage_commit(stage, &err), &err, SC_ER_FILE_EXISTS,
			far("new/sub/t.ibd"));
	assert_true(dir_fixture_has(ext.fd, "ts.ibd"));
	assert_true(dir_fixture_has(ext.fd, "new/sub/t.ibd.#clone"));
	unlinkat(ext.fd, "new/sub/t.ibd", 0);
	err = (struct sc_err)SC_ERR_INIT;
	if (sc_outside_remove(target, &err) < 0)
		fail_msg("%s", err.msg);
	expect_as_before();
}

/* Ours went, theirs came, with the same inode where the file system likes to;
 * what stays is told. */
static void what_is_anothers_stays(void **state)
{
	(void)state;
	commit();
	unlinkat(ext.fd, "new/sub/t.ibd", 0);
	dir_fixture_put(ext.fd, "new/sub/t.ibd", content[NEW_DIR], 2 * PAGE);
	fx_expect_error(sc_outside_remove(target, &err), &err,
			SC_ER_INTERNAL_ERROR, far("new/sub"));
	assert_non_null(strstr(err.msg, "2 files or directories stay: "));
	assert_non_null(strstr(err.msg, "Directory not empty"));
	assert_true(dir_fixture_has(ext.fd, "new/sub/t.ibd"));
	assert_false(dir_fixture_has(ext.fd, "ts.ibd"));
	assert_false(dir_fixture_has(ext.fd, "db/t.ibd"));
}

/* The note is in the hands of the target's owner, who is less than root. */
static void nothing_of_others(void **state)
{
	const char *const names[] = { far("roots/file"), far("theirs/file") };
	struct sc_outside note = SC_OUTSIDE_INIT;
	const uid_t nobody = 65534;

	(void)state;
	if (geteuid() != 0)
		skip();
	deliver();
	dir_fixture_put(ext.fd, "roots/file", "x", 1);
	dir_fixture_put(ext.fd, "theirs/file", "x", 1);
	assert_int_equal(fchownat(ext.fd, "theirs", nobody, nobody, 0), 0);
	assert_int_equal(fchown(target, nobody, nobody), 0);
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		assert_int_equal(sc_outside_add(&note, target, nobody, nobody,
						names[i], &err),
				 0);
	sc_outside_close(&note);
	assert_int_equal(sc_outside_remove(target, &err), -1);
	assert_int_equal(err.sys_errno, EPERM);
	assert_true(dir_fixture_has(ext.fd, "roots/file"));
	assert_false(dir_fixture_has(ext.fd, "theirs/file"));
}

static void passes_change_them(void **state)
{
	struct sc_file_changes changes = { 0 };

	(void)state;
	deliver();
	if (sc_file_changes_drop(&changes, TS, &err) < 0 ||
	    sc_file_changes_rename(&changes, TABLE, far("other/t.ibd"), &err) <
		    0 ||
	    sc_stage_change(stage, &changes, &err) < 0 ||
	    sc_file_changes_apply(&changes, &list, &err) < 0)
		fail_msg("%s", err.msg);
	sc_file_changes_free(&changes);
	seal();
	if (sc_stage_commit(stage, &err) < 0)
		fail_msg("%s", err.msg);
	assert_false(dir_fixture_has(ext.fd, "ts.ibd"));
	assert_false(dir_fixture_has(ext.fd, "db/t.ibd"));
	assert_true(dir_fixture_has(ext.fd, "other/t.ibd"));
	assert_true(dir_fixture_has(ext.fd, "db/own.txt"));
}

static void refused(void **state)
{
	(void)state;
	dir_fixture_put(ext.fd, "ts.ibd", "theirs", 6);
	fx_expect_error(open_stage(false, &roots), &err, SC_ER_FILE_EXISTS,
			far("ts.ibd"));
	sc_stage_abort(stage);
	unlinkat(ext.fd, "ts.ibd", 0);
	expect_as_before();
	fx_again(setup, teardown);
	roots.external[1] = false;
	fx_expect_error(open_stage(false, &roots), &err, SC_ER_WRONG_VALUE,
			far("ts.ibd"));
	sc_stage_abort(stage);
	expect_as_before();
	fx_again(setup, teardown);
	fx_expect_error(open_stage(true, NULL), &err, SC_ER_FILE_EXISTS,
			far("ts.ibd"));
	sc_stage_abort(stage);
	expect_as_before();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_tell_places),
		TEST(other_names_lead_nowhere),
		TEST(donor_lists_them),
		TEST(what_a_walk_reaches),
		TEST(one_directory_for_both),
		TEST(later_ones),
		TEST(they_come_with_the_commit),
		TEST(nothing_of_a_failed_one_stays),
		TEST(nor_of_one_that_died),
		TEST(nor_of_one_that_had_committed),
		TEST(nor_of_one_that_died_in_its_commit),
		TEST(what_is_anothers_stays),
		TEST(nothing_of_others),
		TEST(passes_change_them),
		TEST(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
