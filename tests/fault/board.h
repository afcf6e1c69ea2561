/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What campaign.c and the daemon it plays with share: a file that both map,
 * named by the environment variable SNAPCLONE_FAULT_BOARD. It says which call
 * of the daemon fails, and the daemon counts its calls there and notes its
 * steps. hooks.c is the daemon's half; it is linked into builds with hooks.
 */
#ifndef SC_FAULT_BOARD_H
#define SC_FAULT_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Calls that are counted together. */
enum fault_class {
	FAULT_MEMORY,  /* malloc() and its like, mmap(), pthread_create() */
	FAULT_READ,    /* of files: open, read, stat */
	FAULT_WRITE,   /* what changes files and directories, fsync() too */
	FAULT_NET,     /* on TCP sockets */
	FAULT_CONTROL, /* on Unix sockets */
	FAULT_BITS,    /* recv() on TCP sockets: one bit is wrong */
	FAULT_CLASSES,
};

enum { FAULT_MAX_MARKS = 64, FAULT_NAME = 48 };

struct fault_board {
	/* The plan. */
	uint32_t class;
	int32_t error; /* errno of the call that fails */
	uint64_t at;   /* its number in its class, from 1; 0 = none */

	/* What happened. */
	atomic_uint_fast64_t seen[FAULT_CLASSES];
	atomic_bool hit;
	char call[FAULT_NAME]; /* that failed */
	uint32_t after;	       /* marks that were set then */
	atomic_uint n_marks;
	struct {
		char step[FAULT_NAME]; /* "table:step" that is done */
		uint64_t seen[FAULT_CLASSES];
	} marks[FAULT_MAX_MARKS];
};

#endif
