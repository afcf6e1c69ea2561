/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copy-on-write area of an image: where the kernel puts what the donor
 * overwrites while the image lives. On a block device of its own, in a file,
 * or in compressed memory. On a disk it is encrypted with a key that nobody
 * keeps: for origins that are, and because a write that the disk loses then
 * reads as noise, which no page check takes for a page; in clear it would read
 * as zeroes, an empty page, or as a page of an older image.
 */
#ifndef SC_DAEMON_DM_COW_H
#define SC_DAEMON_DM_COW_H

#include "daemon/dm_origin.h"

#include "io/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Notes of what outlives a process, and the lock. Not the service's directory,
 * which systemd removes when the service ends. */
#define SC_DM_RUN_DIR "/run/snapclone.dm"

#define SC_DM_COW_AREAS 4 /* most that can be configured */

/* Settings; see snapcloned(8), dm_cow and what follows it. */
struct sc_dm_settings {
	/* Path of a block device, of a directory, or "zram"; the first that
	 * can be used is. */
	char cow[SC_DM_COW_AREAS][256];
	unsigned n_cow;
	uint64_t cow_size; /* bytes, 0: by free space and write rate */
	uint32_t chunk;	   /* bytes, a power of two from 4 KiB to 512 KiB */
};

#define SC_DM_CHUNK_DEFAULT (32u << 10)

/* Smallest area that is worth a try, bytes. */
#define SC_DM_COW_MIN (16ull << 20)

struct sc_dm_cow {
	const struct sc_dm_cow_kind *kind; /* NULL: not open */
	char text[320]; /* "the file system of /var/cow", for messages */
	dev_t lower;	/* device of that kind */
	bool encrypted; /* by the layer */
	dev_t layer;	/* dm device over it, 0: there is none */
	dev_t dev;	/* what the snapshot is given: one of the two */
	uint64_t bytes; /* of dev that may be used */
	int fd;		/* keeps it, or -1 */
	int zram;	/* its number, or -1 */
};

/*
 * Can one of the areas be used for this origin? Then 0 and *ret_bytes, else -1
 * and err with the reason for the last one. Changes nothing; takes
 * SC_DM_RATE_MS where the donor's write rate is needed. sys: as dm_sysfs.h.
 */
#define SC_DM_RATE_MS 200
int sc_dm_cow_probe(int sys, const struct sc_dm_settings *settings,
		    const struct sc_dm_origin *origin, uint64_t *ret_bytes,
		    struct sc_err *err);

/* Make it. name and uuid: of the layer, should there be one. Made by
 * sc_dm_cow_open() is undone by sc_dm_cow_close(), or, when the process dies,
 * by the kernel, or for the layer and zram by sc_dm_reap(). */
int sc_dm_cow_open(int sys, const struct sc_dm_settings *settings,
		   const struct sc_dm_origin *origin, const char *name,
		   const char *uuid, struct sc_dm_cow *ret, struct sc_err *err);

/* 0 or -1 with what could not be undone. wait_ms: as sc_dm_remove()'s. Closed
 * twice is fine. */
int sc_dm_cow_close(struct sc_dm_cow *cow, unsigned wait_ms,
		    struct sc_err *err);

/* False when it has room for every chunk of the origin, in any case. */
bool sc_dm_cow_can_fill(const struct sc_dm_cow *cow,
			const struct sc_dm_origin *origin, uint32_t chunk);

/* Correct what the snapshot says about its fill by what the area knows: memory
 * may end before the device does. */
void sc_dm_cow_fill(int sys, const struct sc_dm_cow *cow,
		    struct sc_dm_fill *fill);

/* The most that an image can need: every chunk of the origin, once. */
uint64_t sc_dm_cow_most(uint64_t origin_bytes, uint32_t chunk);

/* Bytes an image needs that lives as long as `used` bytes take to copy, with a
 * donor that writes that fast (bytes per second). */
uint64_t sc_dm_cow_want(uint64_t origin_bytes, uint64_t used_bytes,
			uint64_t write_rate, uint32_t chunk);

/* Remove zram devices of processes that died. Number removed or -1. */
int sc_dm_cow_reap_zram(struct sc_err *err);
/* Is there any of ours, of a process that lives too? */
bool sc_dm_cow_has_zram(void);

#endif
