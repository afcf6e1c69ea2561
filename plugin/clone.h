/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The three entry points mysqld calls, each on the thread of the statement or
 * connection. They return 0, or the number of the error they raised.
 */
#ifndef SC_PLUGIN_CLONE_H
#define SC_PLUGIN_CLONE_H

#include "plugin/abi.h"

/* CLONE LOCAL DATA DIRECTORY = data_dir */
int sc_clone_local(struct st_thd *thd, const char *data_dir);

/* CLONE INSTANCE FROM ...; data_dir NULL: replace this server's own data. */
int sc_clone_instance(struct st_thd *thd, const char *host, unsigned port,
		      const char *user, const char *password,
		      const char *data_dir, int ssl_mode);

/* A recipient connected with COM_CLONE: be its donor until it leaves. */
int sc_clone_serve(struct st_thd *thd, struct st_socket socket);

#endif
