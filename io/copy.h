/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copy: streams take chunks from one shared queue, read them from the
 * image, check every page and hand them to the sink.
 *
 * A struct sc_copy is shared by the streams of a job and lives until they are
 * joined; each stream runs sc_copy_stream() in its own thread with its own
 * slots. No lock on the data path: the queue is one atomic counter.
 */
#ifndef SC_COPY_H
#define SC_COPY_H

#include "io/dblwr.h"
#include "io/filelist.h"
#include "io/image.h"
#include "io/rate.h"
#include "io/sink.h"

#include <stdatomic.h>

struct sc_copy {
	const struct sc_filelist *list;
	struct sc_image *image;
	/* The files as they are now: a page that is torn in an image that is
	 * not atomic is read again there; NULL or image: in its own file. */
	struct sc_image *running;
	struct sc_sink *sink;
	struct sc_rate *data_rate;    /* reads; NULL = no limit */
	const struct sc_dblwr *dblwr; /* of an atomic image; NULL = none */
	/* Keys of tablespaces that were encrypted after the files were listed,
	 * or whose page 0 is not on disk yet; NULL = there are none. */
	struct sc_key_source *keys;
	/*
	 * Running files change while they are copied: one that is not what was
	 * listed any more (gone, another one of that name, shorter) is set
	 * aside, its other chunks are not copied, and a later pass settles it.
	 * NULL: that is an error. One per file of the list.
	 */
	atomic_uchar *aside;
	/* With aside: may DDL be why a page of the file is not sound? false: it
	 * is an error. Any stream's thread. */
	bool (*excused)(void *ctx, const struct sc_file *file);
	void *ctx;
	bool same_files; /* what is opened must be the inode that was listed */
	atomic_uint_fast64_t next_chunk;
	atomic_uint_fast64_t bytes_read;
	atomic_uint_fast64_t pages_checked;
	atomic_uint_fast64_t pages_reread;    /* torn when first read */
	atomic_uint_fast64_t pages_repaired;  /* from the doublewrite files */
	atomic_uint_fast64_t pages_unchecked; /* see sc_page_check() */
	atomic_bool stop; /* set by anyone: streams return soon with err set */
};

/*
 * Copy chunks until the queue is empty. slots: the stream's own, all idle
 * before and after; stream: passed to the sink (0: a pass after the first).
 * Blocks. 0 or -1; the sink has been told chunks_end() on success.
 */
int sc_copy_stream(struct sc_copy *copy, struct sc_slots *slots,
		   unsigned stream, struct sc_err *err);

#endif
