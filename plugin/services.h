/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The services of mysqld the plugin uses, acquired once at INSTALL and held
 * until UNINSTALL; between these the record is read-only and any thread may
 * use it. What the server does not offer is a clear error at INSTALL, not a
 * surprise in the middle of a clone.
 */
#ifndef SC_PLUGIN_SERVICES_H
#define SC_PLUGIN_SERVICES_H

#include "io/base/err.h"
#include "plugin/abi.h"

struct sc_services {
	void *plugin; /* st_plugin_int of the server, for log and sessions */
	struct st_registry *registry;
	struct st_error_service *error;
	struct st_sysvar_service *sysvar;
	struct st_backup_lock_service *backup_lock;
	struct st_clone_protocol *protocol;
	struct st_pfs_table_service *pfs_table;
	struct st_pfs_int_service *pfs_int;
	struct st_pfs_int_service *pfs_bigint;
	struct st_pfs_string_service *pfs_string;
	struct st_pfs_timestamp_service *pfs_timestamp;
	struct st_pfs_text_service *pfs_text;
	/* Security_context::skip_grants(user, host) */
	void (*skip_grants)(void *ctx, const char *user, const char *host);
	const char *(*ssl_cipher)(struct st_mysql *conn);
	/* my_printf_error(nr, fmt, flags, ...); NULL: not exported */
	void (*printf_error)(unsigned nr, const char *fmt, int flags, ...);
	/* tablename_to_filename(name, file, cap); NULL: not exported */
	size_t (*file_name)(const char *name, char *file, size_t cap);
	/* THD::is_connected(cached); NULL: not exported */
	bool (*is_connected)(struct st_thd *thd, bool cached);
};

extern struct sc_services sc_server;

/* Services that the server itself put into our symbols before init. */
struct st_log_service *sc_log_service(void);
struct st_alloc_service *sc_alloc_service(void);
struct st_session_service *sc_session_service(void);
struct st_session_info_service *sc_session_info_service(void);
struct st_security_service *sc_security_service(void);
struct st_command_service *sc_command_service(void);

/*
 * Acquire all services and symbols. plugin: what mysqld gave to init. On
 * failure everything acquired so far is released. Returns 0 or -1.
 */
int sc_services_acquire(void *plugin, struct sc_err *err);

/* Release them; legal when nothing was acquired. */
void sc_services_release(void);

/* The server's version, e.g. "9.7.4"; legal before sc_services_acquire(). */
const char *sc_server_version(void);

/* Write one line to mysqld's error log as this plugin. level: ST_LOG_*. Any
 * thread. */
void sc_server_log(int level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* True when a statement is to end: it was killed, or its client is gone. Call
 * from its own thread. */
bool sc_interrupted(struct st_thd *thd);

/*
 * Read a global variable as text. Returns 0, or -1 when it does not exist or
 * does not fit into cap bytes. Call from a thread that has a session (a
 * statement's own thread is one).
 */
int sc_server_variable(const char *name, char *buf, size_t cap);

#endif
