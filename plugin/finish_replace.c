/* SPDX-License-Identifier: GPL-2.0-only */
/* Start-up after a replacement in place; see finish_replace.h. */
#include "plugin/finish_replace.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "plugin/clean.h"
#include "plugin/replace.h"
#include "plugin/services.h"
#include "plugin/status.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool present(const char *path)
{
	return access(path, F_OK) == 0;
}

/* What a power cut left of a file that was being written; the file itself is
 * as if it had not been begun. */
void sc_finish_half_written(void)
{
	unlink(SC_SAVED_GTIDS ".tmp");
	unlink(SC_RESET_PENDING ".tmp");
}

bool sc_finish_replace_needed(void)
{
	return present(SC_SAVED_GTIDS) || present(SC_RESET_PENDING) ||
	       sc_clean_needed();
}

char *sc_finish_saved_gtids(void)
{
	FILE *in = fopen(SC_SAVED_GTIDS, "re");
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!in)
		return strdup("");
	n = getdelim(&text, &cap, '\0', in);
	fclose(in);
	if (n >= 0)
		return text;
	free(text);
	return strdup("");
}

int sc_finish_reset(struct sc_sql *sql, const char *gtid_executed,
		    char **ret_extra, struct sc_err *err)
{
	CLEANUP_FREE char *saved = sc_finish_saved_gtids();
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	*ret_extra = NULL;
	if (!present(SC_RESET_PENDING))
		return 0;
	if (!saved)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	/* Channels that came with the clone may have begun. */
	if (sc_sql_query(sql, NULL, "STOP REPLICA", err) < 0)
		return -1;
	if (sc_sql_queryf(
		    sql, &rows, err,
		    "SELECT REPLACE(GTID_SUBTRACT(GTID_SUBTRACT(@@GLOBAL.gtid_executed, '%s'), '%s'), CHAR(10), '')",
		    saved, gtid_executed) < 0)
		return -1;
	*ret_extra = strdup(sc_rows_get(&rows, 0, 0) ?: "");
	if (!*ret_extra)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (sc_sql_query(sql, NULL, "RESET BINARY LOGS AND GTIDS", err) < 0)
		return -1;
	sc_server_log(
		ST_LOG_INFO,
		"clone: binary logs and GTIDs of the replaced data are reset");
	return 0;
}

static void remove_saved_binlogs(void)
{
	CLEANUP_CLOSE int dir =
		open(SC_SAVED_BINLOGS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sc_err err = SC_ERR_INIT;

	if (dir < 0)
		return;
	if (sc_tree_remove(dir, &err) < 0 || rmdir(SC_SAVED_BINLOGS) < 0)
		sc_server_log(ST_LOG_WARNING, "clone: %s is not removed: %s",
			      SC_SAVED_BINLOGS, err.msg);
}

static bool is_empty(const char *path)
{
	CLEANUP_CLOSEDIR DIR *dir = opendir(path);
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			return false;
	}
	return dir != NULL;
}

/* True when it is the directory of one of the schemas. */
static bool is_schema(const struct sc_rows *schemas, const char *dir)
{
	char name[NAME_MAX + 1];

	for (size_t i = 0; i < schemas->count; i++) {
		const char *schema = sc_rows_get(schemas, i, 0);

		sc_server.file_name(schema ? schema : "", name, sizeof(name));
		if (!strcmp(name, dir))
			return true;
	}
	return false;
}

/* Directories of the old data's schemas are empty now; with rmdir() none that
 * holds anything can be lost. */
static void remove_old_schemas(struct sc_sql *sql)
{
	CLEANUP_ROWS struct sc_rows schemas = { 0 };
	CLEANUP_CLOSEDIR DIR *dir = NULL;
	struct sc_err err = SC_ERR_INIT;
	struct dirent *de;

	if (!sc_server.file_name)
		return;
	if (sc_sql_query(sql, &schemas,
			 "SELECT schema_name FROM information_schema.schemata",
			 &err) == 0)
		dir = opendir(".");
	while (dir && (de = readdir(dir))) {
		if (de->d_type != DT_DIR || de->d_name[0] == '.' ||
		    de->d_name[0] == '#' || !is_empty(de->d_name) ||
		    is_schema(&schemas, de->d_name))
			continue;
		if (rmdir(de->d_name) < 0)
			sc_server_log(
				ST_LOG_WARNING,
				"clone: old directory %s is not removed: %s",
				de->d_name, strerrordesc_np(errno));
	}
}

void sc_finish_forget(void)
{
	sc_clean_forget();
	unlink(SC_RESET_PENDING);
	unlink(SC_SAVED_GTIDS);
}

void sc_finish_cleanup(struct sc_sql *sql)
{
	if (!present(SC_SAVED_GTIDS))
		return;
	remove_old_schemas(sql);
	remove_saved_binlogs();
	sc_finish_forget();
}

/* ---- rolled back
 * ------------------------------------------------------------------- */

/* After RESET: the old set again. The old binary logs cannot be put back into
 * a server that runs; they stay where they were saved. */
static int restore_gtids(struct sc_sql *sql, struct sc_err *err)
{
	CLEANUP_FREE char *saved = sc_finish_saved_gtids();
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *missing;

	if (!saved)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	if (sc_sql_queryf(
		    sql, &rows, err,
		    "SELECT REPLACE(GTID_SUBTRACT('%s', @@GLOBAL.gtid_executed), CHAR(10), '')",
		    saved) < 0)
		return -1;
	missing = sc_rows_get(&rows, 0, 0) ?: "";
	if (*missing &&
	    sc_sql_queryf(sql, NULL, err, "SET GLOBAL gtid_purged = '+%s'",
			  missing) < 0)
		return -1;
	sc_server_log(
		ST_LOG_WARNING,
		"clone: the GTIDs of the old data are set again; its binary logs, which had been reset, are in %s",
		SC_SAVED_BINLOGS);
	return 0;
}

void sc_finish_rolled_back(struct sc_sql *sql)
{
	struct sc_err err = SC_ERR_INIT;
	bool saved = present(SC_SAVED_GTIDS);

	if (sc_clean_needed() && sc_clean_data_directory(&err) < 0)
		sc_server_log(
			ST_LOG_ERROR,
			"clone: what an interrupted clone staged is not removed: %s",
			err.msg);
	err = (struct sc_err)SC_ERR_INIT;
	if (!saved) {
		unlink(SC_RESET_PENDING);
		return;
	}
	/* RESET was not made: sets and binary logs are as they were. */
	if (present(SC_RESET_PENDING)) {
		remove_saved_binlogs();
	} else if (restore_gtids(sql, &err) < 0) {
		sc_server_log(
			ST_LOG_ERROR,
			"clone: the GTIDs of the old data, saved in %s, cannot be set again: %s",
			SC_SAVED_GTIDS, err.msg);
		return;
	}
	sc_status_set_failed(
		SC_ER_INTERNAL_ERROR,
		"The clone was not swapped in; this is the old data. For details, look into server error log.");
	unlink(SC_RESET_PENDING);
	unlink(SC_SAVED_GTIDS);
}
