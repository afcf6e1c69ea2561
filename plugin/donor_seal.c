/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seal: E, and the GTIDs and binary log position that belong to exactly
 * that LSN, read in one go from performance_schema.log_status. Runs on the job
 * thread, whose session holds the backup lock; see docs/design.md, step 5.
 */
#include "plugin/donor_job.h"

#include "io/base/clock.h"
#include "plugin/services.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSHED_MS 10000

/* Sets of megabytes come in columns of their own. Their line breaks go: the
 * set is the same, and it fits into one line of a file. No escapes in the
 * statement: sql_mode may be NO_BACKSLASH_ESCAPES. */
#define LOG_STATUS                                                                      \
	"SELECT JSON_UNQUOTE(JSON_EXTRACT(storage_engines, '$.InnoDB.LSN')), "          \
	"REPLACE(JSON_UNQUOTE(JSON_EXTRACT(local, '$.gtid_executed')), CHAR(10), ''), " \
	"JSON_UNQUOTE(JSON_EXTRACT(local, '$.binary_log_file')), "                      \
	"JSON_UNQUOTE(JSON_EXTRACT(local, '$.binary_log_position')) "                   \
	"FROM performance_schema.log_status"

static int dup_text(char **dst, const char *src, struct sc_err *err)
{
	free(*dst);
	*dst = strdup(src ? src : "");
	if (*dst)
		return 0;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
}

/*
 * F: what the FLUSH LOCAL BINARY LOGS after it puts into mysql.gtid_executed,
 * as far as InnoDB's own commits have not. Read before the FLUSH: a statement
 * without an InnoDB commit that runs between the two (FLUSH, MyISAM) is in the
 * set, but not yet in the table.
 */
static int read_gtids(struct sc_sql *sql, char **ret, struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	if (sc_sql_query(sql, &rows,
			 "SELECT REPLACE(@@GLOBAL.gtid_executed, CHAR(10), '')",
			 err) < 0)
		return -1;
	return dup_text(ret, sc_rows_get(&rows, 0, 0), err);
}

int sc_donor_flush_gtids(struct sc_donor *d, struct sc_sql *sql,
			 struct sc_err *err)
{
	d->flushed_us = sc_wall_us();
	if (read_gtids(sql, &d->gtid_flushed, err) < 0)
		return -1;
	return sc_sql_query(sql, NULL, "FLUSH LOCAL BINARY LOGS", err);
}

static int parse_u64(const char *text, uint64_t *ret)
{
	char *end;

	if (!text || !*text)
		return -1;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || *end ? -1 : 0;
}

/* Without a binary log file and position are absent. */
static int take_row(const struct sc_rows *rows, struct sc_ctl_seal *seal,
		    struct sc_err *err)
{
	const char *file = sc_rows_get(rows, 0, 2);
	const char *position = sc_rows_get(rows, 0, 3);

	if (parse_u64(sc_rows_get(rows, 0, 0), &seal->end_lsn) < 0 ||
	    (position && parse_u64(position, &seal->binlog_position) < 0))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"performance_schema.log_status has no InnoDB LSN");
	if (file)
		snprintf(seal->binlog_file, sizeof(seal->binlog_file), "%s",
			 file);
	return dup_text(&seal->gtid_executed, sc_rows_get(rows, 0, 1), err);
}

static int read_log_status(struct sc_sql *sql, struct sc_ctl_seal *seal,
			   struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	seal->seal_begin_us = sc_wall_us();
	if (sc_sql_query(sql, &rows, LOG_STATUS, err) < 0)
		return -1;
	return take_row(&rows, seal, err);
}

/* E is the end of the last reserved record: make mysqld write up to it. */
static int await_flushed(struct sc_donor *d, struct sc_sql *sql,
			 uint64_t end_lsn, struct sc_err *err)
{
	uint64_t deadline = sc_now_ms() + FLUSHED_MS;
	unsigned long long flushed;

	for (;;) {
		if (sc_donor_check_cancel(d, err) < 0 ||
		    sc_sql_query(sql, NULL, "FLUSH LOCAL ENGINE LOGS", err) <
			    0 ||
		    sc_sql_status(sql, "Innodb_redo_log_flushed_to_disk_lsn",
				  &flushed, err) < 0)
			return -1;
		if (flushed >= end_lsn)
			return 0;
		if (sc_now_ms() > deadline)
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"redo is flushed to LSN %llu only, %" PRIu64
				" is needed",
				flushed, end_lsn);
		sc_sleep_ms(10);
	}
}

static int seal_now(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	struct sc_ctl_seal *seal = &d->seal;

	if (read_gtids(sql, &seal->gtid_flushed, err) < 0 ||
	    sc_sql_query(sql, NULL, "FLUSH LOCAL BINARY LOGS", err) < 0 ||
	    read_log_status(sql, seal, err) < 0)
		return -1;
	return await_flushed(d, sql, seal->end_lsn, err);
}

/*
 * Redo was lost: E is S. No DDL ran between F and the image, so what has a GTID
 * that recovery does not find may be run again (FLUSH, MyISAM). The GTIDs that
 * it does find are executed here by now.
 */
static int seal_image(struct sc_donor *d, struct sc_sql *sql,
		      struct sc_err *err)
{
	const struct sc_ctl_settled *settled = &d->heard.settlement;
	struct sc_ctl_seal *seal = &d->seal;

	seal->end_lsn = settled->image_lsn;
	seal->seal_begin_us = d->flushed_us;
	snprintf(seal->redo_lost, sizeof(seal->redo_lost),
		 "The clone ends at the LSN of its image, %" PRIu64
		 ", and has no binary log position: %.400s",
		 seal->end_lsn, settled->why);
	if (dup_text(&seal->gtid_flushed, d->gtid_flushed, err) < 0)
		return -1;
	sc_server_log(ST_LOG_WARNING, "%s", seal->redo_lost);
	return read_gtids(sql, &seal->gtid_executed, err);
}

int sc_donor_make_seal(struct sc_donor *d, struct sc_sql *sql,
		       struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	int rc = d->heard.settlement.what == SC_SETTLED_IMAGE
			 ? seal_image(d, sql, err)
			 : seal_now(d, sql, err);

	if (rc < 0)
		return sc_err_context(err, "seal");
	sc_ctl_put_seal(&enc, &d->seal);
	return sc_link_send(&d->link, SC_CTL_SEAL, &enc, NULL, 0, err);
}
