/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of #clone that the plugin reads. First byte: which one. What was read
 * of the status tables and printed is read and printed again: the same text.
 */
#include "plugin/end_file.c"
#include "plugin/status_file.c"
#include "tests/fuzz/fuzz.h"

typedef void parse_fn(FILE *in, struct sc_status *st);

static FILE *open_text(const void *text, size_t len)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");

	FUZZ_CHECK(in);
	return in;
}

static void parse_text(const char *text, size_t len, parse_fn *parse,
		       struct sc_status *st)
{
	FILE *in = open_text(text, len);

	parse(in, st);
	fclose(in);
	for (int i = 0; i < SC_STAGE_COUNT; i++)
		FUZZ_CHECK(st->stages[i].state < SC_STATE_COUNT);
	FUZZ_CHECK(st->state < SC_STATE_COUNT);
}

static void try_table(const struct fuzz_in *in, parse_fn *parse,
		      void (*print)(FILE *out, const struct sc_status *st),
		      parse_fn *parse_again)
{
	struct sc_status st = { 0 }, again = { 0 };
	char *first, *second;

	parse_text((const char *)in->p, in->left, parse, &st);
	first = print_with(&st, print);
	parse_text(first, strlen(first), parse_again, &again);
	second = print_with(&again, print);
	FUZZ_CHECK(!strcmp(first, second));
	free(first);
	free(second);
	free(st.gtid_executed);
	free(again.gtid_executed);
}

static void parse_recovery(FILE *in, struct sc_status *st)
{
	sc_status_parse_recovery(in, st, 1);
}

static void try_end(const struct fuzz_in *in)
{
	FILE *f = open_text(in->p, in->left);
	struct sc_end end;

	/* This goes into SQL. */
	if (sc_end_parse(f, &end) == 0) {
		FUZZ_CHECK(!strpbrk(end.gtid_executed, "'\"\\;"));
		FUZZ_CHECK(!strpbrk(end.gtid_flushed, "'\"\\;"));
	}
	sc_end_free(&end);
	fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t kind = fuzz_u8(&in);

	if (!in.left)
		return 0;
	if (kind == 0)
		try_end(&in);
	else if (kind == 1)
		try_table(&in, sc_status_parse_view, sc_status_print_view,
			  sc_status_parse_view);
	else if (kind == 2)
		try_table(&in, sc_status_parse_progress,
			  sc_status_print_progress, sc_status_parse_progress);
	else
		try_table(&in, parse_recovery, sc_status_print_view,
			  sc_status_parse_view);
	return 0;
}
