/* SPDX-License-Identifier: GPL-2.0-only */
/* Collecting the result of a statement; see sql_result.h. */
#include "plugin/sql_result.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sc_rows_free(struct sc_rows *rows)
{
	for (size_t i = 0; i < rows->cap; i++)
		free(rows->values[i]);
	free(rows->values);
	*rows = (struct sc_rows){ 0 };
}

const char *sc_rows_get(const struct sc_rows *rows, size_t row, size_t column)
{
	if (row >= rows->count || column >= rows->columns)
		return NULL;
	return rows->values[row * rows->columns + column];
}

/* `cap` counts the values stored, count the complete rows. */
static int add_value(struct sc_sql_result *res, const char *s, size_t len)
{
	struct sc_rows *rows = res->rows;
	char **values;

	if (!rows || rows->failed)
		return 0;
	values = realloc(rows->values, (rows->cap + 1) * sizeof(*values));
	if (!values) {
		rows->failed = true;
		return 0;
	}
	rows->values = values;
	values[rows->cap] = s ? strndup(s, len) : NULL;
	rows->failed = s && !values[rows->cap];
	rows->cap++;
	return 0;
}

static int add_format(void *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int add_format(void *ctx, const char *fmt, ...)
{
	char buf[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return add_value(ctx, buf, strlen(buf));
}

static int on_start_metadata(void *ctx, unsigned columns, unsigned flags,
			     const void *charset)
{
	struct sc_sql_result *res = ctx;

	(void)flags;
	(void)charset;
	if (res->rows)
		res->rows->columns = columns;
	return 0;
}

static int on_field(void *ctx, void *field, const void *charset)
{
	(void)ctx;
	(void)field;
	(void)charset;
	return 0;
}

static int on_end_metadata(void *ctx, unsigned status, unsigned warnings)
{
	(void)ctx;
	(void)status;
	(void)warnings;
	return 0;
}

static int on_start_row(void *ctx)
{
	(void)ctx;
	return 0;
}

static int on_end_row(void *ctx)
{
	struct sc_sql_result *res = ctx;

	if (res->rows && res->rows->columns)
		res->rows->count = res->rows->cap / res->rows->columns;
	return 0;
}

static void on_abort_row(void *ctx)
{
	(void)ctx;
}

static unsigned long on_capabilities(void *ctx)
{
	(void)ctx;
	return 0;
}

static int on_null(void *ctx)
{
	return add_value(ctx, NULL, 0);
}

static int on_integer(void *ctx, long long v)
{
	return add_format(ctx, "%lld", v);
}

static int on_longlong(void *ctx, long long v, unsigned is_unsigned)
{
	return is_unsigned ? add_format(ctx, "%llu", (unsigned long long)v)
			   : on_integer(ctx, v);
}

/* The binary forms do not come with the text protocol we ask for. */
static int on_binary(void *ctx, const void *v)
{
	(void)v;
	return add_value(ctx, "?", 1);
}

static int on_double(void *ctx, double v, uint32_t decimals)
{
	(void)decimals;
	return add_format(ctx, "%.17g", v);
}

static int on_binary_time(void *ctx, const void *v, unsigned decimals)
{
	(void)decimals;
	return on_binary(ctx, v);
}

static int on_string(void *ctx, const char *s, size_t len, const void *charset)
{
	(void)charset;
	return add_value(ctx, s, len);
}

static void on_ok(void *ctx, unsigned status, unsigned warnings,
		  unsigned long long affected, unsigned long long last_id,
		  const char *text)
{
	(void)ctx;
	(void)status;
	(void)warnings;
	(void)affected;
	(void)last_id;
	(void)text;
}

static void on_error(void *ctx, unsigned nr, const char *text,
		     const char *sqlstate)
{
	struct sc_sql_result *res = ctx;

	(void)sqlstate;
	res->error = nr;
	snprintf(res->text, sizeof(res->text), "%s", text ? text : "");
}

static void on_shutdown(void *ctx, int flag)
{
	(void)ctx;
	(void)flag;
}

static bool on_alive(void *ctx)
{
	(void)ctx;
	return true;
}

const struct st_result_callbacks sc_sql_callbacks = {
	.start_metadata = on_start_metadata,
	.field_metadata = on_field,
	.end_metadata = on_end_metadata,
	.start_row = on_start_row,
	.end_row = on_end_row,
	.abort_row = on_abort_row,
	.client_capabilities = on_capabilities,
	.get_null = on_null,
	.get_integer = on_integer,
	.get_longlong = on_longlong,
	.get_decimal = on_binary,
	.get_double = on_double,
	.get_date = on_binary,
	.get_time = on_binary_time,
	.get_datetime = on_binary_time,
	.get_string = on_string,
	.handle_ok = on_ok,
	.handle_error = on_error,
	.shutdown = on_shutdown,
	.connection_alive = on_alive,
};
