/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of #clone/: the status tables in stock's format, #snapclone_end. */
#include "plugin/end_file.c"
#include "plugin/status_file.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static FILE *text(const char *s)
{
	return fmemopen((void *)(uintptr_t)s, strlen(s), "r");
}

static char *printed(const struct sc_status *st,
		     void (*print)(FILE *out, const struct sc_status *st))
{
	char *buf = NULL;
	size_t len;
	FILE *out = open_memstream(&buf, &len);

	print(out, st);
	fclose(out);
	return buf;
}

static void free_status(struct sc_status *st)
{
	free(st->gtid_executed);
}

/* What the stock plugin wrote after a clone of a real server. */
static void stock_view_comes_back(void **state)
{
	static const char view[] = "2 1\n1795349872745926 1795349872933806\n"
				   "127.0.0.1:3306\n0\n\nbinlog.000007\n198\n"
				   "u1:1-5,\nu2:1\n";
	struct sc_status st = { 0 };
	CLEANUP_FREE char *again = NULL;
	FILE *in = text(view);

	(void)state;
	sc_status_parse_view(in, &st);
	fclose(in);
	assert_int_equal(st.state, SC_STATE_COMPLETED);
	assert_string_equal(st.source, "127.0.0.1:3306");
	assert_int_equal(st.binlog_position, 198);
	assert_string_equal(st.gtid_executed, "u1:1-5,\nu2:1");
	again = printed(&st, sc_status_print_view);
	assert_string_equal(again, view);
	free_status(&st);
}

static void running_clone_is_written_as_interrupted(void **state)
{
	struct sc_status st = { .id = 1, .state = SC_STATE_IN_PROGRESS };
	CLEANUP_FREE char *view = printed(&st, sc_status_print_view);

	(void)state;
	assert_non_null(
		strstr(view, "\n1317\nQuery execution was interrupted"));
}

static void stock_progress_comes_back(void **state)
{
	static const char view[] = "1\n2 1 10 20 0 0 0\n2 1 20 30 75 75 80\n"
				   "2 1 30 31 0 0 0\n2 1 31 32 2560 2560 0\n"
				   "2 1 32 33 0 0 0\n0 0 0 0 0 0 0\n"
				   "0 0 0 0 0 0 0\n";
	struct sc_status st = { 0 };
	CLEANUP_FREE char *again = NULL;
	FILE *in = text(view);

	(void)state;
	sc_status_parse_progress(in, &st);
	fclose(in);
	assert_int_equal(st.stages[SC_STAGE_FILE_COPY].network, 80);
	again = printed(&st, sc_status_print_progress);
	assert_string_equal(again, view);
}

static void garbage_is_no_clone(void **state)
{
	static const char *const cases[] = { "x", "9 9\n", "\n\n\n\n" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_status st = { 0 };
		FILE *in = text(cases[i]);

		sc_status_parse_view(in, &st);
		rewind(in);
		sc_status_parse_progress(in, &st);
		fclose(in);
		assert_in_range(st.state, 0, SC_STATE_COUNT - 1);
		free_status(&st);
	}
}

static void recovery_completes_the_stages(void **state)
{
	struct sc_status st = { .id = 1 };
	FILE *in = text("100\n200\nbinlog.000001\n5\nu:1-2\n");

	(void)state;
	st.stages[SC_STAGE_FILE_SYNC] = (struct sc_stage_row){
		.state = SC_STATE_COMPLETED, .begin_us = 50, .end_us = 60
	};
	sc_status_parse_recovery(in, &st, 300);
	fclose(in);
	assert_int_equal(st.state, SC_STATE_COMPLETED);
	assert_int_equal(st.end_us, 200);
	assert_int_equal(st.stages[SC_STAGE_RESTART].begin_us, 60);
	assert_int_equal(st.stages[SC_STAGE_RECOVERY].end_us, 200);
	assert_string_equal(st.gtid_executed, "u:1-2");
	free_status(&st);
}

/* The text of a clone that ends with S; the error text of one that was written
 * while it ran goes. */
static void recovery_keeps_what_a_clone_says(void **state)
{
	static const char *const lines[] = {
		"3 1\n1 2\nsource\n0\nlost\n\n0\n",
		"1 1\n1 2\nsource\n1317\ninterrupted\n"
		"\n0\n"
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(lines); i++) {
		struct sc_status st = { 0 };
		FILE *view = text(lines[i]);
		FILE *in = text("100\n200\nu:1-2,\nv:1\n");

		sc_status_parse_view(view, &st);
		sc_status_parse_recovery(in, &st, 300);
		fclose(view);
		fclose(in);
		assert_int_equal(st.state, SC_STATE_COMPLETED);
		assert_int_equal(st.error_no, 0);
		assert_string_equal(st.error_text, i ? "" : "lost");
		assert_string_equal(st.gtid_executed, "u:1-2,\nv:1");
		free_status(&st);
	}
}

static void failed_recovery_is_failed(void **state)
{
	struct sc_status st = { .id = 1 };
	FILE *in = text("100\n0\n");

	(void)state;
	sc_status_parse_recovery(in, &st, 300);
	fclose(in);
	assert_int_equal(st.state, SC_STATE_FAILED);
	assert_int_equal(st.error_no, SC_ER_INTERNAL_ERROR);
	assert_int_equal(st.stages[SC_STAGE_RECOVERY].state, SC_STATE_FAILED);
}

/* InnoDB has not finished: its GTIDs may be there in part. */
static void recovery_that_goes_on_has_no_gtids(void **state)
{
	struct sc_status st = { .id = 1 };
	FILE *in = text("100\n200\nu:1");

	(void)state;
	sc_status_parse_recovery(in, &st, 0);
	fclose(in);
	assert_null(st.gtid_executed);
}

static void recovery_whose_end_was_lost(void **state)
{
	static const uint64_t end_us[] = { 0, 300 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(end_us); i++) {
		struct sc_status st = { .id = 1 };
		FILE *in = text("100\n");

		sc_status_parse_recovery(in, &st, end_us[i]);
		fclose(in);
		assert_int_equal(st.state, end_us[i] ? SC_STATE_COMPLETED
						     : SC_STATE_FAILED);
		assert_int_equal(st.end_us, end_us[i]);
	}
}

static void reading_removes_half_written_files(void **state)
{
	char base[] = "/tmp/snapclone-unit-XXXXXX";
	static const char *const names[] = { "#clone/#view_status.tmp",
					     "#clone/#view_progress.tmp" };
	struct sc_status st = { 0 };
	int dir;

	(void)state;
	assert_non_null(mkdtemp(base));
	dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(dir, errno);
	assert_return_code(mkdirat(dir, "#clone", 0700), errno);
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++)
		close(openat(dir, names[i], O_WRONLY | O_CREAT, 0600));
	sc_status_read(dir, &st);
	/* Empty, or this fails. */
	assert_return_code(unlinkat(dir, "#clone", AT_REMOVEDIR), errno);
	close(dir);
	assert_return_code(rmdir(base), errno);
	free_status(&st);
}

#define END_HEAD "format=1\nend_lsn=5\nbinlog_file=\nbinlog_position=0\n"

static void end_files(void **state)
{
	static const struct {
		const char *file;
		int result;
	} cases[] = {
		{ END_HEAD "gtid_flushed=\ngtid_executed=\n", 0 },
		{ END_HEAD "gtid_flushed=a-b:1-2:tag:3, c:1\ngtid_executed=x\n",
		  0 },
		{ END_HEAD "new=1\ngtid_flushed=\ngtid_executed=\n", 0 },
		{ END_HEAD "gtid_flushed=\n", -1 },
		{ END_HEAD "gtid_flushed=');--\ngtid_executed=\n", -1 },
		{ END_HEAD "gtid_flushed=\ngtid_executed=\\\n", -1 },
		{ END_HEAD "nonsense\n", -1 },
		{ "format=2\ngtid_flushed=\ngtid_executed=\nbinlog_file=\n",
		  -1 },
		{ "format=1x\n", -1 },
		{ "format=-1\n", -1 },
		{ "format=99999999999999999999\n", -1 },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		FILE *in = text(cases[i].file);
		struct sc_end end;

		assert_int_equal(sc_end_parse(in, &end), cases[i].result);
		sc_end_free(&end);
		fclose(in);
	}
}

static void end_takes_recovered_gtids(void **state)
{
	FILE *in = text(END_HEAD "redo_lost=why\ngtid_flushed=\n"
				 "gtid_executed=u:1-9\n");
	struct sc_end end;

	(void)state;
	assert_int_equal(sc_end_parse(in, &end), 0);
	fclose(in);
	assert_string_equal(end.redo_lost, "why");
	assert_int_equal(sc_end_set_gtids(&end, "u:1-2,\nv:1"), 0);
	assert_string_equal(end.gtid_executed, "u:1-2,v:1");
	assert_int_equal(sc_end_set_gtids(&end, "u:1'"), -1);
	assert_string_equal(end.gtid_executed, "u:1-2,v:1");
	sc_end_free(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stock_view_comes_back),
		cmocka_unit_test(running_clone_is_written_as_interrupted),
		cmocka_unit_test(stock_progress_comes_back),
		cmocka_unit_test(garbage_is_no_clone),
		cmocka_unit_test(recovery_completes_the_stages),
		cmocka_unit_test(recovery_keeps_what_a_clone_says),
		cmocka_unit_test(recovery_that_goes_on_has_no_gtids),
		cmocka_unit_test(failed_recovery_is_failed),
		cmocka_unit_test(recovery_whose_end_was_lost),
		cmocka_unit_test(reading_removes_half_written_files),
		cmocka_unit_test(end_files),
		cmocka_unit_test(end_takes_recovered_gtids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
