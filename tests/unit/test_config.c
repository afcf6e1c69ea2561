/* SPDX-License-Identifier: GPL-2.0-only */
/* Settings of the daemon: every option, on the command line and in a file. */
#include "daemon/config.h"
#include "io/base/ctl.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct dir_fixture dir;
static struct sc_config config;
static struct sc_err err;
static char config_option[128]; /* --config=... of the file of write_file() */

static int setup(void **state)
{
	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	dir_fixture_open(&dir);
	snprintf(config_option, sizeof(config_option), "--config=%s/c",
		 dir.path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dir_fixture_close(&dir);
	return 0;
}

static void write_file(const char *text)
{
	dir_fixture_put(dir.fd, "c", text, strlen(text));
}

/* Up to three arguments, NULL = no more. */
static int load(const char *a, const char *b, const char *c)
{
	char *argv[5] = { (char *)"snapcloned" };
	const char *given[] = { a, b, c };
	int argc = 1;

	for (size_t i = 0; i < 3 && given[i]; i++)
		argv[argc++] = (char *)(uintptr_t)given[i];
	err = (struct sc_err)SC_ERR_INIT;
	return sc_config_load(&config, argc, argv, &err);
}

static void load_ok(const char *a, const char *b, const char *c)
{
	if (load(a, b, c) < 0)
		fail_msg("%s", err.msg);
}

static void expect_error(int rc, const char *text)
{
	assert_int_equal(rc, -1);
	assert_true(sc_err_is_set(&err));
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
}

static void defaults(void **state)
{
	(void)state;
	write_file("");
	load_ok(config_option, NULL, NULL);
	assert_false(config.embedded || config.help || config.version);
	assert_string_equal(config.socket, SC_SERVICE_SOCKET);
	assert_int_equal(config.log_level, SC_LOG_INFO);
	assert_int_equal(config.data_port, 0);
	assert_int_equal(config.engine, SC_ENGINE_AUTO);
	assert_int_equal(config.max_jobs, 8);
	assert_int_equal(config.dm.n_cow, 0);
	assert_true(config.dm.cow_size == 0);
	assert_int_equal(config.dm.chunk, 32 * SC_KIB);
	assert_int_equal(config.image_reserve, 0);
	assert_int_equal(config.n_allowed, getpwnam("mysql") ? 1 : 0);
}

static void every_option(void **state)
{
	(void)state;
	write_file("");
	load_ok(config_option, "--socket=/a/b", "--data-port=65535");
	assert_string_equal(config.socket, "/a/b");
	assert_int_equal(config.data_port, 65535);
	load_ok(config_option, "--image_reserve=4096", NULL);
	assert_int_equal(config.image_reserve, 4096);
	load_ok(config_option, "--max_jobs", "64");
	assert_int_equal(config.max_jobs, 64);
	load_ok(config_option, "--allow-user=root", "--allow_user=12345");
	assert_int_equal(config.n_allowed, 2);
	assert_int_equal(config.allowed[0], 0);
	assert_int_equal(config.allowed[1], 12345);
	load_ok(config_option, "--log_level", "debug");
	assert_int_equal(config.log_level, SC_LOG_DEBUG);
	load_ok(config_option, "--dm_cow=/dev/vg/cow", "--dm_cow=zram");
	assert_int_equal(config.dm.n_cow, 2);
	assert_string_equal(config.dm.cow[0], "/dev/vg/cow");
	assert_string_equal(config.dm.cow[1], "zram");
	load_ok(config_option, "--dm_cow_size=16", "--dm_chunk=512");
	assert_true(config.dm.cow_size == 16 * SC_MIB);
	assert_int_equal(config.dm.chunk, 512 * SC_KIB);
	load_ok(config_option, "--engine", "sync");
	assert_int_equal(config.engine, SC_ENGINE_SYNC);
	load_ok(config_option, "--engine=auto", NULL);
	assert_int_equal(config.engine, SC_ENGINE_AUTO);
	load_ok(config_option, "--embedded", NULL);
	assert_true(config.embedded);
	load_ok("--version", NULL, NULL);
	assert_true(config.version);
	load_ok("--help", NULL, NULL);
	assert_true(config.help);
}

static const char *const bad_values[] = {
	"--socket=",
	"--socket=relative",
	"--data_port=65536",
	"--data_port=-1",
	"--data_port=",
	"--data_port=3x",
	"--data_port= 3",
	"--data_port=+3",
	"--data_port=0x10",
	"--data_port=99999999999999999999",
	"--max_jobs=0",
	"--max_jobs=65",
	"--image_reserve=-1",
	"--image_reserve=4294967296",
	"--engine=uring", /* or nothing: for tests */
	"--engine=",
	"--engine=fast",
	"--log_level=loud",
	"--log_level=",
	"--dm_cow=",
	"--dm_cow=relative",
	"--dm_cow_size=15",
	"--dm_cow_size=4294967296",
	"--dm_chunk=3",
	"--dm_chunk=24",
	"--dm_chunk=1024",
	"--allow_user=",
	"--allow_user=no such user",
	"--allow_user=-1",
	"--allow_user=4294967295", /* (uid_t)-1 means nobody at all */
	"--config=",
	"--embedded=1",
	"--help=yes",
	"--version=",
};

static void values_that_are_not_allowed(void **state)
{
	(void)state;
	write_file("");
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad_values); i++) {
		char want[64];
		size_t len = strcspn(bad_values[i], "=");

		snprintf(want, sizeof(want), "option %.*s: '%s' is not allowed",
			 (int)len, bad_values[i], bad_values[i] + len + 1);
		expect_error(load(bad_values[i], config_option, NULL), want);
	}
}

static void options_without_a_value(void **state)
{
	static const char *const names[] = { "--socket",     "--data-port",
					     "--max_jobs",   "--log_level",
					     "--allow_user", "--config" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		expect_error(load("--embedded", names[i], NULL),
			     "is not allowed: ");
}

static void unknown_options(void **state)
{
	static const char *const bad[] = { "--",	"-h",	      "--sock",
					   "--sockets", "socket=/a",  "--=x",
					   "",		"--Socket=/a" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
		char want[64];

		snprintf(want, sizeof(want), "unknown option %s (see --help)",
			 bad[i]);
		expect_error(load(bad[i], NULL, NULL), want);
	}
}

static void long_paths(void **state)
{
	char path[200] = "--socket=/";

	(void)state;
	write_file("");
	while (strlen(path) < strlen("--socket=") + 107)
		strcat(path, "x");
	load_ok(path, config_option, NULL);
	assert_int_equal(strlen(config.socket), 107);
	strcat(path, "x");
	expect_error(load(path, config_option, NULL), "is not allowed");
}

static void a_file(void **state)
{
	(void)state;
	write_file("# snapcloned\n"
		   "\n"
		   "socket = /run/x.sock   # where\n"
		   "  data_port=3400\n"
		   "\tmax-jobs\t=\t2\t\r\n"
		   "allow_user = root\n"
		   "allow_user = 77\n"
		   "log_level = error"); /* without a newline */
	load_ok(config_option, NULL, NULL);
	assert_string_equal(config.socket, "/run/x.sock");
	assert_int_equal(config.data_port, 3400);
	assert_int_equal(config.max_jobs, 2);
	assert_int_equal(config.n_allowed, 2);
	assert_int_equal(config.allowed[1], 77);
	assert_int_equal(config.log_level, SC_LOG_ERROR);
}

static void options_win_over_the_file(void **state)
{
	(void)state;
	write_file("data_port = 1\nmax_jobs = 2\nlog_level = error\n");
	load_ok(config_option, "--data_port=5", "--log-level=debug");
	assert_int_equal(config.data_port, 5);
	assert_int_equal(config.max_jobs, 2);
	assert_int_equal(config.log_level, SC_LOG_DEBUG);
	/* Wherever --config stands. */
	load_ok("--data_port=6", config_option, NULL);
	assert_int_equal(config.data_port, 6);
}

static void users_are_not_counted_twice(void **state)
{
	(void)state;
	write_file("");
	load_ok("--allow_user=7", config_option, NULL);
	assert_int_equal(config.n_allowed, 1);
}

/* Who is named on the command line replaces who the file names. */
static void users_of_options_win_over_the_file(void **state)
{
	(void)state;
	write_file("allow_user = 7\nallow_user = 8\n");
	load_ok("--allow_user=9", config_option, NULL);
	assert_int_equal(config.n_allowed, 1);
	assert_int_equal(config.allowed[0], 9);
}

static void too_many_users(void **state)
{
	char text[17 * 20] = "";

	(void)state;
	for (int i = 0; i < SC_MAX_ALLOWED_USERS; i++)
		strcat(text, "allow_user = 7\n");
	write_file(text);
	load_ok(config_option, NULL, NULL);
	assert_int_equal(config.n_allowed, SC_MAX_ALLOWED_USERS);
	strcat(text, "allow_user = 8\n");
	write_file(text);
	expect_error(load(config_option, NULL, NULL), "line 17: allow_user");
}

static const struct {
	const char *text, *want;
} bad_lines[] = {
	{ "\n\nsocket\n", "line 3: expected OPTION = VALUE" },
	{ "[snapcloned]\n", "line 1: expected OPTION = VALUE" },
	{ "#\nfoo = 1\n", "line 2: unknown option foo" },
	{ "= 1\n", "line 1: unknown option " },
	{ "config = /x\n", "line 1: unknown option config" },
	{ "embedded = 1\n", "line 1: unknown option embedded" },
	{ "help = 1\n", "line 1: unknown option help" },
	{ "max_jobs = 0\n", "line 1: max_jobs = '0' is not allowed: jobs at" },
	{ "max_jobs =\n", "line 1: max_jobs = '' is not allowed" },
	{ "max_jobs = 1 2\n", "line 1: max_jobs = '1 2' is not allowed" },
	{ "max_jobs = 1\nsocket = x", "line 2: socket = 'x' is not allowed" },
};

static void lines_that_are_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad_lines); i++) {
		write_file(bad_lines[i].text);
		expect_error(load(config_option, NULL, NULL),
			     bad_lines[i].want);
		assert_non_null(strstr(err.msg, dir.path));
	}
}

static void file_that_is_missing(void **state)
{
	(void)state;
	expect_error(load(config_option, NULL, NULL), "cannot open ");
	assert_int_equal(err.sys_errno, ENOENT);
	assert_non_null(strstr(err.msg, dir.path));
}

static void default_file_may_be_missing(void **state)
{
	(void)state;
	if (access(SC_CONFIG_FILE, F_OK) == 0) {
		print_message("there is a " SC_CONFIG_FILE " here\n");
		skip();
	}
	load_ok(NULL, NULL, NULL);
	assert_string_equal(config.socket, SC_SERVICE_SOCKET);
}

static void files_that_are_none(void **state)
{
	char option[128];
	char *big = malloc(70000);

	(void)state;
	snprintf(option, sizeof(option), "--config=%s", dir.path);
	expect_error(load(option, NULL, NULL), "is not a configuration file");
	dir_fixture_put(dir.fd, "c", "max_jobs = 1\n\0max_jobs = 2\n", 27);
	expect_error(load(config_option, NULL, NULL),
		     "is not a configuration file");
	memset(big, '\n', 70000);
	dir_fixture_put(dir.fd, "c", big, 70000);
	expect_error(load(config_option, NULL, NULL),
		     "is not a configuration file");
	free(big);
}

/* Asked for help or the version, a broken file does not matter. */
static void help_needs_no_file(void **state)
{
	(void)state;
	write_file("nonsense\n");
	load_ok(config_option, "--help", NULL);
	load_ok(config_option, "--version", NULL);
}

static void usage_names_every_option(void **state)
{
	static const char *const names[] = {
		"--socket=PATH",     "--data_port=PORT",
		"--max_jobs=N",	     "--allow_user=NAME",
		"--log_level=LEVEL", "--config=FILE",
		"--engine=ENGINE",   "--embedded",
		"--version",	     "--help"
	};
	char text[8192] = { 0 };
	int pipes[2], saved = dup(1);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	fflush(stdout);
	dup2(pipes[1], 1);
	sc_config_usage();
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	close(pipes[1]);
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	close(pipes[0]);
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		if (!strstr(text, names[i]))
			fail_msg("%s is not in the usage", names[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults),
		TEST(every_option),
		TEST(values_that_are_not_allowed),
		TEST(options_without_a_value),
		TEST(unknown_options),
		TEST(long_paths),
		TEST(a_file),
		TEST(options_win_over_the_file),
		TEST(users_are_not_counted_twice),
		TEST(users_of_options_win_over_the_file),
		TEST(too_many_users),
		TEST(lines_that_are_wrong),
		TEST(file_that_is_missing),
		TEST(default_file_may_be_missing),
		TEST(files_that_are_none),
		TEST(help_needs_no_file),
		TEST(usage_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
