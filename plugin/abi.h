/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The binary interface of mysqld (x86_64 and other LP64) that a clone plugin
 * needs, declared in C so that no server header and no C++ is involved. Names
 * are ours; layouts and constants are facts of the server.
 *
 * Source: MySQL 9.7 include/mysql/plugin.h, plugin_clone.h, service_*.h,
 * components/services/{clone_protocol_service,pfs_plugin_table_service}.h.
 * Version notes: everything here is equal in 8.0.44 and 9.7 except where a
 * comment says else. Forks differ under the same interface number (GreatSQL:
 * st_clone_desc signatures, Percona: st_clone_ssl is longer).
 */
#ifndef SC_PLUGIN_ABI_H
#define SC_PLUGIN_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct st_thd;	   /* a server session, opaque */
struct st_session; /* MYSQL_SESSION of srv_session_service, opaque */
struct st_mysql;   /* a client connection (MYSQL), opaque */
struct st_field;   /* a performance_schema column being set, opaque */

/* ---- plugin descriptor --------------------------------------------------- */

#define ST_PLUGIN_INTERFACE 0x010b
#define ST_PLUGIN_TYPE_CLONE 11
#define ST_CLONE_INTERFACE 0x0100
#define ST_LICENSE_GPL 1
#define ST_SERVICE_V1 0x0100

/* What clone_handle_create() returns under --initialize. */
#define ST_ER_INIT_BOOTSTRAP_COMPLETE 10456

struct st_plugin_desc {
	int type;
	void *info; /* struct st_clone_desc */
	const char *name;
	const char *author;
	const char *description;
	int license;
	int (*init)(void *plugin);
	int (*check_uninstall)(void *plugin);
	int (*deinit)(void *plugin);
	unsigned version;
	void *status_vars;
	struct st_var **system_vars; /* NULL-terminated */
	void *reserved;
	unsigned long flags;
};

_Static_assert(sizeof(struct st_plugin_desc) == 112, "st_mysql_plugin");
_Static_assert(offsetof(struct st_plugin_desc, init) == 48, "st_mysql_plugin");
_Static_assert(offsetof(struct st_plugin_desc, system_vars) == 88,
	       "st_mysql_plugin");

/* MYSQL_SOCKET; passed by value. */
struct st_socket {
	int fd;
	void *psi;
};

_Static_assert(sizeof(struct st_socket) == 16, "MYSQL_SOCKET");

/* ssl_mode of clone_client: what the REQUIRE clause said. */
enum { ST_SSL_DISABLED = 1, ST_SSL_PREFERRED = 2, ST_SSL_REQUIRED = 3 };

/* Mysql_clone. data_dir is absolute and ends in '/'; NULL: in place. */
struct st_clone_desc {
	int interface_version;
	int (*clone_local)(struct st_thd *thd, const char *data_dir);
	int (*clone_client)(struct st_thd *thd, const char *host, unsigned port,
			    const char *user, const char *password,
			    const char *data_dir, int ssl_mode);
	int (*clone_server)(struct st_thd *thd, struct st_socket socket);
};

_Static_assert(sizeof(struct st_clone_desc) == 32, "Mysql_clone");

/* ---- system variables ---------------------------------------------------- */

#define ST_VAR_BOOL 0x1
#define ST_VAR_INT 0x2
#define ST_VAR_STR 0x5
#define ST_VAR_ENUM 0x6
#define ST_VAR_UNSIGNED 0x80
#define ST_VAR_READONLY 0x200
#define ST_VAR_NOCMDARG 0x1000
#define ST_VAR_RQCMDARG 0x0
#define ST_VAR_OPCMDARG 0x2000
#define ST_VAR_MEMALLOC 0x8000
#define ST_VAR_NOPERSIST 0x10000

/* st_mysql_value: the expression of a SET statement. */
struct st_value {
	int (*value_type)(struct st_value *self);
	const char *(*val_str)(struct st_value *self, char *buf, int *len);
	int (*val_real)(struct st_value *self, double *ret);
	int (*val_int)(struct st_value *self, long long *ret);
	int (*is_unsigned)(struct st_value *self);
};

/* SYS_VAR, the common head. */
struct st_var {
	int flags;
	const char *name; /* without "clone_" */
	const char *comment;
	int (*check)(struct st_thd *thd, struct st_var *var, void *save,
		     struct st_value *value);
	void (*update)(struct st_thd *thd, struct st_var *var, void *ptr,
		       const void *save);
};

struct st_var_bool {
	struct st_var head;
	bool *value;
	bool def;
};

struct st_var_str {
	struct st_var head;
	char **value;
	char *def;
};

struct st_var_uint {
	struct st_var head;
	unsigned *value;
	unsigned def, min, max, block;
};

/* TYPELIB: the names of an enumeration. */
struct st_typelib {
	size_t count;
	const char *name;
	const char **type_names; /* and NULL */
	unsigned *type_lengths;	 /* and 0 */
};

struct st_var_enum {
	struct st_var head;
	unsigned long *value; /* index of a name */
	unsigned long def;
	struct st_typelib *typelib;
};

_Static_assert(sizeof(struct st_var) == 40, "SYS_VAR");
_Static_assert(sizeof(struct st_typelib) == 32, "TYPELIB");
_Static_assert(sizeof(struct st_var_enum) == 64, "SYS_VAR enum");
_Static_assert(sizeof(struct st_var_bool) == 56, "SYS_VAR bool");
_Static_assert(sizeof(struct st_var_str) == 56, "SYS_VAR str");
_Static_assert(sizeof(struct st_var_uint) == 64, "SYS_VAR uint");

/* ---- services found by symbol in the plugin ------------------------------ */

typedef struct st_service *st_service; /* my_h_service; is the table itself */

/* SERVICE(registry). All return 0 on success. */
struct st_registry {
	int (*acquire)(const char *name, st_service *ret);
	int (*acquire_related)(const char *name, st_service near,
			       st_service *ret);
	int (*release)(st_service service);
};

struct st_plugin_registry_service {
	struct st_registry *(*acquire)(void);
	int (*release)(struct st_registry *registry);
};

enum { ST_LOG_ERROR = 0, ST_LOG_WARNING = 1, ST_LOG_INFO = 2 };

struct st_log_service {
	int (*message)(void **plugin, int level, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
};

struct st_alloc_service {
	void *(*alloc)(struct st_thd *thd, size_t size);
	void *(*calloc)(struct st_thd *thd, size_t size);
	char *(*strdup)(struct st_thd *thd, const char *s);
	char *(*strmake)(struct st_thd *thd, const char *s, size_t len);
	void *(*memdup)(struct st_thd *thd, const void *p, size_t len);
	void *make_lex_string;
};

struct st_session_service {
	int (*init_thread)(const void *plugin);
	void (*deinit_thread)(void);
	struct st_session *(*open)(void (*error)(void *ctx, unsigned nr,
						 const char *text),
				   void *ctx);
	int (*detach)(struct st_session *session);
	int (*close)(struct st_session *session);
	int (*server_is_available)(void);
	int (*attach)(struct st_session *session, struct st_thd **prev);
};

struct st_session_info_service {
	struct st_thd *(*get_thd)(struct st_session *session);
	unsigned (*get_session_id)(struct st_session *session);
	/* more follow, unused */
};

/* char return: 0 ok. 8.0 has version 0x0101 as 9.7; 0x0100 is accepted. */
struct st_security_service {
	char (*thd_get)(struct st_thd *thd, void **ret_ctx);
	char (*thd_set)(struct st_thd *thd, void *ctx);
	char (*create)(void **ret_ctx);
	char (*destroy)(void *ctx);
	char (*copy)(void *ctx, void **ret_ctx);
	char (*lookup)(void *ctx, const char *user, const char *host,
		       const char *ip, const char *db);
	char (*get_option)(void *ctx, const char *name, void *ret);
	char (*set_option)(void *ctx, const char *name, void *value);
};

#define ST_COM_QUERY 3
#define ST_TEXT_PROTOCOL 1

/* union COM_DATA, of which we use the query part. */
union st_com_data {
	struct {
		const char *query;
		unsigned length;
		void *parameters;
		unsigned long parameter_count;
	} query;
	char size[64];
};

/* st_command_service_cbs: what the server calls with a statement's result. */
struct st_result_callbacks {
	int (*start_metadata)(void *ctx, unsigned columns, unsigned flags,
			      const void *charset);
	int (*field_metadata)(void *ctx, void *field, const void *charset);
	int (*end_metadata)(void *ctx, unsigned status, unsigned warnings);
	int (*start_row)(void *ctx);
	int (*end_row)(void *ctx);
	void (*abort_row)(void *ctx);
	unsigned long (*client_capabilities)(void *ctx);
	int (*get_null)(void *ctx);
	int (*get_integer)(void *ctx, long long v);
	int (*get_longlong)(void *ctx, long long v, unsigned is_unsigned);
	int (*get_decimal)(void *ctx, const void *v);
	int (*get_double)(void *ctx, double v, uint32_t decimals);
	int (*get_date)(void *ctx, const void *v);
	int (*get_time)(void *ctx, const void *v, unsigned decimals);
	int (*get_datetime)(void *ctx, const void *v, unsigned decimals);
	int (*get_string)(void *ctx, const char *s, size_t len,
			  const void *charset);
	void (*handle_ok)(void *ctx, unsigned status, unsigned warnings,
			  unsigned long long affected,
			  unsigned long long last_id, const char *text);
	void (*handle_error)(void *ctx, unsigned nr, const char *text,
			     const char *sqlstate);
	void (*shutdown)(void *ctx, int flag);
	bool (*connection_alive)(void *ctx);
};

struct st_command_service {
	int (*run)(struct st_session *session, int command,
		   const union st_com_data *data, const void *charset,
		   const struct st_result_callbacks *callbacks, int protocol,
		   void *ctx);
};

/* ---- services found by name in the registry ------------------------------ */

/* "mysql_runtime_error": my_error() with the arguments of nr's own format. */
struct st_error_service {
	void (*emit)(int nr, int flags, va_list args);
};

/* "mysql_backup_lock": what LOCK INSTANCE FOR BACKUP takes. kind: 0. On
 * failure (non-zero) an error is raised in thd. */
struct st_backup_lock_service {
	char (*acquire)(struct st_thd *thd, int kind, unsigned long timeout_s);
	char (*release)(struct st_thd *thd);
};

/* "component_sys_variable_register"; get_variable with "mysql_server" reads
 * any global variable as text. */
struct st_sysvar_service {
	int (*register_variable)(const char *component, const char *name,
				 int flags, const char *comment, void *check,
				 void *update, void *arg, void *value);
	int (*get_variable)(const char *component, const char *name, void **val,
			    size_t *len);
};

/* "keyring_reader_with_status". An object of NULL after init: no such key.
 * auth_id NULL: the server's own keys. */
struct st_keyring_reader {
	int (*init)(const char *data_id, const char *auth_id,
		    void **ret_object);
	int (*deinit)(void *object);
	int (*fetch_length)(void *object, size_t *ret_size,
			    size_t *ret_type_size);
	int (*fetch)(void *object, unsigned char *data, size_t data_room,
		     size_t *ret_size, char *type, size_t type_room,
		     size_t *ret_type_size);
};

/* "keyring_writer" */
struct st_keyring_writer {
	int (*store)(const char *data_id, const char *auth_id,
		     const unsigned char *data, size_t size, const char *type);
	int (*remove)(const char *data_id, const char *auth_id);
};

/* mysql_clone_ssl_context. Percona Server appends two members. */
struct st_clone_ssl {
	int mode;
	const char *key, *cert, *ca;
	bool compress;
	void *net_server; /* NET_SERVER, required when compress is set */
};

_Static_assert(sizeof(struct st_clone_ssl) == 48, "mysql_clone_ssl_context");

/* NET_SERVER: zero-filled it is an empty one. Ours is larger than any known. */
struct st_net_server {
	uint64_t room[64];
};

/*
 * "clone_protocol". The methods after the C++ ones, which we do not call.
 * 9.7 has validate_version before connect, 8.0.44 has not: services.c finds
 * where this part of the table starts.
 */
struct st_clone_protocol {
	struct st_mysql *(*connect)(struct st_thd *thd, const char *host,
				    uint32_t port, const char *user,
				    const char *password,
				    struct st_clone_ssl *ssl,
				    struct st_socket *ret_socket);
	int (*send_command)(struct st_thd *thd, struct st_mysql *conn,
			    bool set_active, unsigned char command,
			    unsigned char *buf, size_t len);
	int (*get_response)(struct st_thd *thd, struct st_mysql *conn,
			    bool set_active, uint32_t timeout_s,
			    unsigned char **ret_packet, size_t *ret_len,
			    size_t *ret_net_len);
	int (*kill)(struct st_mysql *conn, struct st_mysql *victim);
	void (*disconnect)(struct st_thd *thd, struct st_mysql *conn,
			   bool fatal, bool clear_error);
	void (*get_error)(struct st_thd *thd, uint32_t *ret_nr,
			  const char **ret_text);
	int (*get_command)(struct st_thd *thd, unsigned char *ret_command,
			   unsigned char **ret_buf, size_t *ret_len);
	int (*send_response)(struct st_thd *thd, bool secure,
			     unsigned char *packet, size_t len);
	int (*send_error)(struct st_thd *thd, unsigned char code, bool fatal);
};

/* Methods of the table before connect, 8.0.44 and 9.7. */
#define ST_CLONE_PROTOCOL_MAX_SLOT 12

/* ---- performance_schema tables ------------------------------------------- */

#define ST_PFS_END_OF_FILE 137

struct st_pfs_callbacks {
	int (*rnd_next)(void *table);
	int (*rnd_init)(void *table, bool scan);
	int (*rnd_pos)(void *table);
	void *index_init, *index_read, *index_next;
	int (*read_column)(void *table, struct st_field *field, unsigned index);
	void (*reset_position)(void *table);
	void *write_column, *write_row, *update_column, *update_row;
	void *delete_row;
	void *(*open_table)(void **ret_position);
	void (*close_table)(void *table);
};

/* PFS_engine_table_share_proxy; acl 0 = read-only. */
struct st_pfs_table {
	struct st_pfs_callbacks callbacks;
	const char *name;
	unsigned name_len;
	const char *definition;
	unsigned ref_length;
	int acl;
	int (*delete_all_rows)(void);
	unsigned long long (*row_count)(void);
};

_Static_assert(sizeof(struct st_pfs_callbacks) == 120, "PFS proxy");
_Static_assert(sizeof(struct st_pfs_table) == 168, "PFS share proxy");

/* "pfs_plugin_table_v1" */
struct st_pfs_table_service {
	int (*add_tables)(struct st_pfs_table **tables, unsigned n);
	int (*delete_tables)(struct st_pfs_table **tables, unsigned n);
};

struct st_pfs_uint {
	unsigned long val;
	bool is_null;
};

/* "pfs_plugin_column_integer_v1" and "..._bigint_v1", the first methods. */
struct st_pfs_int_service {
	void (*set)(struct st_field *field, struct st_pfs_uint v);
	void (*set_unsigned)(struct st_field *field, struct st_pfs_uint v);
};

/* "pfs_plugin_column_string_v2" */
struct st_pfs_string_service {
	void (*set_char)(struct st_field *field, const char *s, unsigned len);
	void *get_char, *read_key, *match_key, *get_varchar;
	void (*set_varchar)(struct st_field *field, const char *s);
};

/* "pfs_plugin_column_timestamp_v2"; 0 µs is NULL. */
struct st_pfs_timestamp_service {
	void *set;
	void (*set2)(struct st_field *field, unsigned long long us);
};

/* "pfs_plugin_column_text_v1", since 8.0.34 */
struct st_pfs_text_service {
	void (*set)(struct st_field *field, const char *s, unsigned len);
};

/* ---- functions of mysqld, imported by symbol ----------------------------- */

/* The SQL layer's handle for the plugin named; 0, or an error number. */
int st_handle_create(const char *name) __asm__("_Z19clone_handle_createPKc");
int st_handle_drop(void) __asm__("_Z17clone_handle_dropv");
int st_handle_check_drop(void *plugin) __asm__("_Z23clone_handle_check_dropPv");
int thd_killed(const struct st_thd *thd);
unsigned long thd_get_thread_id(const struct st_thd *thd);

#endif
