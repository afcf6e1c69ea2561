/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The files of a redo directory: names, sizes and headers. A running server
 * renames and recycles them at any moment, so a listing is only ever a guess
 * to be checked against what the files say of themselves. Thread rule: any
 * thread, blocks on I/O.
 */
#ifndef SC_IO_REDO_FILES_H
#define SC_IO_REDO_FILES_H

#include "io/base/err.h"
#include "io/redo/format.h"

/* Size of a buffer for a redo file name: prefix, 20 digits, _tmp, NUL. */
enum { SC_REDO_NAME_SIZE = 40 };

struct sc_redo_file {
	uint64_t id;
	uint64_t size; /* bytes */
	struct sc_redo_header header;
	bool header_ok;			     /* readable with a right crc */
	uint8_t blocks[SC_REDO_FILE_HEADER]; /* the four header blocks */
};

struct sc_redo_files {
	struct sc_redo_file *file; /* owned, ascending ids */
	size_t count;
	uint64_t spare_bytes; /* sum of the sizes of #ib_redo<N>_tmp */
	bool changed;	      /* a file vanished or changed while being read */
};

void sc_redo_files_free(struct sc_redo_files *files);
#define CLEANUP_REDO_FILES __attribute__((cleanup(sc_redo_files_free)))

/* "#ib_redo<id>". Source: LOG_FILE_BASE_NAME in log0constants.h. */
void sc_redo_file_name(uint64_t id, char name[SC_REDO_NAME_SIZE]);

/* Parse such a name. Returns 0 for a file in use, 1 for a spare (..._tmp), -1
 * for anything else. */
int sc_redo_file_name_parse(const char *name, uint64_t *ret_id);

/*
 * List the files in use with their headers. dirfd: borrowed; its file offset is
 * not used. ret: to be freed also after a failure. Files that vanish
 * meanwhile, are too short or have a wrong crc do not fail the call: see
 * `changed` and `header_ok`. Returns 0 or -1 (cannot read the directory or
 * a file in it).
 */
int sc_redo_files_list(int dirfd, struct sc_redo_files *ret,
		       struct sc_err *err);

/*
 * Read size and header of one open file. Returns 0 or -errno; a file too short
 * or with a wrong crc is 0 with header_ok false.
 */
int sc_redo_file_read(int fd, struct sc_redo_file *ret);

/* LSN behind the last block that fits. Source: log_file_compute_end_lsn(). */
static inline uint64_t sc_redo_file_end(const struct sc_redo_file *file)
{
	return file->header.start_lsn +
	       sc_redo_align(file->size - SC_REDO_FILE_HEADER);
}

static inline bool sc_redo_file_holds(const struct sc_redo_file *file,
				      uint64_t lsn)
{
	return file->header_ok && file->header.start_lsn <= lsn &&
	       lsn < sc_redo_file_end(file);
}

/* The newest valid checkpoint of one file: inside that file; 0 = none.
 * *ret_torn is set when a slot had a wrong crc (the other one then counts
 * alone). */
uint64_t sc_redo_file_checkpoint(const struct sc_redo_file *file,
				 bool *ret_torn);

#endif
