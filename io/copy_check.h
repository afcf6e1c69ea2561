/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The check of a chunk's pages after it was read, and the second look at those
 * that were read while the server wrote them.
 */
#ifndef SC_COPY_CHECK_H
#define SC_COPY_CHECK_H

#include "io/copy.h"

/*
 * Check every page of a chunk of a SC_FILE_PAGES file. fd: the file, open for
 * reading, maybe with O_DIRECT; off, len: the chunk's range; data: its bytes,
 * where a torn page is replaced when it reads whole later. Counts into copy.
 * Blocks; a stream's thread. 0 or -1.
 */
int sc_copy_check(struct sc_copy *copy, const struct sc_file *file, int fd,
		  uint64_t off, void *data, uint32_t len, struct sc_err *err);

/* The errors of a read that failed and of a copy that was stopped. -1. */
int sc_copy_read_failed(const struct sc_file *file, uint64_t off, int sys_errno,
			struct sc_err *err);
int sc_copy_stopped(struct sc_err *err);

#endif
