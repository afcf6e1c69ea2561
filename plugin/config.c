/* SPDX-License-Identifier: GPL-2.0-only */
/* Listing this server by SQL; see config.h. */
#include "plugin/config.h"

#include "plugin/outside.h"
#include "plugin/roots.h"
#include "plugin/sql.h"

#include <pthread.h>

static int list_query(struct sc_sql *sql, const char *query,
		      struct sc_list *ret, struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };

	if (sc_sql_query(sql, &rows, query, err) < 0)
		return -1;
	for (size_t row = 0; row < rows.count; row++) {
		for (size_t col = 0; col < rows.columns; col++)
			sc_list_add(ret, sc_rows_get(&rows, row, col) ?: "");
	}
	if (ret->failed)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	return 0;
}

/* Files elsewhere than a clone has them, undo tablespaces too. */
static int list_outside(struct sc_sql *sql, struct sc_list *ret,
			struct sc_err *err)
{
	CLEANUP_ROOTS struct sc_own_roots roots = { 0 };
	struct sc_ctl_places places;
	char names[352];

	if (sc_undo_elsewhere(sql, names, sizeof(names), err) < 0)
		return -1;
	if (!*names && sc_linked_schema(names, sizeof(names), err) < 0)
		return -1;
	if (!*names &&
	    (sc_own_places_open(&roots, &places, err) < 0 ||
	     sc_tables_elsewhere(sql, &roots.m, names, sizeof(names), err) < 0))
		return -1;
	sc_list_add(ret, SC_OUTSIDE_FILES);
	sc_list_add(ret, names);
	return 0;
}

struct collect {
	struct sc_com_config *config;
	struct sc_err *err;
	int rc;
};

static void *collect_main(void *arg)
{
	struct collect *job = arg;
	struct sc_sql *sql = sc_sql_open(job->err);

	if (!sql)
		return NULL;
	if (list_query(
		    sql,
		    "SELECT LOWER(variable_name), variable_value FROM performance_schema.global_variables WHERE variable_name IN ('version', 'version_compile_machine', 'version_compile_os', 'character_set_server', 'character_set_filesystem', 'collation_server', 'innodb_page_size', 'innodb_data_file_path', 'server_uuid') ORDER BY 1",
		    &job->config->variables, job->err) == 0 &&
	    list_outside(sql, &job->config->variables, job->err) == 0 &&
	    list_query(sql, "SELECT '" SC_ENCRYPTED "', " SC_ENCRYPTED_COUNT,
		       &job->config->variables, job->err) == 0 &&
	    list_query(
		    sql,
		    "SELECT plugin_name, COALESCE(plugin_library, '') FROM information_schema.plugins WHERE plugin_status = 'ACTIVE'",
		    &job->config->plugins, job->err) == 0 &&
	    list_query(
		    sql,
		    "SELECT collation_name FROM information_schema.collations",
		    &job->config->collations, job->err) == 0)
		job->rc = 0;
	sc_sql_close(sql);
	return NULL;
}

int sc_config_collect(struct sc_com_config *ret, struct sc_err *err)
{
	struct collect job = { ret, err, -1 };
	pthread_t thread;
	int rc;

	*ret = (struct sc_com_config){ 0 };
	rc = pthread_create(&thread, NULL, collect_main, &job);
	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start a thread");
	pthread_join(thread, NULL);
	return job.rc;
}
