/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding the redo file of an LSN in a directory that changes. */
#include "io/redo/locate.h"

#include "io/base/clock.h"
#include "io/redo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum {
	LOCATE_TRIES = 5,
	LOCATE_WAIT_MS = 2,
	/* Torn blocks and vanishing files settle in microseconds. */
	STUCK_MS = 2000,
};

static void drop_file(struct sc_redo_place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

bool sc_redo_place_stuck(struct sc_redo_place *p)
{
	uint64_t now = sc_now_ms();

	if (!p->stuck_since)
		p->stuck_since = now;
	return now - p->stuck_since >= STUCK_MS;
}

static int other_log(struct sc_redo_place *p, uint32_t uuid, struct sc_err *err)
{
	return sc_err_set(err, SC_ER_CLONE_DONOR,
			  "the redo log was created anew while it was followed"
			  " (uuid %u, was %u)",
			  uuid, p->uuid);
}

/* Take the file called so if it holds lsn. Returns 1, 0 = not it, -1. */
static int take_file(struct sc_redo_place *p, uint64_t lsn, uint64_t id,
		     struct sc_err *err)
{
	char name[SC_REDO_NAME_SIZE];
	struct sc_redo_file file = { .id = id };
	int rc;

	sc_redo_file_name(id, name);
	drop_file(p);
	p->fd = openat(p->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (p->fd < 0 && errno == ENOENT)
		return 0;
	if (p->fd < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot open redo file %s", name);
	rc = sc_redo_file_read(p->fd, &file);
	if (rc < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, -rc,
				  "cannot read redo file %s", name);
	if (!sc_redo_file_holds(&file, lsn)) {
		drop_file(p);
		return 0;
	}
	if (p->uuid_known && p->uuid != file.header.uuid)
		return other_log(p, file.header.uuid, err);
	p->uuid = file.header.uuid;
	p->uuid_known = true;
	p->start = file.header.start_lsn;
	p->end = sc_redo_file_end(&file);
	p->stuck_since = 0;
	return 1;
}

/* What a listing without a file for an LSN means. */
enum absence { NOT_YET, RECYCLED, BEYOND, UNSURE };

static enum absence why_absent(const struct sc_redo_files *files, uint64_t lsn,
			       uint64_t *ret_oldest)
{
	uint64_t oldest = UINT64_MAX, end = 0;
	bool unsure = files->changed || !files->count;

	for (size_t i = 0; i < files->count; i++) {
		const struct sc_redo_file *file = &files->file[i];

		if (!file->header_ok) {
			unsure = true;
			continue;
		}
		oldest = SC_MIN(oldest, file->header.start_lsn);
		end = SC_MAX(end, sc_redo_file_end(file));
	}
	*ret_oldest = oldest;
	if (unsure)
		return UNSURE;
	if (lsn < oldest)
		return RECYCLED;
	if (lsn == end)
		return NOT_YET;
	return lsn > end ? BEYOND : UNSURE;
}

/* One look at the directory. Returns 1 with a file in hand, 0 and *ret_why,
 * -1 on error. */
static int look(struct sc_redo_place *p, uint64_t lsn, enum absence *ret_why,
		uint64_t *ret_oldest, struct sc_err *err)
{
	CLEANUP_REDO_FILES struct sc_redo_files files = { 0 };

	if (sc_redo_files_list(p->dirfd, &files, err))
		return -1;
	for (size_t i = files.count; i-- > 0;) {
		int rc;

		if (!sc_redo_file_holds(&files.file[i], lsn))
			continue;
		rc = take_file(p, lsn, files.file[i].id, err);
		if (rc)
			return rc;
		files.changed = true;
	}
	*ret_why = why_absent(&files, lsn, ret_oldest);
	return 0;
}

static int absent(struct sc_redo_place *p, uint64_t lsn, enum absence why,
		  uint64_t oldest, struct sc_err *err)
{
	switch (why) {
	case RECYCLED:
		p->lost = true;
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "redo at LSN %" PRIu64 " was recycled before "
				  "it was read, the oldest is now at %" PRIu64
				  ": raise innodb_redo_log_capacity and clone "
				  "again",
				  lsn, oldest);
	case BEYOND:
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "LSN %" PRIu64 " lies behind the end of the "
				  "redo log",
				  lsn);
	case UNSURE:
		if (sc_redo_place_stuck(p))
			return sc_err_set(err, SC_ER_CLONE_DONOR,
					  "no readable redo file holds LSN "
					  "%" PRIu64,
					  lsn);
		return 0;
	case NOT_YET:
		break;
	}
	return 0;
}

int sc_redo_place_find(struct sc_redo_place *p, uint64_t lsn,
		       struct sc_err *err)
{
	enum absence why = UNSURE, before = UNSURE;
	uint64_t oldest = 0;

	for (int i = 0; i < LOCATE_TRIES; i++) {
		int rc = look(p, lsn, &why, &oldest, err);

		if (rc)
			return rc;
		if (why == NOT_YET || (i > 1 && why != UNSURE && why == before))
			break;
		before = why;
		sc_sleep_ms(LOCATE_WAIT_MS);
	}
	return absent(p, lsn, why, oldest, err);
}

int sc_redo_place_recheck(struct sc_redo_place *p, uint64_t lsn,
			  struct sc_err *err)
{
	struct sc_redo_file file = { 0 };
	int rc = sc_redo_file_read(p->fd, &file);

	if (rc < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, -rc,
				  "cannot read the redo file of LSN %" PRIu64,
				  lsn);
	if (!sc_redo_file_holds(&file, lsn) ||
	    file.header.start_lsn != p->start)
		drop_file(p);
	return 0;
}

void sc_redo_place_close(struct sc_redo_place *p)
{
	drop_file(p);
	if (p->dirfd >= 0)
		close(p->dirfd);
	p->dirfd = -1;
}
