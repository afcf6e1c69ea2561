/* SPDX-License-Identifier: GPL-2.0-only */
/* The error record: first one kept, context in front, texts cut cleanly. */
#include "io/base/err.h"
#include "io/base/num.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char long_text[2000];

static int group_setup(void **state)
{
	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	return 0;
}

static void set_fills(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	assert_false(sc_err_is_set(&err));
	errno = ERANGE;
	assert_int_equal(sc_err_set(&err, SC_ER_CLONE_DONOR, "%s %d", "a", 7),
			 -1);
	assert_int_equal(errno, ERANGE);
	assert_true(sc_err_is_set(&err));
	assert_int_equal(err.code, 3862);
	assert_int_equal(err.sys_errno, 0);
	assert_string_equal(err.msg, "a 7");
}

static void first_error_is_kept(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	sc_err_sys(&err, SC_ER_CLONE_DONOR, EIO, "first");
	assert_int_equal(sc_err_set(&err, SC_ER_CLONE_OS, "second"), -1);
	assert_int_equal(sc_err_sys(&err, SC_ER_CLONE_OS, ENOSPC, "third"), -1);
	assert_int_equal(err.code, SC_ER_CLONE_DONOR);
	assert_int_equal(err.sys_errno, EIO);
	assert_string_equal(err.msg, "first: Input/output error");
}

static void sys_appends_the_text(void **state)
{
	static const struct {
		int sys_errno, code;
		const char *text;
	} cases[] = {
		{ ENOENT, 1815, "x: No such file or directory" },
		{ ENOSPC, SC_ER_CLONE_DISK_SPACE,
		  "x: No space left on device" },
		{ EDQUOT, SC_ER_CLONE_DISK_SPACE, "x: Disk quota exceeded" },
		{ 123456, 1815, "x: unknown error" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_err err = SC_ERR_INIT;

		errno = ERANGE;
		sc_err_sys(&err, 1815, cases[i].sys_errno, "x");
		assert_int_equal(errno, ERANGE);
		assert_int_equal(err.code, cases[i].code);
		assert_int_equal(err.sys_errno, cases[i].sys_errno);
		assert_string_equal(err.msg, cases[i].text);
	}
}

static void long_messages_are_cut(void **state)
{
	struct sc_err err = SC_ERR_INIT, sys = SC_ERR_INIT;

	(void)state;
	sc_err_set(&err, 1815, "%s", long_text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	sc_err_sys(&sys, 1815, EIO, "%s", long_text);
	assert_int_equal(strlen(sys.msg), sizeof(sys.msg) - 1);
}

static void context_goes_in_front(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	sc_err_set(&err, 1815, "why");
	assert_int_equal(sc_err_context(&err, "file %s", "t"), -1);
	sc_err_context(&err, "job %d", 7);
	assert_string_equal(err.msg, "job 7: file t: why");
	assert_int_equal(err.code, 1815);
}

/* The end is lost, never the context; nothing is written behind the array. */
static void context_truncates(void **state)
{
	for (size_t n = 500; n <= 520; n++) {
		struct {
			struct sc_err err;
			char guard[8];
		} s = { SC_ERR_INIT, "guarded" };
		size_t want = SC_MIN(n + 5, sizeof(s.err.msg) - 1);

		(void)state;
		sc_err_set(&s.err, 1815, "why");
		sc_err_context(&s.err, "%.*s", (int)n, long_text);
		assert_int_equal(strlen(s.err.msg), want);
		assert_int_equal(s.err.msg[0], 'x');
		assert_string_equal(s.guard, "guarded");
	}
}

static void context_on_a_full_message(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	sc_err_set(&err, 1815, "%s", long_text);
	sc_err_context(&err, "job");
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	assert_memory_equal(err.msg, "job: xxx", 8);
}

static void interrupted_is_1317(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	assert_int_equal(sc_err_interrupted(&err), -1);
	assert_int_equal(err.code, 1317);
	assert_string_equal(err.msg, "Query execution was interrupted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills),
		cmocka_unit_test(first_error_is_kept),
		cmocka_unit_test(sys_appends_the_text),
		cmocka_unit_test(long_messages_are_cut),
		cmocka_unit_test(context_goes_in_front),
		cmocka_unit_test(context_truncates),
		cmocka_unit_test(context_on_a_full_message),
		cmocka_unit_test(interrupted_is_1317),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
