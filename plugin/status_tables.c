/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two performance_schema tables. Each open has a cursor of its own with a
 * copy of the data taken when its scan begins, so that readers do not disturb
 * each other and see one consistent state. Callbacks run on reader's threads.
 */
#include "plugin/status_tables.h"

#include "io/base/num.h"
#include "plugin/services.h"
#include "plugin/status.h"

#include <stdlib.h>
#include <string.h>

struct cursor {
	uint32_t position; /* mysqld holds its address: row last read, from 1 */
	bool filled;
	struct sc_status data;
};

static bool added;

static void *open_table(void **ret_position)
{
	struct cursor *cursor = calloc(1, sizeof(*cursor));

	if (cursor)
		*ret_position = &cursor->position;
	return cursor;
}

static void close_table(void *table)
{
	struct cursor *cursor = table;

	sc_status_free(&cursor->data);
	free(cursor);
}

static void fill(struct cursor *cursor)
{
	sc_status_free(&cursor->data);
	sc_status_snapshot(&cursor->data);
	cursor->filled = true;
}

static int rnd_init(void *table, bool scan)
{
	struct cursor *cursor = table;

	(void)scan;
	fill(cursor);
	cursor->position = 0;
	return 0;
}

static void reset_position(void *table)
{
	((struct cursor *)table)->position = 0;
}

static int has_row(struct cursor *cursor, uint32_t rows)
{
	if (!cursor->filled)
		fill(cursor);
	if (cursor->data.id && cursor->position >= 1 &&
	    cursor->position <= rows)
		return 0;
	return ST_PFS_END_OF_FILE;
}

static int next_row(struct cursor *cursor, uint32_t rows)
{
	if (cursor->position <= rows)
		cursor->position++;
	return has_row(cursor, rows);
}

/* ---- columns ------------------------------------------------------------- */

static void put_int(struct st_field *field, uint32_t v)
{
	sc_server.pfs_int->set_unsigned(field,
					(struct st_pfs_uint){ v, false });
}

static void put_bigint(struct st_field *field, uint64_t v)
{
	sc_server.pfs_bigint->set_unsigned(field,
					   (struct st_pfs_uint){ v, false });
}

static void put_char(struct st_field *field, const char *s)
{
	if (!s)
		s = "";
	sc_server.pfs_string->set_char(field, s, (unsigned)strlen(s));
}

static void put_varchar(struct st_field *field, const char *s)
{
	sc_server.pfs_string->set_varchar(field, s);
}

static void put_time(struct st_field *field, uint64_t us)
{
	sc_server.pfs_timestamp->set2(field, us);
}

static void put_text(struct st_field *field, const char *s)
{
	if (!s)
		s = "";
	sc_server.pfs_text->set(field, s, (unsigned)strlen(s));
}

/* ---- clone_status -------------------------------------------------------- */

#define STATUS_ROWS 1

static int status_column(void *table, struct st_field *field, unsigned index)
{
	const struct sc_status *st = &((struct cursor *)table)->data;

	switch (index) {
	case 0:
		put_int(field, st->id);
		break;
	case 1:
		put_int(field, st->pid);
		break;
	case 2:
		put_char(field, sc_state_name(st->state));
		break;
	case 3:
		put_time(field, st->begin_us);
		break;
	case 4:
		put_time(field, st->end_us);
		break;
	case 5:
		put_varchar(field, st->source);
		break;
	case 6:
		put_varchar(field, st->destination);
		break;
	case 7:
		put_int(field, st->error_no);
		break;
	case 8:
		put_varchar(field, st->error_text);
		break;
	case 9:
		put_varchar(field, st->binlog_file);
		break;
	case 10:
		put_bigint(field, st->binlog_position);
		break;
	case 11:
		put_text(field, st->gtid_executed);
		break;
	}
	return 0;
}

static int status_next(void *table)
{
	return next_row(table, STATUS_ROWS);
}

static int status_pos(void *table)
{
	return has_row(table, STATUS_ROWS);
}

static unsigned long long status_count(void)
{
	return STATUS_ROWS;
}

/* ---- clone_progress ------------------------------------------------------ */

#define PROGRESS_ROWS (SC_STAGE_COUNT - 1)

static int progress_column(void *table, struct st_field *field, unsigned index)
{
	const struct cursor *cursor = table;
	const struct sc_status *st = &cursor->data;
	uint32_t stage = cursor->position % SC_STAGE_COUNT;
	const struct sc_stage_row *row = &st->stages[stage];
	bool active = row->state == SC_STATE_IN_PROGRESS;

	switch (index) {
	case 0:
		put_int(field, st->id);
		break;
	case 1:
		put_char(field, sc_stage_name(stage));
		break;
	case 2:
		put_char(field, sc_state_name(row->state));
		break;
	case 3:
		put_time(field, row->begin_us);
		break;
	case 4:
		put_time(field, row->end_us);
		break;
	case 5:
		put_int(field, row->threads);
		break;
	case 6:
		put_bigint(field, row->estimate);
		break;
	case 7:
		put_bigint(field, row->data);
		break;
	case 8:
		put_bigint(field, row->network);
		break;
	case 9:
		put_int(field, active ? st->data_speed : 0);
		break;
	case 10:
		put_int(field, active ? st->network_speed : 0);
		break;
	}
	return 0;
}

static int progress_next(void *table)
{
	return next_row(table, PROGRESS_ROWS);
}

static int progress_pos(void *table)
{
	return has_row(table, PROGRESS_ROWS);
}

static unsigned long long progress_count(void)
{
	return PROGRESS_ROWS;
}

/* ---- registration -------------------------------------------------------- */

/* Columns as the stock plugin has them. */
static struct st_pfs_table status_table = {
	.callbacks = {
		.rnd_next = status_next,
		.rnd_init = rnd_init,
		.rnd_pos = status_pos,
		.read_column = status_column,
		.reset_position = reset_position,
		.open_table = open_table,
		.close_table = close_table,
	},
	.name = "clone_status",
	.name_len = sizeof("clone_status") - 1,
	.definition = "`ID` int,`PID` int,`STATE` char(16),"
		"`BEGIN_TIME` timestamp(3) NULL,`END_TIME` timestamp(3) NULL,"
		"`SOURCE` varchar(512),`DESTINATION` varchar(512),"
		"`ERROR_NO` int,`ERROR_MESSAGE` varchar(512),"
		"`BINLOG_FILE` varchar(512),`BINLOG_POSITION` bigint,"
		"`GTID_EXECUTED` longtext",
	.ref_length = sizeof(uint32_t),
	.row_count = status_count,
};

static struct st_pfs_table progress_table = {
	.callbacks = {
		.rnd_next = progress_next,
		.rnd_init = rnd_init,
		.rnd_pos = progress_pos,
		.read_column = progress_column,
		.reset_position = reset_position,
		.open_table = open_table,
		.close_table = close_table,
	},
	.name = "clone_progress",
	.name_len = sizeof("clone_progress") - 1,
	.definition = "`ID` int,`STAGE` char(32),`STATE` char(16),"
		"`BEGIN_TIME` timestamp(6) NULL,`END_TIME` timestamp(6) NULL,"
		"`THREADS` int,`ESTIMATE` bigint,`DATA` bigint,"
		"`NETWORK` bigint,`DATA_SPEED` int,`NETWORK_SPEED` int",
	.ref_length = sizeof(uint32_t),
	.row_count = progress_count,
};

static struct st_pfs_table *tables[] = { &status_table, &progress_table };

int sc_tables_add(void)
{
	if (sc_server.pfs_table->add_tables(tables, SC_ARRAY_SIZE(tables)))
		return -1;
	added = true;
	return 0;
}

void sc_tables_remove(void)
{
	if (added)
		sc_server.pfs_table->delete_tables(tables,
						   SC_ARRAY_SIZE(tables));
	added = false;
}
