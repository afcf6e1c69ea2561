/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System variables clone_*: the stock plugin's 14 with the same types,
 * defaults and ranges, clone_drop_data_first, clone_provider, and two that say
 * where the daemon is. The latter are read-only and not persistable: who may
 * SET variables must not be able to make mysqld run a program.
 */
#ifndef SC_PLUGIN_SYSVARS_H
#define SC_PLUGIN_SYSVARS_H

#include "io/base/err.h"
#include "plugin/abi.h"

#include <stdbool.h>

/* clone_daemon_socket's default: the service if it listens, else our own. */
#define SC_DAEMON_SOCKET_AUTO "AUTO"

/* The numbers are written by mysqld under its own lock and read by us without
 * it: each is one word, and a clone takes what it sees when it starts, of the
 * bandwidths what it sees at any time. */
struct sc_settings {
	unsigned buffer_size; /* bytes read ahead per stream */
	unsigned ddl_timeout; /* s */
	unsigned max_concurrency;
	unsigned max_network_bandwidth;		      /* MiB/s, 0 = no limit */
	unsigned max_data_bandwidth;		      /* MiB/s, 0 = no limit */
	unsigned donor_timeout_after_network_failure; /* min */
	unsigned delay_after_data_drop;		      /* s */
	bool block_ddl;
	bool enable_compression;
	bool autotune_concurrency;
	bool drop_data_first;
	unsigned long provider; /* enum sc_provider_choice */
	char *daemon_socket;	/* fixed after start-up */
	char *daemon_path;	/* fixed after start-up */
};

extern struct sc_settings sc_settings;

/* For the plugin descriptor. */
extern struct st_var *sc_system_variables[];

/*
 * Is host:port in a list "HOST:PORT,..."? Hosts compare without regard to
 * case. Pure function. Returns 1 found, 0 not found, -1 list malformed.
 */
int sc_donor_list_find(const char *list, const char *host, unsigned port);

/* The check a CLONE INSTANCE starts with: host:port must be in
 * clone_valid_donor_list. Statement thread only. Returns 0 or -1 (3869). */
int sc_donor_check_valid(const char *host, unsigned port, struct sc_err *err);

#endif
