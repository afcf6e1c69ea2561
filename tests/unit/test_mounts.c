/* SPDX-License-Identifier: GPL-2.0-only */
/* Mounts below a data directory: which one a path lies in. That they are found
 * is tested where file systems can be mounted, in tests/dm/test_devices.py. */
#include "daemon/mounts.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

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

static void test_nothing_is_mounted(void **state)
{
	struct dir_fixture f;
	struct sc_err err = SC_ERR_INIT;
	struct sc_mounts mounts;
	struct stat st;

	(void)state;
	dir_fixture_open(&f);
	assert_int_equal(mkdirat(f.fd, "db", 0700), 0);
	assert_int_equal(mkdirat(f.fd, "db/sub", 0700), 0);
	assert_int_equal(symlinkat("db", f.fd, "link"), 0);
	assert_int_equal(sc_mounts_find(f.fd, &mounts, &err), 0);
	assert_int_equal(mounts.n, 1);
	assert_string_equal(mounts.mounts[0].path, "");
	assert_int_equal(fstat(f.fd, &st), 0);
	assert_int_equal(mounts.mounts[0].dev, st.st_dev);
	sc_mounts_free(&mounts);
	dir_fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_path_lies_in_the_innermost_mount),
		cmocka_unit_test(test_nothing_is_mounted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
