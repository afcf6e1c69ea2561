/* SPDX-License-Identifier: GPL-2.0-only */
/* Listing and comparing two servers; see config.h. */
#include "plugin/config.h"

#include "io/base/num.h"
#include "plugin/raise.h"
#include "plugin/sql.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- listing ------------------------------------------------------------- */

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

/* ---- comparing ----------------------------------------------------------- */

const char *sc_config_variable(const struct sc_com_config *config,
			       const char *name)
{
	const struct sc_list *list = &config->variables;

	for (size_t i = 0; i + 1 < list->count; i += 2) {
		if (!strcmp(list->items[i], name))
			return list->items[i + 1];
	}
	return NULL;
}

bool sc_config_versions_fit(const char *own, const char *donor)
{
	unsigned o[3], d[3];

	if (sscanf(own, "%u.%u.%u", &o[0], &o[1], &o[2]) != 3 ||
	    sscanf(donor, "%u.%u.%u", &d[0], &d[1], &d[2]) != 3)
		return false;
	if (o[0] != d[0] || o[1] != d[1])
		return false;
	if (o[0] != 8 || o[1] != 0)
		return true;
	return o[2] == d[2] || (o[2] >= 37 && d[2] >= 37);
}

/* The names of list, every step-th item, contain s. */
static bool list_has(const struct sc_list *list, size_t step, const char *s)
{
	for (size_t i = 0; i < list->count; i += step) {
		if (!strcasecmp(list->items[i], s))
			return true;
	}
	return false;
}

static bool loadable(const char *plugin_dir, const char *library)
{
	char path[4096];

	if (strchr(library, '/') || library[0] == '.')
		return false;
	snprintf(path, sizeof(path), "%s/%s", plugin_dir, library);
	return access(path, R_OK) == 0;
}

static int compare_plugins(const struct sc_com_config *donor,
			   const struct sc_com_config *own,
			   const char *plugin_dir, struct sc_err *err)
{
	for (size_t i = 0; i + 1 < donor->plugins.count; i += 2) {
		const char *name = donor->plugins.items[i];
		const char *library = donor->plugins.items[i + 1];

		/* Built-in ones of a fitting version need no check. */
		if (*library && !list_has(&own->plugins, 2, name) &&
		    !loadable(plugin_dir, library))
			return sc_err_set(err, SC_ER_CLONE_PLUGIN_MATCH,
					  "%.128s", name);
	}
	return 0;
}

static int compare_collations(const struct sc_com_config *donor,
			      const struct sc_com_config *own,
			      struct sc_err *err)
{
	for (size_t i = 0; i < donor->collations.count; i++) {
		if (!list_has(&own->collations, 1, donor->collations.items[i]))
			return sc_err_set(err, SC_ER_CLONE_CHARSET, "%.128s",
					  donor->collations.items[i]);
	}
	return 0;
}

static const struct {
	const char *name;
	int code;
	const char *text; /* NULL: the general text of SC_ER_CLONE_CONFIG */
} compared[] = {
	{ "version_compile_machine", SC_ER_CLONE_PLATFORM, "platform" },
	{ "version_compile_os", SC_ER_CLONE_OS, "OS" },
	{ "character_set_server", SC_ER_CLONE_CONFIG, NULL },
	{ "character_set_filesystem", SC_ER_CLONE_CONFIG, NULL },
	{ "collation_server", SC_ER_CLONE_CONFIG, NULL },
	{ "innodb_page_size", SC_ER_CLONE_CONFIG, NULL },
};

/* The texts are those of the server's numbers, which take two and three
 * arguments; raise.c raises them as they are. */
static int compare_variables(const struct sc_com_config *donor,
			     const struct sc_com_config *own,
			     struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(compared); i++) {
		const char *name = compared[i].name;
		const char *theirs = sc_config_variable(donor, name) ?: "";
		const char *ours = sc_config_variable(own, name) ?: "";

		if (!strcmp(theirs, ours))
			continue;
		if (compared[i].text)
			return sc_err_set(
				err, compared[i].code,
				"Clone Donor %s: %.64s is different from Recipient %s: %.64s.",
				compared[i].text, theirs, compared[i].text,
				ours);
		return sc_err_set(
			err, compared[i].code,
			"Clone Configuration %s: Donor value: %.128s is different from Recipient value: %.128s.",
			name, theirs, ours);
	}
	return 0;
}

static int compare_version(const struct sc_com_config *donor,
			   const struct sc_com_config *own, struct sc_err *err)
{
	const char *theirs = sc_config_variable(donor, "version") ?: "";
	const char *ours = sc_config_variable(own, "version") ?: "";

	if (sc_config_versions_fit(ours, theirs))
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_DONOR_VERSION,
		"Clone Donor MySQL version: %.64s is different from Recipient MySQL version %.64s.",
		theirs, ours);
}

int sc_config_compare(const struct sc_com_config *donor,
		      const struct sc_com_config *own, const char *plugin_dir,
		      struct sc_err *err)
{
	if (compare_plugins(donor, own, plugin_dir, err) < 0 ||
	    compare_collations(donor, own, err) < 0 ||
	    compare_variables(donor, own, err) < 0)
		return -1;
	return compare_version(donor, own, err);
}
