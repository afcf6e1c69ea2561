/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the stage, shared by stage.c and stage_seal.c only. */
#ifndef SC_STAGE_IMPL_H
#define SC_STAGE_IMPL_H

#include "io/stage.h"

#include "io/redo/build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define SC_CLONE_DIR "#clone"
#define SC_IN_PROGRESS SC_CLONE_DIR "/#status_in_progress"
#define SC_REDO_DIR "#innodb_redo"

/* A stream's last file stays open. */
struct stage_stream {
	uint32_t file;
	int fd;
};

struct sc_staged {
	int target, parent;
	char name[256];
	uid_t uid;
	gid_t gid;
	uint32_t page_size;
	const struct sc_filelist *list; /* borrowed */
	atomic_uchar *have;             /* one per chunk of the list */
	atomic_uint_fast64_t bytes, redo_bytes;
	struct stage_stream *open; /* per stream, index 0 unused */
	unsigned streams;
	struct sc_redo_build *redo;
	uint64_t checkpoint_lsn;

	pthread_mutex_t lock; /* the newest page seen */
	uint64_t max_lsn;
	uint32_t max_file;
	uint64_t max_page;
};

#endif
