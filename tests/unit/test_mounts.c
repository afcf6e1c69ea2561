/* SPDX-License-Identifier: GPL-2.0-only */
/* Mounts under a server's tablespaces: which one a path lies in. That they are
 * found is tested where file systems can be mounted, in
 * tests/dm/test_devices.py. */
#include "daemon/mounts.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_a_path_lies_in_the_innermost_mount(void **state)
{
	static struct sc_mount mounts[] = { { .path = (char *)"" },
					    { .path = (char *)"db" },
					    { .path = (char *)"db/sub" },
					    { .path = (char *)"db2" } };
	static const struct {
		const char *path, *rest;
		size_t index;
	} cases[] = {
		{ "ibdata1", "ibdata1", 0 },
		{ "d/t.ibd", "d/t.ibd", 0 },
		{ "dba/t.ibd", "dba/t.ibd", 0 },
		{ "db", "", 1 },
		{ "db/t.ibd", "t.ibd", 1 },
		{ "db/subs/t.ibd", "subs/t.ibd", 1 },
		{ "db/sub", "", 2 },
		{ "db/sub/t.ibd", "t.ibd", 2 },
		{ "db2/sub/t.ibd", "sub/t.ibd", 3 },
	};
	struct sc_mounts all = { .mounts = mounts, .n = SC_ARRAY_SIZE(mounts) };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		const char *rest;

		assert_int_equal(sc_mounts_of(&all, cases[i].path, &rest),
				 cases[i].index);
		assert_string_equal(rest, cases[i].rest);
	}
}

/* Undo tablespaces in a directory that holds the one of ibdata2, and both lie
 * in what is mounted over the root directory. */
static void test_a_file_lies_in_its_own_directory(void **state)
{
	static struct sc_mount mounts[] = {
		{ .path = (char *)"" },		 { .path = (char *)"/srv" },
		{ .path = (char *)"/srv/home" }, { .path = (char *)"db" },
		{ .path = (char *)"/srv/db" },
	};
	static const struct {
		const char *name, *rest;
		size_t index;
	} cases[] = {
		{ "undo_001", "undo_001", 1 },
		{ "more.ibu", "more.ibu", 1 },
		{ "ibdata1", "ibdata1", 0 },
		{ "ibdata2", "ibdata2", 2 },
		{ "db/t.ibd", "t.ibd", 3 },
		{ "mysql.ibd", "mysql.ibd", 0 },
		{ "/srv/db/t.ibd", "t.ibd", 4 },
		{ "/srv/far/t.ibd", "far/t.ibd", 1 },
		{ "/srv", "", 1 },
		{ "/srvx/t.ibd", "/srvx/t.ibd", SC_ARRAY_SIZE(mounts) },
	};
	struct sc_mounts all = { .mounts = mounts, .n = SC_ARRAY_SIZE(mounts) };
	struct sc_roots roots = { .path = { "", "/srv", "/srv/home" },
				  .n = 3,
				  .undo = 1,
				  .system = { { "ibdata1", 0 },
					      { "ibdata2", 2 } },
				  .n_system = 2 };
	char buf[32];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		const char *rest, *path = sc_mounts_path(&roots, cases[i].name,
							 buf, sizeof(buf));

		assert_int_equal(sc_mounts_of(&all, path, &rest),
				 cases[i].index);
		assert_string_equal(rest, cases[i].rest);
	}
	assert_null(sc_mounts_path(&roots, "undo_001", buf, 13));
	assert_string_equal(sc_mounts_path(&roots, "undo_001", buf, 14),
			    "/srv/undo_001");
}

static void test_the_root_directory_holds_tablespaces(void **state)
{
	static struct sc_mount mounts[] = { { .path = (char *)"" },
					    { .path = (char *)"/" },
					    { .path = (char *)"/srv" } };
	struct sc_mounts all = { .mounts = mounts, .n = SC_ARRAY_SIZE(mounts) };
	struct sc_roots roots = { .path = { "", "/" }, .n = 2, .undo = 1 };
	const char *rest;
	char buf[32];

	(void)state;
	assert_string_equal(sc_mounts_path(&roots, "undo_001", buf, 32),
			    "/undo_001");
	assert_int_equal(sc_mounts_of(&all, "/undo_001", &rest), 1);
	assert_string_equal(rest, "undo_001");
	assert_int_equal(sc_mounts_of(&all, "/srv/t.ibd", &rest), 2);
	assert_string_equal(rest, "t.ibd");
	assert_int_equal(sc_mounts_of(&all, "t.ibd", &rest), 0);
}

static void test_nothing_is_mounted(void **state)
{
	struct dir_fixture f;
	struct sc_err err = SC_ERR_INIT;
	struct sc_roots roots = { .n = 1 };
	struct sc_mounts mounts;
	struct stat st;

	(void)state;
	dir_fixture_open(&f);
	assert_int_equal(mkdirat(f.fd, "db", 0700), 0);
	assert_int_equal(mkdirat(f.fd, "db/sub", 0700), 0);
	assert_int_equal(symlinkat("db", f.fd, "link"), 0);
	roots.fd[0] = f.fd;
	assert_int_equal(sc_mounts_find(&roots, &mounts, &err), 0);
	assert_int_equal(mounts.n, 1);
	assert_string_equal(mounts.mounts[0].path, "");
	assert_int_equal(fstat(f.fd, &st), 0);
	assert_int_equal(mounts.mounts[0].dev, st.st_dev);
	sc_mounts_free(&mounts);
	dir_fixture_close(&f);
}

/* Directories of tablespaces come first, and none of them is found again. */
static void test_several_directories(void **state)
{
	struct dir_fixture f;
	struct sc_err err = SC_ERR_INIT;
	struct sc_roots roots = { .path = { "", "/tablespaces" }, .n = 2 };
	struct sc_mounts mounts;

	(void)state;
	dir_fixture_open(&f);
	assert_int_equal(mkdirat(f.fd, "undo", 0700), 0);
	assert_int_equal(mkdirat(f.fd, "undo/db", 0700), 0);
	roots.fd[0] = f.fd;
	roots.fd[1] = openat(f.fd, "undo", O_RDONLY | O_DIRECTORY);
	assert_int_equal(sc_mounts_find(&roots, &mounts, &err), 0);
	assert_int_equal(mounts.n, 2);
	assert_string_equal(mounts.mounts[1].path, "/tablespaces");
	sc_mounts_free(&mounts);
	close(roots.fd[1]);
	dir_fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_path_lies_in_the_innermost_mount),
		cmocka_unit_test(test_a_file_lies_in_its_own_directory),
		cmocka_unit_test(test_the_root_directory_holds_tablespaces),
		cmocka_unit_test(test_nothing_is_mounted),
		cmocka_unit_test(test_several_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
