/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Do donor and recipient fit together? The donor lists what it is, the
 * recipient compares with itself by the stock plugin's rules and raises the
 * stock plugin's errors (3864-3868, 3870).
 */
#ifndef SC_PLUGIN_CONFIG_H
#define SC_PLUGIN_CONFIG_H

#include "io/base/err.h"
#include "plugin/com.h"

/* A name in the list beside the variables: tablespace files where no clone has
 * them, separated by commas. */
#define SC_OUTSIDE_FILES "files outside the data directory"
/* Where SQL finds them, column `path`; waits for no metadata lock. */
#define SC_OUTSIDE_FROM                                                        \
	"FROM information_schema.innodb_datafiles WHERE (path LIKE '/%' OR path LIKE '../%') AND LEFT(path, CHAR_LENGTH(@@GLOBAL.datadir)) <> @@GLOBAL.datadir AND space NOT IN (SELECT space FROM information_schema.innodb_tablespaces WHERE space_type IN ('Undo', 'System'))"

/* Another one: how much is encrypted here, 0 = nothing; and the expression that
 * tells, which also waits for nothing. */
#define SC_ENCRYPTED "encrypted tablespaces and logs"
#define SC_ENCRYPTED_COUNT                                                     \
	"@@GLOBAL.innodb_redo_log_encrypt + @@GLOBAL.innodb_undo_log_encrypt + (SELECT COUNT(*) FROM information_schema.innodb_tablespaces WHERE encryption = 'Y')"

/* List this server. Runs SQL on a thread of its own; free the result also
 * after a failure. Returns 0 or -1. */
int sc_config_collect(struct sc_com_config *ret, struct sc_err *err);

/*
 * Compare the donor's list with this server, `own` from sc_config_collect().
 * plugin_dir: where a plugin that is not active here may still be loaded from.
 * Pure except for looking at files there. Returns 0 or -1 with the first
 * mismatch.
 */
int sc_config_compare(const struct sc_com_config *donor,
		      const struct sc_com_config *own, const char *plugin_dir,
		      struct sc_err *err);

/* The value of a variable in the list, or NULL. */
const char *sc_config_variable(const struct sc_com_config *config,
			       const char *name);

/*
 * May a server of version `own` be cloned from one of version `donor`?
 * Same release series; within 8.0 the same patch or both 8.0.37 or newer.
 * Source: MySQL mysys/my_version.cc.
 */
bool sc_config_versions_fit(const char *own, const char *donor);

#endif
