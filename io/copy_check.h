/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The check of a chunk's pages after it was read, and the second look at those
 * that are not sound: in a running file they are read again, in an atomic
 * image repaired from the doublewrite files.
 */
#ifndef SC_COPY_CHECK_H
#define SC_COPY_CHECK_H

#include "io/copy.h"

/* A stream's own: memory to open pages in, and what page 0 of the file that is
 * being copied says. Allocated once, NULL when out of memory; the copy is
 * borrowed. */
struct sc_copy_checker *sc_copy_checker_new(struct sc_copy *copy);
void sc_copy_checker_free(struct sc_copy_checker *checker);

/*
 * Check every page of a chunk of a SC_FILE_PAGES file. file: told apart from
 * others by its address, as in a struct sc_filelist. fd: the file, open for
 * reading, maybe with O_DIRECT; off, len: the chunk's range; data: its bytes,
 * where a torn page is replaced by the whole one. A part of a page at the
 * file's end becomes zeroes: it was still being written when the file was
 * listed, so redo has it all. Counts into the copy. Blocks. 0 or -1.
 */
int sc_copy_check(struct sc_copy_checker *checker, const struct sc_file *file,
		  int fd, uint64_t off, void *data, uint32_t len,
		  struct sc_err *err);

/* The errors of a read that failed and of a copy that was stopped. -1. */
int sc_copy_read_failed(const struct sc_file *file, uint64_t off, int sys_errno,
			struct sc_err *err);
int sc_copy_stopped(struct sc_err *err);

#endif
