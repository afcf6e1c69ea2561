/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device-mapper tables as values: compared, judged, written down. No device is
 * touched here (that is daemon/dm_dev.h). Any thread.
 */
#ifndef SC_DAEMON_DM_TABLE_H
#define SC_DAEMON_DM_TABLE_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SC_DM_SECTOR 512 /* the unit of all tables */

/* Source: linux/dm-ioctl.h, DM_MAX_TYPE_NAME, DM_NAME_LEN and DM_UUID_LEN. */
#define SC_DM_TYPE_SIZE 16
#define SC_DM_NAME_SIZE 128
#define SC_DM_UUID_SIZE 129

struct sc_dm_target {
	uint64_t start, len; /* sectors */
	char type[SC_DM_TYPE_SIZE];
	char *params; /* owned; a crypt target's hold its key */
};

/* Zero-initialise; free with sc_dm_table_free(), which clears the keys. */
struct sc_dm_table {
	struct sc_dm_target *targets; /* owned */
	unsigned n;
};

int sc_dm_table_add(struct sc_dm_table *table, uint64_t start, uint64_t len,
		    const char *type, const char *params, struct sc_err *err);
void sc_dm_table_free(struct sc_dm_table *table);
#define CLEANUP_DM_TABLE __attribute__((cleanup(sc_dm_table_free)))

/* One target over the whole of `sectors`. params: as printf. */
int sc_dm_table_one(struct sc_dm_table *ret, uint64_t sectors, const char *type,
		    struct sc_err *err, const char *params, ...)
	__attribute__((format(printf, 5, 6)));

bool sc_dm_table_equal(const struct sc_dm_table *a,
		       const struct sc_dm_table *b);
uint64_t sc_dm_table_sectors(const struct sc_dm_table *table);

/* The table is one snapshot-origin target over the device `real`. */
bool sc_dm_table_is_origin(const struct sc_dm_table *table, dev_t real);

/* Its first target is of that type and its parameters begin with that device:
 * what our snapshot and snapshot-origin tables look like. */
bool sc_dm_table_uses(const struct sc_dm_table *table, const char *type,
		      dev_t dev);

/*
 * May a second device with these targets stand beside the first? Then 0. Else
 * -1 and err names the target, the reason and what to use instead. Writes go
 * through one of the two only; what keeps state of its own below (cache, raid,
 * thin pool) would be corrupted by a second instance.
 */
int sc_dm_table_copyable(const struct sc_dm_table *table, const char *name,
			 struct sc_err *err);

/* A table of crypt for `sectors` of `lower` from sector `start` on, of the same
 * cipher and key size as the first crypt target of `like` (aes-xts-plain64
 * with 512 bits when like is NULL or has none), with a random key that nobody
 * else knows. */
int sc_dm_table_random_crypt(struct sc_dm_table *ret,
			     const struct sc_dm_table *like, dev_t lower,
			     uint64_t start, uint64_t sectors,
			     struct sc_err *err);

/* What the status of a snapshot target says. Source: the kernel's
 * Documentation/admin-guide/device-mapper/snapshot.rst and snapshot_status()
 * in drivers/md/dm-snap.c: "Invalid", "Overflow", "Unknown", or
 * "<used>/<total> <metadata>" sectors. */
struct sc_dm_fill {
	bool valid;
	uint64_t used, total; /* bytes */
};

/* 0, or -1 when the text is none of these. */
int sc_dm_fill_parse(const char *status, struct sc_dm_fill *ret);

#endif
