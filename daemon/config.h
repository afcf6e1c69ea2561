/* SPDX-License-Identifier: GPL-2.0-only */
/* Settings of snapcloned: command line over configuration file over default. */
#ifndef SC_DAEMON_CONFIG_H
#define SC_DAEMON_CONFIG_H

#include "daemon/dm_cow.h"
#include "io/base/err.h"
#include "io/base/log.h"
#include "io/engine.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SC_CONFIG_FILE "/etc/snapclone/snapcloned.conf"
#define SC_MAX_ALLOWED_USERS 16

struct sc_config {
	bool embedded;
	bool help, version;
	char socket[108]; /* length of sun_path */
	char config_file[512];
	bool config_given; /* a file named by the user must exist */
	enum sc_log_level log_level;
	enum sc_engine_kind engine; /* auto or sync */
	uint16_t data_port;	    /* 0 = any free one */
	uint32_t max_jobs;	    /* 1..64 */
	uint32_t image_reserve;	    /* MiB, 0 = by the donor's redo log */
	uid_t allowed[SC_MAX_ALLOWED_USERS];
	unsigned n_allowed;
	struct sc_dm_settings dm; /* for images of devices */
};

/* Defaults, then the file, then the options. 0 or -1 with a message that names
 * file and line or the option. */
int sc_config_load(struct sc_config *config, int argc, char **argv,
		   struct sc_err *err);

/* Parse the text of a configuration file. name: for messages. */
int sc_config_parse(struct sc_config *config, const char *name,
		    const char *text, struct sc_err *err);

/* The text of --help. */
void sc_config_usage(void);

#endif
