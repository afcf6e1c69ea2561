/* SPDX-License-Identifier: GPL-2.0-only */
/* Acquiring and releasing mysqld's services and symbols; see services.h. */
#include "plugin/services.h"

#include "io/base/num.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/*
 * mysqld looks these symbols up when it loads the plugin, reads the version
 * wanted and overwrites it with the address of the service.
 * Source: MySQL sql/sql_plugin.cc, list_of_services.
 */
extern void *plugin_registry_service, *my_plugin_log_service,
	*thd_alloc_service, *srv_session_service, *srv_session_info_service,
	*command_service, *security_context_service;
EXPORT void *plugin_registry_service = (void *)ST_SERVICE_V1;
EXPORT void *my_plugin_log_service = (void *)ST_SERVICE_V1;
EXPORT void *thd_alloc_service = (void *)ST_SERVICE_V1;
EXPORT void *srv_session_service = (void *)ST_SERVICE_V1;
EXPORT void *srv_session_info_service = (void *)ST_SERVICE_V1;
EXPORT void *command_service = (void *)ST_SERVICE_V1;
EXPORT void *security_context_service = (void *)ST_SERVICE_V1;

/* What to do when the server is not one we know. */
#define USE_STOCK                                                              \
	"HINT: snapclone needs MySQL 8.0.34 or newer; here use the server's own mysql_clone.so"

struct sc_services sc_server;

static void *protocol_table;

static const struct {
	const char *name;
	void *slot;
} wanted[] = {
	{ "mysql_runtime_error", &sc_server.error },
	{ "component_sys_variable_register", &sc_server.sysvar },
	{ "mysql_backup_lock", &sc_server.backup_lock },
	{ "clone_protocol", &protocol_table },
	{ "pfs_plugin_table_v1", &sc_server.pfs_table },
	{ "pfs_plugin_column_integer_v1", &sc_server.pfs_int },
	{ "pfs_plugin_column_bigint_v1", &sc_server.pfs_bigint },
	{ "pfs_plugin_column_string_v2", &sc_server.pfs_string },
	{ "pfs_plugin_column_timestamp_v2", &sc_server.pfs_timestamp },
	{ "pfs_plugin_column_text_v1", &sc_server.pfs_text },
};

struct st_log_service *sc_log_service(void)
{
	return my_plugin_log_service;
}

struct st_alloc_service *sc_alloc_service(void)
{
	return thd_alloc_service;
}

struct st_session_service *sc_session_service(void)
{
	return srv_session_service;
}

struct st_session_info_service *sc_session_info_service(void)
{
	return srv_session_info_service;
}

struct st_security_service *sc_security_service(void)
{
	return security_context_service;
}

struct st_command_service *sc_command_service(void)
{
	return command_service;
}

static int acquire_all(struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(wanted); i++) {
		st_service service = NULL;

		if (sc_server.registry->acquire(wanted[i].name, &service) ||
		    !service)
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"the server has no service %s; " USE_STOCK,
				wanted[i].name);
		memcpy(wanted[i].slot, &service, sizeof(service));
	}
	return 0;
}

/*
 * connect() is method 6 of clone_protocol in 8.0.44 and 7 in 9.7 under the
 * same service name: find it by the address of its implementation.
 */
static int find_protocol(struct sc_err *err)
{
	static const char symbol[] =
		"_Z19mysql_clone_connectP3THDPKcjS2_S2_P23mysql_clone_ssl_contextP12MYSQL_SOCKET";
	void **slots = protocol_table;
	void *connect = dlsym(RTLD_DEFAULT, symbol);

	for (int i = 0; connect && i < ST_CLONE_PROTOCOL_MAX_SLOT; i++) {
		if (slots[i] == connect) {
			sc_server.protocol = (void *)&slots[i];
			return 0;
		}
	}
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"the server's service clone_protocol has an unknown layout (%s); " USE_STOCK,
		connect ? "mysql_clone_connect is in none of its slots"
			: "mysql_clone_connect is not exported");
}

static int find_symbols(struct sc_err *err)
{
	static const char skip[] = "_ZN16Security_context11skip_grantsEPKcS1_";
	void *grants = dlsym(RTLD_DEFAULT, skip);
	void *cipher = dlsym(RTLD_DEFAULT, "mysql_get_ssl_cipher");
	void *printf_error = dlsym(RTLD_DEFAULT, "_Z15my_printf_errorjPKciz");
	void *file_name =
		dlsym(RTLD_DEFAULT, "_Z21tablename_to_filenamePKcPcm");
	void *connected = dlsym(RTLD_DEFAULT, "_ZN3THD12is_connectedEb");

	memcpy(&sc_server.skip_grants, &grants, sizeof(grants));
	memcpy(&sc_server.ssl_cipher, &cipher, sizeof(cipher));
	memcpy(&sc_server.printf_error, &printf_error, sizeof(printf_error));
	memcpy(&sc_server.file_name, &file_name, sizeof(file_name));
	memcpy(&sc_server.is_connected, &connected, sizeof(connected));
	if (grants && cipher)
		return 0;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "the server does not export %s; " USE_STOCK,
			  grants ? "mysql_get_ssl_cipher"
				 : "Security_context::skip_grants");
}

int sc_services_acquire(void *plugin, struct sc_err *err)
{
	struct st_plugin_registry_service *source = plugin_registry_service;

	sc_server.plugin = plugin;
	sc_server.registry = source->acquire();
	if (!sc_server.registry)
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the server has no service registry; " USE_STOCK);
	if (acquire_all(err) < 0 || find_protocol(err) < 0 ||
	    find_symbols(err) < 0) {
		sc_services_release();
		return -1;
	}
	return 0;
}

void sc_services_release(void)
{
	struct st_plugin_registry_service *source = plugin_registry_service;

	if (!sc_server.registry)
		return;
	for (size_t i = SC_ARRAY_SIZE(wanted); i-- > 0;) {
		st_service service;

		memcpy(&service, wanted[i].slot, sizeof(service));
		if (service)
			sc_server.registry->release(service);
		memset(wanted[i].slot, 0, sizeof(service));
	}
	sc_server.protocol = NULL;
	source->release(sc_server.registry);
	sc_server.registry = NULL;
}

/* Source: MySQL sql/mysqld.cc, char server_version[]. */
const char *sc_server_version(void)
{
	const char *version = dlsym(RTLD_DEFAULT, "server_version");

	return version ? version : "unknown";
}

void sc_server_log(int level, const char *fmt, ...)
{
	struct st_log_service *log = my_plugin_log_service;
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log->message(&sc_server.plugin, level, "%s", line);
}

int sc_server_variable(const char *name, char *buf, size_t cap)
{
	void *val = buf;
	size_t len = cap - 1;

	if (sc_server.sysvar->get_variable("mysql_server", name, &val, &len))
		return -1;
	buf[SC_MIN(len, cap - 1)] = '\0';
	return 0;
}

bool sc_interrupted(struct st_thd *thd)
{
	return thd_killed(thd) ||
	       (sc_server.is_connected && !sc_server.is_connected(thd, false));
}
