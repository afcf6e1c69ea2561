/* SPDX-License-Identifier: GPL-2.0-only */
/* DATA DIRECTORY: what was made for it goes when it cannot be had, and nothing
 * else does. */
#include "plugin/target.c"

#include "tests/unit/dir_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void sc_server_log(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

static int setup(void **state)
{
	static struct dir_fixture dir;

	dir_fixture_open(&dir);
	*state = &dir;
	return 0;
}

static int teardown(void **state)
{
	dir_fixture_close(*state);
	return 0;
}

static int make(struct dir_fixture *dir, const char *path,
		struct sc_target *target)
{
	struct sc_err err = SC_ERR_INIT;
	char whole[1024];

	snprintf(whole, sizeof(whole), "%s/%s", dir->path, path);
	if (sc_target_make(target, whole, &err) == 0)
		return 0;
	assert_int_equal(err.code, SC_ER_CANT_CREATE_DB);
	assert_int_equal(target->n_made, 0);
	assert_int_equal(target->fd, -1);
	return err.sys_errno;
}

static void parents_come_and_go(void **state)
{
	static const char *const paths[] = { "a/b/c", "a//b///c/", "a/./b/c" };
	struct dir_fixture *dir = *state;
	struct sc_target target;

	for (size_t i = 0; i < SC_ARRAY_SIZE(paths); i++) {
		assert_int_equal(make(dir, paths[i], &target), 0);
		dir_fixture_put(target.fd, "d/file", "x", 1);
		assert_true(dir_fixture_has(dir->fd, "a/b/c/d/file"));
		sc_target_remove(&target);
		assert_false(dir_fixture_has(dir->fd, "a"));
	}
}

/* The second directory has a name that is too long. */
static void nothing_stays_of_half_a_path(void **state)
{
	struct dir_fixture *dir = *state;
	struct sc_target target;
	char path[320];

	snprintf(path, sizeof(path), "new/%0300d/sub", 0);
	assert_int_equal(make(dir, path, &target), ENAMETOOLONG);
	assert_false(dir_fixture_has(dir->fd, "new"));
}

/* As when somebody makes it meanwhile: it is there although a directory on the
 * way to it is not. */
static void what_others_made_stays(void **state)
{
	struct dir_fixture *dir = *state;
	struct sc_target target;

	assert_int_equal(mkdirat(dir->fd, "sub", 0700), 0);
	assert_int_equal(make(dir, "new/../sub", &target), EEXIST);
	assert_true(dir_fixture_has(dir->fd, "sub"));
	assert_false(dir_fixture_has(dir->fd, "new"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(parents_come_and_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nothing_stays_of_half_a_path,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_others_made_stays, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
