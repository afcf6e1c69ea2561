/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files a stream has open: that of each request on its way and the last
 * one. A stream's thread only.
 */
#ifndef SC_OPENFILE_H
#define SC_OPENFILE_H

#include "io/engine.h"

#include <stdbool.h>

struct sc_openfile {
	int fd;		/* -1: entry is free */
	uint32_t file;	/* index into the file list */
	unsigned users; /* requests on their way */
	bool direct;	/* O_DIRECT */
};

struct sc_openfiles {
	int (*open)(void *arg, uint32_t file); /* descriptor or -errno */
	void *arg;
	struct sc_engine *engine;	    /* borrowed */
	struct sc_openfile *entries, *last; /* entries: owned */
	unsigned n;
};

/* depth: requests on their way at most. open, arg and engine are set by the
 * caller. 0 or -1 when out of memory. */
int sc_openfiles_init(struct sc_openfiles *of, unsigned depth);
/* Closes all; nothing is on its way. Works on zeroed memory too. */
void sc_openfiles_free(struct sc_openfiles *of);

/* The file, opened if it is not, with one more user. NULL: *ret_errno. */
struct sc_openfile *sc_openfile_get(struct sc_openfiles *of, uint32_t file,
				    int *ret_errno);
static inline void sc_openfile_put(struct sc_openfile *file)
{
	file->users--;
}

#endif
