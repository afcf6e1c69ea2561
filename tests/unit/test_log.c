/* SPDX-License-Identifier: GPL-2.0-only */
/* The log: levels, sinks, stderr with and without journal prefixes. */
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
	unsigned n;
	enum sc_log_level level;
	char line[2000];
};

static void record(void *ctx, enum sc_log_level level, const char *line)
{
	struct seen *seen = ctx;

	seen->n++;
	seen->level = level;
	snprintf(seen->line, sizeof(seen->line), "%s", line);
	errno = EBADF;
}

static void levels(void **state)
{
	(void)state;
	for (unsigned max = SC_LOG_ERROR; max <= SC_LOG_DEBUG; max++) {
		struct seen seen = { 0 };

		sc_log_setup((enum sc_log_level)max, record, &seen);
		sc_error("x");
		sc_warning("x");
		sc_info("x");
		sc_debug("x");
		assert_int_equal(seen.n, max + 1);
		assert_int_equal(seen.level, max);
	}
}

static void line_and_errno(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	sc_log_setup(SC_LOG_INFO, record, &seen);
	errno = ERANGE;
	sc_info("%s of %d", "page", 3);
	assert_int_equal(errno, ERANGE);
	assert_string_equal(seen.line, "page of 3");
	sc_info("%01500d", 1);
	assert_int_equal(strlen(seen.line), 1023);
}

static void names(void **state)
{
	static const char *const levels[] = { "error", "warning", "info",
					      "debug" };
	enum sc_log_level level;

	(void)state;
	for (unsigned i = SC_LOG_ERROR; i <= SC_LOG_DEBUG; i++) {
		assert_int_equal(sc_log_level_parse(levels[i], &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(sc_log_level_parse("Error", &level), -1);
	assert_int_equal(sc_log_level_parse("", &level), -1);
	assert_int_equal(sc_log_level_parse("infos", &level), -1);
}

/* What one call writes to stderr. */
static void on_stderr(char *text, size_t cap)
{
	int pipes[2], saved = dup(2);
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], 2);
	sc_warning("two %s", "words");
	dup2(saved, 2);
	close(saved);
	close(pipes[1]);
	n = read(pipes[0], text, cap - 1);
	close(pipes[0]);
	assert_true(n >= 0);
	text[n] = '\0';
}

static void stderr_lines(void **state)
{
	char text[200], want[200];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	sc_log_setup(SC_LOG_INFO, NULL, NULL);
	on_stderr(text, sizeof(text));
	snprintf(want, sizeof(want), "snapcloned[%d]: warning: two words\n",
		 (int)getpid());
	assert_string_equal(text, want);
	setenv("JOURNAL_STREAM", "8:1", 1);
	sc_log_setup(SC_LOG_INFO, NULL, NULL);
	on_stderr(text, sizeof(text));
	assert_string_equal(text, "<4>two words\n");
	unsetenv("JOURNAL_STREAM");
}

static struct {
	atomic_bool inside, left;
} slow;

static void slow_sink(void *ctx, enum sc_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	slow.inside = true;
	sc_sleep_ms(30);
	slow.left = true;
}

static void *say(void *arg)
{
	(void)arg;
	sc_error("x");
	return NULL;
}

static void redirect_waits_for_the_old_sink(void **state)
{
	struct seen seen = { 0 };
	pthread_t thread;

	(void)state;
	sc_log_setup(SC_LOG_INFO, slow_sink, NULL);
	assert_int_equal(pthread_create(&thread, NULL, say, NULL), 0);
	while (!slow.inside)
		sc_sleep_ms(1);
	sc_log_redirect(record, &seen);
	assert_true(slow.left);
	sc_error("y");
	assert_int_equal(seen.n, 1);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),
		cmocka_unit_test(line_and_errno),
		cmocka_unit_test(names),
		cmocka_unit_test(stderr_lines),
		cmocka_unit_test(redirect_waits_for_the_old_sink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
