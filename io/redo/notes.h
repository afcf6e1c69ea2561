/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Notes what the redo says of DDL, by tablespace: which files were created,
 * renamed or deleted, and where pages were written without redo. Whoever copies
 * running files without holding DDL off must copy such tablespaces anew.
 *
 * The redo is not parsed, records are found by their form (so a note may be
 * wrong: a file is then copied once more than needed; none is missed):
 *
 *  MLOG_FILE_CREATE 33, MLOG_FILE_RENAME 34, MLOG_FILE_DELETE 35
 *      the type (| 0x80: alone in its mini-transaction), space id and page 0 in
 *      InnoDB's compressed form; u32 flags (CREATE only), u16 length (with the
 *      NUL) and path, of RENAME a second one. Source: fil0fil.cc.
 *  MLOG_INDEX_LOAD 61 | 0x80
 *      space id and page compressed, u64 index id: an index was built without
 *      redo, and its pages are on disk. It is a mini-transaction, so one
 *      begins there in the block, and another follows. Source:
 *      Builder::write_redo() in ddl0builder.cc.
 *  a row of mysql.innodb_ddl_log of type 1, FREE_TREE
 *      roll pointer, u64 thread id, u32 1, u32 space id, u32 page, u64 index
 *      id, all big-endian and one behind the other within MLOG_REC_INSERT:
 *      an index is created or dropped, and may be built in a table that
 *      exists. The only sign of ALTER TABLE ... ADD INDEX,
 *      ALGORITHM=INPLACE, LOCK=SHARED, which ends without MLOG_INDEX_LOAD.
 *      A record that is inserted leaves out what it begins with as the one
 *      before it does: that ends within the row's id, which comes first.
 *      Source: Log_DDL::insert_free_tree_log() in log0ddl.cc,
 *      page_cur_insert_rec_write_log() in page0cur.cc.
 *  MLOG_WRITE_STRING 30 of 111 zeroes to page 0
 *      type, space id and page 0 compressed, u16 offset, u16 length, zeroes:
 *      ALTER TABLESPACE ... ENCRYPTION='N' has ended. No page on disk is
 *      encrypted then, and recovery forgets the key when it gets there: a
 *      page that was copied before could not be read. Source:
 *      decrypt_end() in fsp0fsp.cc, MLOG_WRITE_STRING in log0recv.cc.
 *
 * One thread writes; any may ask.
 */
#ifndef SC_IO_REDO_NOTES_H
#define SC_IO_REDO_NOTES_H

#include "io/base/err.h"
#include "io/redo/format.h"

struct sc_redo_notes;

/* NULL when out of memory; free with sc_redo_notes_free(). */
struct sc_redo_notes *sc_redo_notes_new(void);
void sc_redo_notes_free(struct sc_redo_notes *notes);

/*
 * Look at the next block. plain: the clear text of a complete block, or of the
 * last one; lsn: of the block. Blocks must follow each other, but the last
 * partial one may come again, grown. A note's LSN is that of the end of the
 * data that completed its record, as the server counts. 0 or -1 (out of
 * memory).
 */
int sc_redo_notes_block(struct sc_redo_notes *notes, const uint8_t *plain,
			uint64_t lsn, struct sc_err *err);

/*
 * What looks like MLOG_INDEX_LOAD may be some numbers of a row (up to 5 times
 * in 1 MiB of redo that has many). If it is not, the pages are on disk already,
 * and the index has its root there. is_real: does that page of the tablespace
 * say that it belongs to that index? true when that cannot be told. Each note
 * is asked for once and forgotten when it is not. Any thread, one at a time.
 * Returns how many were not.
 */
typedef bool sc_redo_note_fn(void *ctx, uint32_t space_id, uint32_t page,
			     uint64_t index_id);
size_t sc_redo_notes_weed(struct sc_redo_notes *notes, sc_redo_note_fn *is_real,
			  void *ctx);

/*
 * Pages of the tablespace may have been written without redo by DDL that was
 * noted above this LSN: it was created, renamed from a name that begins with
 * #sql (a table that was built under it), an index was built in it, or it was
 * decrypted.
 * bytes: size of its file; notes of pages beyond are not of it.
 */
bool sc_redo_notes_unlogged(struct sc_redo_notes *notes, uint32_t space_id,
			    uint64_t above_lsn, uint64_t bytes);

/* A file of it was deleted (dropped or discarded) above this LSN. One that is
 * there nevertheless was imported: without redo. */
bool sc_redo_notes_deleted(struct sc_redo_notes *notes, uint32_t space_id,
			   uint64_t above_lsn);

/* For the log: how many of which there were. */
struct sc_redo_notes_count {
	uint64_t created, renamed, deleted, loaded, built, decrypted;
};
void sc_redo_notes_count(struct sc_redo_notes *notes,
			 struct sc_redo_notes_count *ret);

#endif
