/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one place where an error record becomes an error of a SQL statement.
 * Only the thread of the statement calls these.
 */
#ifndef SC_PLUGIN_RAISE_H
#define SC_PLUGIN_RAISE_H

#include "io/base/err.h"
#include "plugin/abi.h"

/* Error numbers of mysqld that are not the plugin's own (err.h has those). */
enum {
	SC_ER_CANT_CREATE_DB = 1006,
	SC_ER_INNODB_REDO_DISABLED = 3983,
};

/* What the client gets, as the stock plugin wraps a donor's error. */
#define SC_DONOR_ERROR_FORMAT "%u : %s"

/*
 * Raise err in the current statement and return its number, the value that an
 * entry point of the plugin returns to the SQL layer. Numbers whose format
 * takes one text get err->msg as this text, numbers without arguments their
 * own text, all others err->msg as the whole text. An empty record raises an
 * internal error: a failure without an error would be "Query OK" to clients.
 */
int sc_raise(const struct sc_err *err);

/*
 * The result of an entry point. With an error already raised in thd (by the
 * clone_protocol service) that one stays and is copied into err; else
 * err is raised if it is set. Returns 0 or the number raised.
 */
int sc_raise_result(struct st_thd *thd, struct sc_err *err);

/* Copy the error raised in thd, if any, into an empty err. True if there was
 * one. */
bool sc_raised(struct st_thd *thd, struct sc_err *err);

#endif
