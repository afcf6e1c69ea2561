/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Before the copy: what this release cannot clone is refused by name, and the
 * daemon gets its directories as descriptors, so that it opens nothing that
 * mysqld could not. Runs on the job thread.
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "plugin/raise.h"
#include "plugin/config.h"
#include "plugin/outside.h"
#include "plugin/roots.h"
#include "plugin/services.h"
#include "plugin/sysvars.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- prechecks ----------------------------------------------------------- */

static int check_redo_on(struct sc_sql *sql, struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *value;

	if (sc_sql_query(
		    sql, &rows,
		    "SELECT variable_value FROM performance_schema.global_status WHERE variable_name = 'Innodb_redo_log_enabled'",
		    err) < 0)
		return -1;
	value = sc_rows_get(&rows, 0, 0);
	if (value && !strcasecmp(value, "ON"))
		return 0;
	return sc_err_set(
		err, SC_ER_INNODB_REDO_DISABLED,
		"Cannot perform operation as InnoDB redo logging is disabled. Please retry after enabling redo log with ALTER INSTANCE");
}

/* ALTER INSTANCE statements so far. performance_schema.global_status has no
 * counters of statements. */
static int count_alter_instance(struct sc_sql *sql, unsigned long long *ret,
				struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *value;

	if (sc_sql_query(sql, &rows,
			 "SHOW GLOBAL STATUS LIKE 'Com_alter_instance'",
			 err) < 0)
		return -1;
	value = sc_rows_get(&rows, 0, 1);
	if (!value)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the server has no Com_alter_instance");
	*ret = strtoull(value, NULL, 10);
	return 0;
}

int sc_donor_redo_mark(struct sc_donor *d, struct sc_sql *sql,
		       struct sc_err *err)
{
	d->redo_mark_us = sc_wall_us();
	if (check_redo_on(sql, err) < 0)
		return -1;
	return count_alter_instance(sql, &d->alter_instance, err);
}

/* MY-013600, since 9.x MY-014088: InnoDB redo logging is disabled. */
int sc_donor_redo_stayed_on(struct sc_donor *d, struct sc_sql *sql,
			    struct sc_err *err)
{
	unsigned long long now, off;
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	const char *value;

	if (check_redo_on(sql, err) < 0 ||
	    count_alter_instance(sql, &now, err) < 0)
		return -1;
	if (now == d->alter_instance)
		return 0;
	if (sc_sql_queryf(
		    sql, &rows, err,
		    "SELECT COUNT(*) + (@@GLOBAL.log_error_verbosity < 2) FROM performance_schema.error_log WHERE error_code IN ('MY-013600', 'MY-014088') AND UNIX_TIMESTAMP(logged) * 1000000 >= %llu",
		    (unsigned long long)d->redo_mark_us) < 0)
		return -1;
	value = sc_rows_get(&rows, 0, 0);
	off = value ? strtoull(value, NULL, 10) : 1;
	if (!off)
		return 0;
	return sc_err_set(
		err, SC_ER_INNODB_REDO_DISABLED,
		"InnoDB redo logging was disabled during the clone, or may have been (ALTER INSTANCE, log_error_verbosity = 1): what was written meanwhile is in no redo; clone again");
}

static int check_outside(struct sc_sql *sql, const struct sc_ctl_roots *roots,
			 struct sc_err *err)
{
	char names[352];

	if (sc_tables_elsewhere(sql, roots, names, sizeof(names), err) < 0)
		return -1;
	if (!*names)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"tablespaces outside the data directory and innodb_directories, or behind symbolic links, cannot be cloned: %s",
		names);
}

/* All undo tablespaces get the same directory in the clone, as with the stock
 * plugin. */
static int check_undo(struct sc_sql *sql, struct sc_err *err)
{
	char path[300];

	if (sc_undo_elsewhere(sql, path, sizeof(path), err) < 0)
		return -1;
	if (!*path)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"undo tablespaces outside innodb_undo_directory cannot be cloned by this release of snapclone: %s",
		path);
}

int sc_donor_no_new_places(struct sc_donor *d, struct sc_sql *sql,
			   struct sc_err *err)
{
	unsigned long long more;

	if (sc_sql_u64(sql,
		       "SELECT COALESCE(@@GLOBAL.innodb_directories, '') <> ''",
		       &more, err) < 0)
		return -1;
	if (!more)
		return 0;
	return check_outside(sql, &d->roots, err) < 0 ? -1
						      : check_undo(sql, err);
}

static void copy_text(char *dst, size_t cap, const char *src)
{
	snprintf(dst, cap, "%s", src ? src : "");
}

/*
 * innodb_doublewrite_dir as the server reads it: empty is the data directory,
 * and a relative one gets a '#' unless it begins with '#' or '.'. Source:
 * innodb_init_params() in ha_innodb.cc. One below the data directory is told
 * relative to it.
 */
static void find_doublewrite(struct sc_donor_server *server, const char *value)
{
	const char *dir = value ? value : "";
	bool plain = *dir && !strchr("#./", *dir);
	CLEANUP_FREE char *datadir = realpath(".", NULL);
	CLEANUP_FREE char *path = NULL;
	size_t len = datadir ? strlen(datadir) : 0;
	char name[1024];

	snprintf(name, sizeof(name), "%s%.1000s", plain ? "#" : "", dir);
	path = realpath(*name ? name : ".", NULL);
	if (path && datadir && !strcmp(path, datadir))
		copy_text(server->doublewrite_dir,
			  sizeof(server->doublewrite_dir), "");
	else if (path && datadir && !strncmp(path, datadir, len) &&
		 path[len] == '/')
		copy_text(server->doublewrite_dir,
			  sizeof(server->doublewrite_dir), path + len + 1);
	else
		copy_text(server->doublewrite_dir,
			  sizeof(server->doublewrite_dir), path ? path : name);
}

/* Cut off, it would name another directory. */
static int copy_directories(struct sc_donor_server *server, const char *value,
			    struct sc_err *err)
{
	copy_text(server->directories, sizeof(server->directories), value);
	if (!value || strlen(value) < sizeof(server->directories))
		return 0;
	return sc_err_set(err, SC_ER_CLONE_SYS_CONFIG,
			  "innodb_directories has more than %zu characters",
			  sizeof(server->directories) - 1);
}

static int read_server(struct sc_donor *d, struct sc_sql *sql,
		       struct sc_err *err)
{
	CLEANUP_ROWS struct sc_rows rows = { 0 };
	struct sc_donor_server *server = &d->server;
	const char *redo_home, *page_size, *flush_method;

	if (sc_sql_query(
		    sql, &rows,
		    "SELECT @@GLOBAL.innodb_page_size, @@GLOBAL.server_uuid, @@GLOBAL.innodb_data_file_path, @@GLOBAL.innodb_log_group_home_dir, COALESCE(NULLIF(@@GLOBAL.innodb_tmpdir, ''), SUBSTRING_INDEX(@@GLOBAL.tmpdir, ':', 1)), @@GLOBAL.innodb_flush_method, @@GLOBAL.innodb_doublewrite_dir, @@GLOBAL.innodb_undo_directory, @@GLOBAL.innodb_data_home_dir, @@GLOBAL.innodb_directories",
		    err) < 0)
		return -1;
	page_size = sc_rows_get(&rows, 0, 0);
	server->page_size = page_size ? (uint32_t)atoi(page_size) : 0;
	copy_text(server->uuid, sizeof(server->uuid), sc_rows_get(&rows, 0, 1));
	copy_text(server->data_file_path, sizeof(server->data_file_path),
		  sc_rows_get(&rows, 0, 2));
	redo_home = sc_rows_get(&rows, 0, 3);
	snprintf(server->redo_dir, sizeof(server->redo_dir),
		 "%.1000s/#innodb_redo",
		 redo_home && *redo_home ? redo_home : ".");
	flush_method = sc_rows_get(&rows, 0, 5);
	server->buffered =
		!flush_method || strncmp(flush_method, "O_DIRECT", 8) != 0;
	copy_text(server->spool_dir, sizeof(server->spool_dir),
		  sc_rows_get(&rows, 0, 4));
	find_doublewrite(server, sc_rows_get(&rows, 0, 6));
	copy_text(server->undo_dir, sizeof(server->undo_dir),
		  sc_rows_get(&rows, 0, 7));
	copy_text(server->data_home, sizeof(server->data_home),
		  sc_rows_get(&rows, 0, 8));
	return copy_directories(server, sc_rows_get(&rows, 0, 9), err);
}

/* As the stock plugin. What it does not see, a key that only the redo has, is
 * refused when the daemon asks for it. */
static int check_tls(struct sc_donor *d, struct sc_sql *sql, struct sc_err *err)
{
	unsigned long long n;

	if (d->request.local || d->request.tls)
		return 0;
	if (sc_sql_u64(sql, "SELECT " SC_ENCRYPTED_COUNT, &n, err) < 0)
		return -1;
	return n ? sc_donor_needs_tls(err) : 0;
}

static int open_roots(const struct sc_donor *d, struct sc_own_roots *ret,
		      struct sc_err *err)
{
	const struct sc_root_settings settings = {
		.undo_directory = d->server.undo_dir,
		.data_home_dir = d->server.data_home,
		.data_file_path = d->server.data_file_path,
		.directories = d->server.directories,
	};

	return sc_own_roots_open(ret, &settings, err);
}

int sc_donor_precheck(struct sc_donor *d, struct sc_sql *sql,
		      struct sc_err *err)
{
	CLEANUP_ROOTS struct sc_own_roots roots = { 0 };

	if (check_redo_on(sql, err) < 0 || read_server(d, sql, err) < 0 ||
	    open_roots(d, &roots, err) < 0)
		return -1;
	if (check_outside(sql, &roots.m, err) < 0 || check_undo(sql, err) < 0)
		return -1;
	return check_tls(d, sql, err);
}

/* ---- DONOR_START --------------------------------------------------------- */

static int open_dir(const char *path, const char *what, struct sc_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
			   "cannot open the %s %s", what, path);
	return fd;
}

static void fill_start(const struct sc_donor *d,
		       const struct sc_ctl_roots *roots,
		       struct sc_ctl_donor_start *m)
{
	const struct sc_donor_request *request = &d->request;

	memcpy(m->job_id, d->state.job_id, sizeof(m->job_id));
	memcpy(m->key, d->state.key, sizeof(m->key));
	m->tls = request->tls;
	m->local = request->local;
	m->compress = request->compress;
	m->buffered = d->server.buffered;
	m->block_ddl = request->block_ddl;
	m->provider = (uint8_t)sc_settings.provider;
	m->streams = request->streams;
	m->autotune = sc_settings.autotune_concurrency;
	m->buffer_size = sc_settings.buffer_size;
	m->data_bandwidth = request->data_bandwidth;
	m->network_bandwidth = request->network_bandwidth;
	m->page_size = d->server.page_size;
	m->quiet_lsn = d->quiet_lsn;
	m->n_discarded = d->n_discarded;
	memcpy(m->discarded, d->discarded, sizeof(m->discarded));
	copy_text(m->bind_address, sizeof(m->bind_address),
		  request->bind_address);
	copy_text(m->peer, sizeof(m->peer), request->peer);
	copy_text(m->donor_uuid, sizeof(m->donor_uuid), d->server.uuid);
	copy_text(m->data_file_path, sizeof(m->data_file_path),
		  d->server.data_file_path);
	copy_text(m->doublewrite_dir, sizeof(m->doublewrite_dir),
		  d->server.doublewrite_dir);
	copy_text(m->target_name, sizeof(m->target_name), request->target_name);
	m->roots = *roots;
}

int sc_donor_send_start(struct sc_donor *d, struct sc_sql *sql,
			struct sc_err *err)
{
	CLEANUP_ROOTS struct sc_own_roots roots = { 0 };
	CLEANUP_CLOSE int redo =
		open_dir(d->server.redo_dir, "redo directory", err);
	CLEANUP_CLOSE int spool =
		open_dir(d->server.spool_dir, "temporary directory", err);
	int n = d->request.local ? SC_DONOR_FDS_LOCAL : SC_DONOR_FDS_REMOTE;
	int fds[SC_DONOR_FDS_MAX] = {
		[SC_DONOR_FD_REDO] = redo,
		[SC_DONOR_FD_SPOOL] = spool,
		[SC_DONOR_FD_TARGET] = d->request.target_fd,
		[SC_DONOR_FD_PARENT] = d->request.parent_fd,
	};
	struct sc_ctl_donor_start start = { 0 };
	struct sc_enc enc = { 0 };

	if (sc_err_is_set(err) || sc_donor_check_cancel(d, err) < 0 ||
	    open_roots(d, &roots, err) < 0 ||
	    sc_external_mark(sql, &roots.m, err) < 0)
		return -1;
	fds[SC_DONOR_FD_DATADIR] = roots.fd[0];
	for (int i = 1; i < roots.m.n; i++)
		fds[n++] = roots.fd[i];
	d->roots = roots.m;
	fill_start(d, &roots.m, &start);
	sc_ctl_put_donor_start(&enc, &start);
	explicit_bzero(start.key, sizeof(start.key));
	d->start_sent = true;
	return sc_link_send(&d->link, SC_CTL_DONOR_START, &enc, fds, n, err);
}
