/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The doublewrite files of an image: where a torn page's whole copy is found.
 *
 * InnoDB writes a page to a doublewrite file and makes that durable before it
 * writes the page to its place. An atomic image shows the moment of a crash:
 * pages in flight may be torn, and have their copies here. Loaded once and
 * read-only after that; the streams of a job may share it.
 *
 * A copy that is older than the image's checkpoint is none of a page in flight:
 * what is being written was dirty, and every change of a dirty page is newer
 * than the checkpoint. Such a copy is left over from an earlier write, and
 * taking it for a page that is damaged would bring old rows back silently.
 * Source: buf/buf0dblwr.cc (files of 8.0.20 and later), buf0dblwr.h.
 */
#ifndef SC_IO_DBLWR_H
#define SC_IO_DBLWR_H

#include "io/pages.h"

struct sc_dblwr;

/* What the files have for a page. */
enum sc_dblwr_result {
	SC_DBLWR_REPAIRED,
	SC_DBLWR_NONE,	   /* no sound copy */
	SC_DBLWR_STALE,	   /* only copies older than the checkpoint */
	SC_DBLWR_NOT_KEPT, /* written, but innodb_doublewrite=DETECT_ONLY */
};

/*
 * Read the doublewrite files #ib_<page_size>_<n>.dblwr and .bdblwr of a
 * directory. dir: innodb_doublewrite_dir in the image, else its data
 * directory; a copy of the descriptor is kept. page_size: innodb_page_size;
 * checkpoint: the LSN that recovery starts at, C. A directory without such
 * files is no error (innodb_doublewrite=OFF). Memory: 32 bytes per page in the
 * files. 0 with *ret to be freed by the caller, or -1. Blocks.
 */
int sc_dblwr_load(int dir, uint32_t page_size, uint64_t checkpoint,
		  struct sc_dblwr **ret, struct sc_err *err);

/* NULL is fine. */
void sc_dblwr_free(struct sc_dblwr *dblwr);

/* Number of copies in the files, sound or not. */
size_t sc_dblwr_count(const struct sc_dblwr *dblwr);

/*
 * Put the newest sound copy of a page in its place. spec, page_no: which page;
 * opener: as for sc_page_check(), not NULL; page: spec->physical_size bytes,
 * changed only when *ret becomes SC_DBLWR_REPAIRED. 0 or -1 (a file cannot be
 * read). Blocks; any thread.
 */
int sc_dblwr_repair(const struct sc_dblwr *dblwr,
		    const struct sc_page_spec *spec, uint32_t page_no,
		    struct sc_page_opener *opener, void *page,
		    enum sc_dblwr_result *ret, struct sc_err *err);

/* "holds no sound copy of it", ... to follow "the doublewrite files". */
const char *sc_dblwr_result_text(enum sc_dblwr_result result);

#endif
