/* SPDX-License-Identifier: GPL-2.0-only */
/* The two ways the daemon runs: as a service, or embedded in a plugin's job. */
#ifndef SC_DAEMON_SERVER_H
#define SC_DAEMON_SERVER_H

#include "daemon/config.h"

/* Listen on the control socket until SIGTERM or SIGINT; jobs are cancelled
 * then and end cleanly. Exit status of the process. */
int sc_serve(const struct sc_config *config);

/* Serve the connection on descriptor 3 until it ends. A second, abstract
 * socket answers `snapclone status` meanwhile. Exit status of the process. */
int sc_serve_embedded(const struct sc_config *config);

#endif
