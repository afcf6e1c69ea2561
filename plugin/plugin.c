/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The plugin as mysqld sees it: descriptor, init, check, deinit. The name must
 * be "clone": the SQL layer asks for a plugin of that name.
 */
#include "io/base/ctl.h"
#include "plugin/clone.h"
#include "plugin/finish.h"
#include "plugin/services.h"
#include "plugin/status.h"
#include "plugin/status_tables.h"
#include "plugin/sysvars.h"

#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

extern int _mysql_plugin_interface_version_;
extern int _mysql_sizeof_struct_st_plugin_;
extern struct st_plugin_desc _mysql_plugin_declarations_[];

/* The server's handle for us; it outlives a failed init otherwise. */
static bool have_handle;
static bool bootstrap; /* --initialize: no performance_schema yet */

static int add_tables(struct sc_err *err)
{
	sc_status_load();
	if (sc_tables_add() == 0)
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"the server refuses the tables performance_schema.clone_status and clone_progress; HINT: restart it");
}

static void undo_init(void)
{
	sc_tables_remove();
	sc_status_unload();
	if (have_handle)
		st_handle_drop();
	have_handle = false;
	sc_services_release();
}

static int init_steps(void *plugin, struct sc_err *err)
{
	int rc;

	if (sc_services_acquire(plugin, err) < 0)
		return -1;
	/* A failed call leaves a handle too; it would refuse the next. */
	have_handle = true;
	rc = st_handle_create("clone");
	bootstrap = rc == ST_ER_INIT_BOOTSTRAP_COMPLETE;
	if (rc && !bootstrap)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the server takes no clone plugin now (%d); HINT: see the line before; while the server upgrades its data, leave the plugin out",
			rc);
	if (bootstrap)
		return 0;
	if (add_tables(err) < 0)
		return -1;
	sc_finish_start();
	return 0;
}

static int plugin_init(void *plugin)
{
	struct sc_err err = SC_ERR_INIT;

	if (init_steps(plugin, &err) == 0) {
		sc_server_log(ST_LOG_INFO, "snapclone %s is ready", SC_VERSION);
		return 0;
	}
	sc_server_log(ST_LOG_ERROR,
		      "snapclone %s cannot be used with server version %s: %s",
		      SC_VERSION, sc_server_version(), err.msg);
	undo_init();
	return 1;
}

/* UNINSTALL is refused while a clone runs. */
static int plugin_check(void *plugin)
{
	return st_handle_check_drop(plugin);
}

static int plugin_deinit(void *plugin)
{
	(void)plugin;
	sc_finish_stop();
	undo_init();
	return 0;
}

static struct st_clone_desc clone_desc = {
	.interface_version = ST_CLONE_INTERFACE,
	.clone_local = sc_clone_local,
	.clone_client = sc_clone_instance,
	.clone_server = sc_clone_serve,
};

EXPORT int _mysql_plugin_interface_version_ = ST_PLUGIN_INTERFACE;
EXPORT int _mysql_sizeof_struct_st_plugin_ = sizeof(struct st_plugin_desc);
EXPORT struct st_plugin_desc _mysql_plugin_declarations_[] = {
	{
		.type = ST_PLUGIN_TYPE_CLONE,
		.info = &clone_desc,
		.name = "clone",
		.author = "snapclone project",
		.description = "CLONE PLUGIN (snapclone " SC_VERSION ")",
		.license = ST_LICENSE_GPL,
		.init = plugin_init,
		.check_uninstall = plugin_check,
		.deinit = plugin_deinit,
		.version = 0x0100,
		.system_vars = sc_system_variables,
	},
	{ 0 },
};
