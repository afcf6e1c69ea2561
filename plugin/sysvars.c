/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of the system variables; see sysvars.h. Source of types, defaults
 * and ranges: MySQL manual, "Clone System Variables", and the stock plugin.
 */
#include "plugin/sysvars.h"

#include "io/base/ctl.h"
#include "io/base/num.h"
#include "plugin/raise.h"
#include "plugin/services.h"

#include <string.h>

#ifndef SC_DAEMON_PATH
#define SC_DAEMON_PATH "/usr/local/libexec/snapclone/snapcloned"
#endif

struct sc_settings sc_settings;

static char *valid_donor_list, *ssl_key, *ssl_cert, *ssl_ca;

static int check_donor_list(struct st_thd *thd, struct st_var *var, void *save,
			    struct st_value *value);

#define VAR_UINT(name_, comment_, def_, min_, max_, block_)                    \
	static struct st_var_uint var_##name_ = {                              \
		{ ST_VAR_INT | ST_VAR_UNSIGNED | ST_VAR_RQCMDARG, #name_,      \
		  comment_, NULL, NULL },                                      \
		&sc_settings.name_,                                            \
		def_,                                                          \
		min_,                                                          \
		max_,                                                          \
		block_                                                         \
	}

#define VAR_BOOL(name_, comment_, def_)                                        \
	static struct st_var_bool var_##name_ = {                              \
		{ ST_VAR_BOOL | ST_VAR_NOCMDARG, #name_, comment_, NULL,       \
		  NULL },                                                      \
		&sc_settings.name_,                                            \
		def_                                                           \
	}

#define VAR_STR(name_, flags_, comment_, check_, value_, def_)                 \
	static struct st_var_str var_##name_ = {                               \
		{ ST_VAR_STR | (flags_), #name_, comment_, check_, NULL },     \
		&(value_),                                                     \
		def_                                                           \
	}

#define STOCK_STR (ST_VAR_OPCMDARG | ST_VAR_MEMALLOC)
#define FIXED_STR (ST_VAR_RQCMDARG | ST_VAR_READONLY | ST_VAR_NOPERSIST)

VAR_UINT(buffer_size, "buffer size used by clone for data transfer", 4 << 20,
	 1 << 20, 256 << 20, 1 << 20);
VAR_BOOL(block_ddl, "If clone should block concurrent DDL", false);
VAR_UINT(ddl_timeout, "Time in seconds to wait for DDL lock", 300, 0,
	 60 * 60 * 24 * 30, 1);
VAR_UINT(max_concurrency, "Maximum number of concurrent threads for clone", 16,
	 1, 128, 1);
VAR_UINT(max_network_bandwidth,
	 "Maximum network bandwidth for clone in MiB/sec", 0, 0, 1024 * 1024,
	 1);
VAR_UINT(max_data_bandwidth, "Maximum File data bandwidth for clone in MiB/sec",
	 0, 0, 1024 * 1024, 1);
VAR_BOOL(enable_compression, "If compression is done at network", false);
VAR_BOOL(autotune_concurrency, "If concurrency is automatically tuned", true);
VAR_STR(valid_donor_list, STOCK_STR,
	"List of valid donor addresses allowed to clone from HOST1:PORT1,HOST2:PORT2,...",
	check_donor_list, valid_donor_list, NULL);
VAR_STR(ssl_key, STOCK_STR, "SSL path name of the SSL private key file", NULL,
	ssl_key, NULL);
VAR_STR(ssl_cert, STOCK_STR, "SSL path name of the public key certificate file",
	NULL, ssl_cert, NULL);
VAR_STR(ssl_ca, STOCK_STR, "SSL path name for Certificate Authority (CA) file",
	NULL, ssl_ca, NULL);
VAR_UINT(
	donor_timeout_after_network_failure,
	"Time in minutes up to which donor allows recipient to re-connect and restart cloning after network failure.",
	5, 0, 30, 1);
VAR_UINT(delay_after_data_drop, "Time in seconds to wait after removing data.",
	 0, 0, 60 * 60, 1);
VAR_BOOL(
	drop_data_first,
	"If CLONE INSTANCE without DATA DIRECTORY drops the recipient's data before it copies, instead of keeping it until the clone is complete",
	false);

static const char *provider_names[] = { "AUTO",	   "DM",   "BTRFS",
					"REFLINK", "LIVE", NULL };
static unsigned provider_lengths[] = { 4, 2, 5, 7, 4, 0 };
_Static_assert(SC_ARRAY_SIZE(provider_names) == SC_PROVIDER_COUNT + 1,
	       "enum sc_provider_choice");
static struct st_typelib provider_typelib = { SC_PROVIDER_COUNT, "provider",
					      provider_names,
					      provider_lengths };
static struct st_var_enum var_provider = {
	{ ST_VAR_ENUM | ST_VAR_RQCMDARG, "provider",
	  "How a donor makes the image that is cloned; AUTO: what the data directory stands on decides",
	  NULL, NULL },
	&sc_settings.provider,
	SC_PROVIDER_AUTO,
	&provider_typelib
};

VAR_STR(daemon_socket, FIXED_STR,
	"Unix socket of the snapcloned service, or AUTO: the service if it runs, else a daemon of our own",
	NULL, sc_settings.daemon_socket, (char *)SC_DAEMON_SOCKET_AUTO);
VAR_STR(daemon_path, FIXED_STR,
	"Program started when no snapcloned service is used", NULL,
	sc_settings.daemon_path, (char *)SC_DAEMON_PATH);

struct st_var *sc_system_variables[] = {
	&var_buffer_size.head,
	&var_block_ddl.head,
	&var_ddl_timeout.head,
	&var_max_concurrency.head,
	&var_max_network_bandwidth.head,
	&var_max_data_bandwidth.head,
	&var_enable_compression.head,
	&var_autotune_concurrency.head,
	&var_valid_donor_list.head,
	&var_ssl_key.head,
	&var_ssl_cert.head,
	&var_ssl_ca.head,
	&var_donor_timeout_after_network_failure.head,
	&var_delay_after_data_drop.head,
	&var_drop_data_first.head,
	&var_provider.head,
	&var_daemon_socket.head,
	&var_daemon_path.head,
	NULL,
};

/* Source: MySQL include/mysql/plugin.h, mysql_var_check_func: the value lives
 * in the statement's memory until mysqld copies it. */
static int check_donor_list(struct st_thd *thd, struct st_var *var, void *save,
			    struct st_value *value)
{
	struct sc_err err = SC_ERR_INIT;
	char buf[1024];
	int len = sizeof(buf);
	const char *list = value->val_str(value, buf, &len);

	(void)var;
	if (list == buf)
		list = sc_alloc_service()->strmake(thd, buf, (size_t)len);
	memcpy(save, &list, sizeof(list));
	if (!list || sc_donor_list_find(list, "", 0) >= 0)
		return 0;
	list = NULL;
	memcpy(save, &list, sizeof(list));
	sc_err_set(
		&err, SC_ER_CLONE_SYS_CONFIG,
		"Invalid Format. Please enter \"<hostname1>:<port1>,...\"' with no extra space");
	return sc_raise(&err);
}

int sc_donor_check_valid(const char *host, unsigned port, struct sc_err *err)
{
	char list[8192];

	if (sc_server_variable("clone_valid_donor_list", list, sizeof(list)) <
	    0)
		return sc_err_set(err, SC_ER_CLONE_SYS_CONFIG,
				  "clone_valid_donor_list is too long");
	if (sc_donor_list_find(list, host, port) > 0)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"%.255s:%u is not found in clone_valid_donor_list: %.200s",
		host, port, list);
}
