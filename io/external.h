/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Directories of external tablespaces (io/base/roots.h), walked. What else lies
 * there is not ours: other roots, data directories of servers and clones, what
 * symbolic links lead to and what may not be read are gone round.
 */
#ifndef SC_EXTERNAL_H
#define SC_EXTERNAL_H

#include "io/base/roots.h"

struct sc_external_walk {
	const struct sc_roots *roots;
	/* A regular file. dir: of it, borrowed; path: relative to the root.
	 * NULL: none is called. 0 or -1, which ends the walk. */
	int (*file)(void *arg, int dir, const char *name, const char *path,
		    struct sc_err *err);
	/* A directory, after what is in it; or NULL. */
	int (*directory)(void *arg, int dir, struct sc_err *err);
	void *arg;
};

/* Walk one of the roots. What vanishes meanwhile is left out. 0 or -1. */
int sc_external_walk(const struct sc_external_walk *walk, unsigned root,
		     struct sc_err *err);

/* Is that directory, found below a root for external tablespaces, gone round?
 */
bool sc_external_skips(const struct sc_roots *roots, int dir);

#endif
