/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells the records that notes.h names by their form. Pure functions: any
 * thread.
 */
#ifndef SC_IO_REDO_NOTES_LOOK_H
#define SC_IO_REDO_NOTES_LOOK_H

#include "io/redo/records.h"

enum {
	/* Of a path with its NUL; OS_FILE_MAX_PATH (os0file.h) is 4000. */
	SC_NOTE_PATH = 4096,
	/* The longest record: type, space id, page, lengths, two paths. */
	SC_NOTE_RECORD = 1 + SC_REDO_INT_MAX + 1 + 2 * (2 + SC_NOTE_PATH),
	/* A row of the DDL log is told by the last byte of its type: roll
	 * pointer, thread id and the rest of the type precede that. */
	SC_NOTE_BEFORE = 7 + 8 + 3,
};

enum sc_note_verdict { SC_NOTE_NO, SC_NOTE_MORE, SC_NOTE_YES };

enum sc_note_kind {
	SC_NOTE_NONE,
	SC_NOTE_CREATED,
	SC_NOTE_RENAMED,
	SC_NOTE_DELETED,
	SC_NOTE_LOADED,
	SC_NOTE_BUILT,
	SC_NOTE_DECRYPTED,
};

struct sc_note_found {
	enum sc_note_kind kind;
	uint32_t space_id;
	uint32_t page;	   /* root of the index; files: 0 */
	uint64_t index_id; /* of it; files: 0 */
	bool intermediate; /* renamed from a name that begins with #sql */
};

/* May this byte begin one? Most do not. */
extern const uint8_t sc_note_firsts[256];

/* Is what begins with this byte a mini-transaction of its own? */
static inline bool sc_note_alone(uint8_t first)
{
	return first & SC_REDO_SINGLE;
}

/*
 * Is there one at buf[at], of which len bytes are there? MORE: that depends on
 * what follows. ret is filled when it is YES.
 */
enum sc_note_verdict sc_note_look(const uint8_t *buf, size_t len, size_t at,
				  struct sc_note_found *ret);

#endif
