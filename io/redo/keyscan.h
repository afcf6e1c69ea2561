/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds the encryption information in a stream of redo: whoever recovers from
 * that redo needs the master keys it names, also those of tables that are gone
 * (a key that is missing ends recovery: fil_tablespace_redo_encryption() in
 * fil0fil.cc). It is written by one kind of record: MLOG_WRITE_STRING (30),
 * space id and page 0 in InnoDB's compressed form, offset and length in two
 * bytes each, then the information. The records around it are not parsed; what
 * precedes the information must be exactly that.
 * Source: mlog_log_string() in mtr0log.cc, mach_write_compressed() in
 * mach0data.ic.
 *
 * One thread.
 */
#ifndef SC_IO_REDO_KEYSCAN_H
#define SC_IO_REDO_KEYSCAN_H

#include "io/keys.h"
#include "io/redo/format.h"

/* Bytes before the information: type, space id, page, offset, length. */
#define SC_KEYSCAN_BEFORE 11
#define SC_KEYSCAN_KEEP (SC_KEYSCAN_BEFORE + SC_KEY_INFO_SIZE - 1)

/* Zero-initialise. */
struct sc_redo_keyscan {
	uint8_t buf[SC_KEYSCAN_KEEP + SC_REDO_BLOCK];
	size_t len; /* bytes in buf */
};

/* What was found. info: SC_KEY_INFO_MAX bytes. 0, or -1 to end the scan. */
typedef int sc_redo_keyscan_fn(void *ctx, uint32_t space_id,
			       const uint8_t *info, struct sc_err *err);

/*
 * Look at the next block. plain: the clear text of a complete block, or of the
 * last one. Blocks must follow each other. Returns 0, or -1 when found() did.
 */
int sc_redo_keyscan_block(struct sc_redo_keyscan *scan, const uint8_t *plain,
			  sc_redo_keyscan_fn *found, void *ctx,
			  struct sc_err *err);

#endif
