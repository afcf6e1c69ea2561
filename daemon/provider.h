/* SPDX-License-Identifier: GPL-2.0-only */
/* Providers: how an image of the donor's data directory is made. */
#ifndef SC_DAEMON_PROVIDER_H
#define SC_DAEMON_PROVIDER_H

#include "io/base/err.h"
#include "io/image.h"

struct sc_provider {
	const char *name;
	/* datadir: the donor's, borrowed while the image lives. Free the image
	 * by its close(). Returns 0 or -1. */
	int (*open)(int datadir, struct sc_image **ret, struct sc_err *err);
};

/* Reads the running files; a page that is being written is read again. Needs
 * that DDL is held off while it copies. Any file system, no privilege. */
extern const struct sc_provider sc_provider_live;

#endif
