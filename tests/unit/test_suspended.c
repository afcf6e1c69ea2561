/* SPDX-License-Identifier: GPL-2.0-only */
/* Which device a directory would wait for: by a table of mounts and a sysfs of
 * our own. The kernel's are in tests/dm/test_cli.py. */
#include "daemon/suspended.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* 253:1 is suspended; 253:2 stands on it. */
static const char *const attributes[][2] = {
	{ "253:0/dm/suspended", "0\n" },
	{ "253:1/dm/suspended", "1\n" },
	{ "253:1/dm/name", "vg-data\n" },
	{ "253:1/uevent", "DEVNAME=dm-1\n" },
	{ "253:2/dm/suspended", "0\n" },
	{ "253:2/slaves/dm-1/dev", "253:1\n" },
	{ "8:1/size", "1\n" },
};

static const char mounts[] =
	"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	"this is no mount\n"
	"21 20 253:1 / /srv/data rw,relatime shared:1 - xfs /dev/dm-1 rw\n"
	"22 20 253:0 / /srv/free rw - xfs /dev/dm-0 rw\n"
	"23 20 253:1 / /srv/hidden rw - xfs /dev/dm-1 rw\n"
	"24 23 253:0 / /srv/hidden rw - xfs /dev/dm-0 rw\n"
	"25 20 253:2 / /with\\040a\\134space rw - ext4 /dev/dm-2 rw\n"
	"26 20 0:44 /sub /tmp rw - tmpfs tmpfs rw\n";

static struct dir_fixture sys;

static int make_sys(void **state)
{
	(void)state;
	dir_fixture_open(&sys);
	for (size_t i = 0; i < SC_ARRAY_SIZE(attributes); i++)
		dir_fixture_put(sys.fd, attributes[i][0], attributes[i][1],
				strlen(attributes[i][1]));
	return 0;
}

static int drop_sys(void **state)
{
	(void)state;
	dir_fixture_close(&sys);
	return 0;
}

static void test_a_directory_waits_for_its_device(void **state)
{
	static const struct {
		const char *path;
		bool waits;
	} cases[] = {
		{ "/srv/data", true },
		{ "/srv/data/mysql", true },
		{ "/srv/database", false },
		{ "/srv/free/mysql", false },
		{ "/srv", true }, /* below */
		{ "/", true },
		{ "/srv/hidden", false },
		{ "/with a\\space/x", true }, /* a layer */
		{ "/tmp/x", false },
		{ "/elsewhere", false },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		char name[64] = "";
		FILE *f = fmemopen((void *)mounts, strlen(mounts), "r");
		bool waits = sc_suspended_look(f, sys.fd, cases[i].path, name,
					       sizeof(name));

		fclose(f);
		if (waits != cases[i].waits)
			fail_msg("%s: %d", cases[i].path, waits);
		assert_string_equal(name, waits ? "dm-1 (vg-data)" : "");
	}
}

static void test_paths_are_made_absolute(void **state)
{
	static const char *const cases[][2] = {
		{ "/", "/" },
		{ "//srv//data/", "/srv/data" },
		{ "/srv/./data/..", "/srv" },
		{ "/../..", "/" },
		{ "/.../..a", "/.../..a" },
	};
	char ret[32], cwd[4096], here[4096];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		assert_true(sc_path_absolute(cases[i][0], ret, sizeof(ret)));
		assert_string_equal(ret, cases[i][1]);
	}
	assert_true(sc_path_absolute("/srv", ret, 5));
	assert_false(sc_path_absolute("/srv", ret, 4));
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_true(sc_path_absolute("x/..", here, sizeof(here)));
	assert_string_equal(here, cwd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_directory_waits_for_its_device, make_sys,
			drop_sys),
		cmocka_unit_test(test_paths_are_made_absolute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
