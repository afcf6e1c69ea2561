/* SPDX-License-Identifier: GPL-2.0-only */
/* Between dm_cow.c and the kinds of areas. */
#ifndef SC_DAEMON_DM_COW_IMPL_H
#define SC_DAEMON_DM_COW_IMPL_H

#include "daemon/dm_cow.h"

/* What an area is wanted for. */
struct sc_dm_cow_need {
	int sys;
	const char *area; /* as configured */
	const struct sc_dm_settings *settings;
	const struct sc_dm_origin *origin;
	uint64_t want; /* bytes: settings->cow_size, or what is to be taken
			  of the room there is */
};

struct sc_dm_cow_kind {
	const char *name;
	uint64_t start; /* first byte that may be used; not 0: by a layer */
	bool on_disk;	/* which may lose writes */
	bool takes_all; /* without a configured size, all that is of use */
	/* How many bytes can it give? 0 or -1 with the reason. Changes
	 * nothing. */
	int (*probe)(const struct sc_dm_cow_need *need, uint64_t *ret_bytes,
		     struct sc_err *err);
	/* Fill cow->lower, bytes, fd, zram. */
	int (*open)(const struct sc_dm_cow_need *need, struct sc_dm_cow *cow,
		    struct sc_err *err);
	int (*close)(struct sc_dm_cow *cow, struct sc_err *err);
	/* NULL: nothing to add. */
	void (*fill)(int sys, const struct sc_dm_cow *cow,
		     struct sc_dm_fill *fill);
};

extern const struct sc_dm_cow_kind sc_dm_cow_raw, sc_dm_cow_loop,
	sc_dm_cow_zram;

/* The size to take of `room` bytes: what is wanted, all there is when that is
 * less and no size was configured, else -1. */
int sc_dm_cow_size(const struct sc_dm_cow_need *need, uint64_t room,
		   const char *where, uint64_t *ret, struct sc_err *err);

/* A snapshot's blocks are as large as the larger ones of origin and area; its
 * file system must be able to read them. block: of the area, bytes. 0 or -1. */
int sc_dm_cow_blocks(const struct sc_dm_cow_need *need, uint32_t block,
		     struct sc_err *err);

#endif
