/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of jobs a campaign goes through, and the donors they clone. Each
 * is a way of its own through the daemons. All read and write by engine `sync`,
 * so that calls can be counted: requests through io_uring are failed by the
 * engine `fault` (tests/unit/test_faults.c, tests/it/test_faults.py).
 */
#ifndef SC_FAULT_HOW_H
#define SC_FAULT_HOW_H

#include "io/base/ctl.h"

#include <stdbool.h>

enum how {
	REMOTE,	  /* CLONE INSTANCE ... DATA DIRECTORY, over TLS */
	PLAIN,	  /* the same without TLS */
	IN_PLACE, /* CLONE INSTANCE */
	LOCAL,	  /* CLONE LOCAL: only the donor's daemon */
	REBUILT,  /* of encrypted files that DDL wrote without redo: copied
		     again, also without the lock */
	REFLINK,  /* from a reflink image */
	BTRFS,	  /* from a snapshot */
	SHARED,	  /* CLONE LOCAL by sharing extents */
	/* Redo is lost: */
	LOST,	    /* in the copy: begins anew */
	LOST_IMAGE, /* but the image has it: ends at S */
	LOST_PASS,  /* when files were copied again since the image: anew */
	HOWS,
};

/* Where and of what a donor is; recipients and clones lie beside it. */
enum donor {
	IN_MEMORY, /* tmpfs, or where that is not */
	AFTER_DDL, /* there too; encrypted, its redo too, with DDL in that */
	ON_XFS,
	ON_BTRFS,
	AFTER_DDL_ON_BTRFS,
	DONORS,
};

struct how_traits {
	const char *name;
	enum donor donor;
	enum sc_provider_choice provider;
	bool tls, local, in_place, compress;
	bool alters; /* files are renamed, dropped, made during the copy */
	/* COPIED comes at least so often: what must be copied again is more
	 * than may be under the lock. */
	unsigned passes;
	const char *lose; /* SNAPCLONE_LOSE_REDO of the donor's daemon */
	const char *says; /* without faults, the log of the donor's daemon */
};
extern const struct how_traits how_traits[HOWS];

#endif
