/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What InnoDB's redo records are made of: a type, then integers in a
 * compressed form. Pure functions: any thread.
 * Source: mtr0types.h, mach_write_compressed() in mach0data.ic.
 */
#ifndef SC_IO_REDO_RECORDS_H
#define SC_IO_REDO_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SC_REDO_8BYTES = 8,	   /* MLOG_8BYTES; 1, 2, 4 are lower */
	SC_REDO_WRITE_STRING = 30, /* MLOG_WRITE_STRING */
	SC_REDO_FILE_CREATE = 33,  /* MLOG_FILE_CREATE */
	SC_REDO_FILE_RENAME = 34,  /* MLOG_FILE_RENAME */
	SC_REDO_FILE_DELETE = 35,  /* MLOG_FILE_DELETE */
	SC_REDO_INDEX_LOAD = 61,   /* MLOG_INDEX_LOAD */
	SC_REDO_TABLE_META = 62,   /* MLOG_TABLE_DYNAMIC_META */
	SC_REDO_LAST_TYPE = 76,	   /* MLOG_BIGGEST_TYPE */
	/* Or-ed to the type of a record that is alone in its
	 * mini-transaction (MLOG_SINGLE_REC_FLAG). */
	SC_REDO_SINGLE = 0x80,
};

enum { SC_REDO_INT_FORMS = 8, SC_REDO_INT_MAX = 5 };

/*
 * Read the compressed integer at p. Returns its length in bytes; 0 when it goes
 * on at end; -1 when the server writes none like that.
 */
int sc_redo_int_read(const uint8_t *p, const uint8_t *end, uint32_t *ret);

/*
 * The other way: is what ends before `end` an integer of this form (0 to
 * SC_REDO_INT_FORMS - 1)? SC_REDO_INT_MAX bytes before end are looked at.
 * Returns its length, 0: no.
 */
size_t sc_redo_int_before(const uint8_t *end, unsigned form, uint32_t *ret);

#endif
