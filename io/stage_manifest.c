/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stage's manifest, written at the seal, so that the commit has nothing of
 * its size to write. In place it is staged and swapped in as data files are
 * (inplace.c): what an older clone left there comes back with the old data.
 * Job's thread.
 */
#include "io/stage_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/ctl.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>

static uint64_t between(uint64_t from_ms, uint64_t to_ms)
{
	return to_ms - SC_MIN(from_ms, to_ms);
}

static struct sc_manifest_head make_head(const struct sc_staged *stage,
					 const struct sc_seal *seal)
{
	const struct sc_ctl_seal *m = &seal->mark;

	return (struct sc_manifest_head){
		.checkpoint_lsn = stage->checkpoint_lsn,
		.image_lsn = seal->image_lsn,
		.end_lsn = m->end_lsn,
		.seal_begin_us = m->seal_begin_us,
		.binlog_position = m->binlog_position,
		.began_us = stage->began_us,
		.create_ms = between(stage->begin_ms, stage->created_ms),
		.copy_ms = between(stage->created_ms, stage->copied_ms),
		.redo_ms = between(stage->copied_ms, stage->sealing_ms),
		.seal_ms = between(stage->sealing_ms, sc_now_ms()),
		.swap_us = seal->swap_us,
		.undo_us = seal->undo_us,
		.streams = stage->streams_used,
		.redo_bytes = stage->redo_bytes,
		.wire_bytes = stage->network,
		.page_size = stage->page_size,
		.redo_encrypted = stage->have_redo_key,
		.binlog_file = m->binlog_file,
		.gtid_flushed = m->gtid_flushed,
		.gtid_executed = m->gtid_executed,
		.redo_lost = m->redo_lost,
		.donor_uuid = seal->donor_uuid,
		.donor_version = stage->donor_version,
		.provider = seal->provider,
		.engine = stage->engine,
		.snapclone = SC_VERSION,
	};
}

int stage_write_manifest(struct sc_staged *stage, const struct sc_seal *seal,
			 struct sc_err *err)
{
	static const char path[] = SC_CLONE_DIR "/" SC_MANIFEST_NAME;
	const struct sc_manifest_head head = make_head(stage, seal);
	const struct sc_manifest_files files = {
		.list = stage->list,
		.sizes = seal->sizes,
		.digests = (const uint8_t(*)[SC_DIGEST_SIZE])stage->digests,
	};
	char name[STAGE_NAME_CAP];
	int fd = sc_open_beneath(stage_name(stage, path, name), name,
				 O_WRONLY | O_CREAT | O_EXCL, 0640);

	if (fd < 0)
		return stage_error(-fd, path, err);
	if (geteuid() == 0 && fchown(fd, stage->uid, stage->gid) < 0)
		stage_error(errno, path, err);
	else if (sc_manifest_write(fd, &head, &files, err) == 0)
		return fd;
	close(fd);
	return -1;
}
