/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an image could not give back (struct sc_image, undo(), and a making that
 * failed). Nobody waits for that: it is logged as an error, told by `snapclone
 * status`, and removed before the next image is made, or by reaping
 * (daemon/provider.h). One record of the process, of the last failure. Any
 * thread; nothing blocks.
 */
#ifndef SC_DAEMON_LEFT_H
#define SC_DAEMON_LEFT_H

#include "io/base/err.h"

#include <stdbool.h>

struct sc_left {
	const char *provider; /* its name; static text */
	unsigned serial;      /* of the record, 1... */
	char text[SC_ERR_MSG_SIZE];
};

/* Log and keep it. provider: a static text. */
void sc_left_keep(const char *provider, const struct sc_err *why);

/* What was kept last, and may be there still; false: nothing. */
bool sc_left_get(struct sc_left *ret);

/* That is gone. Does nothing when something was kept since it was got. */
void sc_left_forget(const struct sc_left *left);

#endif
