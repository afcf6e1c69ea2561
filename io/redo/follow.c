/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The follower. Position `next` only moves over blocks that were judged
 * complete; the file descriptor in hand stays good when the file is renamed,
 * recycled or removed, because its header is read again whenever a block is
 * not the expected one.
 */
#include "io/redo/follow.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/redo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

enum {
	LOCATE_TRIES = 5,
	LOCATE_WAIT_MS = 2,
	/* Torn blocks and vanishing files settle in microseconds. */
	STUCK_MS = 2000,
	/* Bytes of the first read behind the known end; doubles on success. */
	WINDOW_MIN = 16 << 10,
};

struct sc_redo_follow {
	int dirfd, fd;	     /* owned; fd -1 = none in hand */
	uint64_t start, end; /* LSNs of the file in hand */
	uint64_t next;	     /* first block not delivered yet */
	size_t window;
	uint32_t uuid;
	bool uuid_known, lost;
	uint64_t stuck_since; /* ms, 0 = not stuck */
	uint16_t partial_len; /* 0 = no partial block at `next` */
	uint8_t partial[SC_REDO_BLOCK];
};

static void drop_file(struct sc_redo_follow *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* True once something that should pass in a moment lasted for STUCK_MS. */
static bool stuck(struct sc_redo_follow *f)
{
	uint64_t now = sc_now_ms();

	if (!f->stuck_since)
		f->stuck_since = now;
	return now - f->stuck_since >= STUCK_MS;
}

static int other_log(struct sc_redo_follow *f, uint32_t uuid,
		     struct sc_err *err)
{
	return sc_err_set(err, SC_ER_CLONE_DONOR,
			  "the redo log was created anew while it was followed"
			  " (uuid %u, was %u)",
			  uuid, f->uuid);
}

/* Take the file called so if it holds `next`. Returns 1, 0 = not it, -1. */
static int take_file(struct sc_redo_follow *f, uint64_t id, struct sc_err *err)
{
	char name[SC_REDO_NAME_SIZE];
	struct sc_redo_file file = {.id = id};
	int rc;

	sc_redo_file_name(id, name);
	drop_file(f);
	f->fd = openat(f->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0 && errno == ENOENT)
		return 0;
	if (f->fd < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot open redo file %s", name);
	rc = sc_redo_file_read(f->fd, &file);
	if (rc < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, -rc,
				  "cannot read redo file %s", name);
	if (!sc_redo_file_holds(&file, f->next)) {
		drop_file(f);
		return 0;
	}
	if (f->uuid_known && f->uuid != file.header.uuid)
		return other_log(f, file.header.uuid, err);
	f->uuid = file.header.uuid;
	f->uuid_known = true;
	f->start = file.header.start_lsn;
	f->end = sc_redo_file_end(&file);
	return 1;
}

/* What a listing without a file for `next` means. */
enum absence { NOT_YET, RECYCLED, BEYOND, UNSURE };

static enum absence why_absent(const struct sc_redo_files *files, uint64_t next,
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
	if (next < oldest)
		return RECYCLED;
	if (next == end)
		return NOT_YET;
	return next > end ? BEYOND : UNSURE;
}

/* One look at the directory. Returns 1 with a file in hand, 0 and *ret_why,
 * -1 on error. */
static int look(struct sc_redo_follow *f, enum absence *ret_why,
		uint64_t *ret_oldest, struct sc_err *err)
{
	CLEANUP_REDO_FILES struct sc_redo_files files = {0};

	if (sc_redo_files_list(f->dirfd, &files, err))
		return -1;
	for (size_t i = files.count; i-- > 0;) {
		int rc;

		if (!sc_redo_file_holds(&files.file[i], f->next))
			continue;
		rc = take_file(f, files.file[i].id, err);
		if (rc)
			return rc;
		files.changed = true;
	}
	*ret_why = why_absent(&files, f->next, ret_oldest);
	return 0;
}

static int absent(struct sc_redo_follow *f, enum absence why, uint64_t oldest,
		  struct sc_err *err)
{
	switch (why) {
	case RECYCLED:
		f->lost = true;
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "redo at LSN %" PRIu64 " was recycled before "
				  "it was read, the oldest is now at %" PRIu64
				  ": raise innodb_redo_log_capacity and clone "
				  "again",
				  f->next, oldest);
	case BEYOND:
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "LSN %" PRIu64 " lies behind the end of the "
				  "redo log",
				  f->next);
	case UNSURE:
		if (stuck(f))
			return sc_err_set(err, SC_ER_CLONE_DONOR,
					  "no readable redo file holds LSN "
					  "%" PRIu64,
					  f->next);
		return 0;
	case NOT_YET:
		break;
	}
	return 0;
}

/* Get the file that holds `next`. Returns 1, 0 = not there yet, -1. Only what
 * several looks agree upon is believed: files are renamed meanwhile. */
static int locate(struct sc_redo_follow *f, struct sc_err *err)
{
	enum absence why = UNSURE, before = UNSURE;
	uint64_t oldest = 0;

	for (int i = 0; i < LOCATE_TRIES; i++) {
		int rc = look(f, &why, &oldest, err);

		if (rc)
			return rc;
		if (why == NOT_YET || (i > 1 && why != UNSURE && why == before))
			break;
		before = why;
		sc_sleep_ms(LOCATE_WAIT_MS);
	}
	return absent(f, why, oldest, err);
}

int sc_redo_follow_open(int redo_dirfd, uint64_t lsn,
			struct sc_redo_follow **ret, struct sc_err *err)
{
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = calloc(1, sizeof(*f));

	if (!f)
		return sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				  "cannot follow the redo log");
	f->fd = -1;
	f->next = sc_redo_align(lsn);
	f->window = WINDOW_MIN;
	f->dirfd = fcntl(redo_dirfd, F_DUPFD_CLOEXEC, 0);
	if (f->dirfd < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot follow the redo log");
	if (locate(f, err) < 0)
		return -1;
	*ret = f;
	f = NULL;
	return 0;
}

void sc_redo_follow_free(struct sc_redo_follow *f)
{
	if (!f)
		return;
	drop_file(f);
	if (f->dirfd >= 0)
		close(f->dirfd);
	free(f);
}

/* The block at `next` is not there: not written yet, or the file in hand was
 * recycled. Let go of it in the latter case. */
static int recheck_file(struct sc_redo_follow *f, struct sc_err *err)
{
	struct sc_redo_file file = {0};
	int rc = sc_redo_file_read(f->fd, &file);

	if (rc < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, -rc,
				  "cannot read the redo file of LSN %" PRIu64,
				  f->next);
	if (!sc_redo_file_holds(&file, f->next) ||
	    file.header.start_lsn != f->start)
		drop_file(f);
	return 0;
}

/* The block at `next` has a wrong crc: being written, unless a later one is
 * already there for a long time. */
static int judge_torn(struct sc_redo_follow *f, const uint8_t *block,
		      size_t len, struct sc_err *err)
{
	if (len < 2 * SC_REDO_BLOCK ||
	    sc_redo_block_judge(block + SC_REDO_BLOCK, f->next + SC_REDO_BLOCK,
				NULL) == SC_REDO_FOREIGN)
		return 0;
	if (!stuck(f))
		return 0;
	return sc_err_set(err, SC_ER_CLONE_DONOR,
			  "the redo block at LSN %" PRIu64
			  " is damaged on disk",
			  f->next);
}

/* No complete block at `next`: what stands there instead. */
static int judge_stop(struct sc_redo_follow *f, enum sc_redo_verdict stop,
		      const uint8_t *block, size_t len, struct sc_err *err)
{
	switch (stop) {
	case SC_REDO_TORN:
		return judge_torn(f, block, len, err);
	case SC_REDO_ENCRYPTED:
		return sc_err_set(err, SC_ER_CLONE_ENCRYPTION,
				  "the redo block at LSN %" PRIu64
				  " is encrypted: SET GLOBAL "
				  "innodb_redo_log_encrypt = OFF",
				  f->next);
	case SC_REDO_UNSUMMED:
		return sc_err_set(err, SC_ER_CLONE_CONFIG,
				  "the redo block at LSN %" PRIu64
				  " has no checksum: SET GLOBAL "
				  "innodb_log_checksums = ON",
				  f->next);
	case SC_REDO_FOREIGN:
		return recheck_file(f, err);
	default:
		return 0;
	}
}

static void keep_partial(struct sc_redo_follow *f, const uint8_t *block)
{
	struct sc_redo_block b;

	sc_redo_block_parse(block, &b);
	f->partial_len = b.data_len;
	memcpy(f->partial, block, SC_REDO_BLOCK);
}

static void advance(struct sc_redo_follow *f, size_t len, bool all)
{
	if (len) {
		f->next += len;
		f->partial_len = 0;
		f->stuck_since = 0;
	}
	f->window = all ? f->window * 2 : WINDOW_MIN;
}

int sc_redo_follow_read(struct sc_redo_follow *f, void *buf, size_t cap,
			struct sc_redo_run *run, struct sc_err *err)
{
	enum sc_redo_verdict stop = SC_REDO_FOREIGN;
	size_t want, full;
	ssize_t n;

	if (f->fd < 0 || f->next >= f->end) {
		int rc = locate(f, err);

		if (rc <= 0)
			return rc;
	}
	f->window = SC_MIN(f->window, cap);
	want = SC_MIN(f->window, f->end - f->next);
	n = sc_pread_full(f->fd, buf, want,
			  SC_REDO_FILE_HEADER + f->next - f->start);
	if (n < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, (int)-n,
				  "cannot read redo at LSN %" PRIu64, f->next);
	full = n < SC_REDO_BLOCK
		       ? 0
		       : sc_redo_blocks_judge(buf, (size_t)n / SC_REDO_BLOCK,
					      f->next, &stop) *
				 SC_REDO_BLOCK;
	*run = (struct sc_redo_run){.lsn = f->next, .len = full};
	advance(f, full, full == want);
	if (stop == SC_REDO_PARTIAL)
		keep_partial(f, (uint8_t *)buf + full);
	else if (!full)
		return judge_stop(f, stop, buf, (size_t)n, err);
	return full ? 1 : 0;
}

uint64_t sc_redo_follow_lsn(const struct sc_redo_follow *f)
{
	return f->partial_len ? f->next + f->partial_len
			      : sc_redo_normal_lsn(f->next);
}

int sc_redo_follow_partial(const struct sc_redo_follow *f,
			   uint8_t block[SC_REDO_BLOCK], uint64_t *lsn)
{
	if (!f->partial_len)
		return 0;
	memcpy(block, f->partial, SC_REDO_BLOCK);
	*lsn = f->next;
	return 1;
}

bool sc_redo_follow_is_lost(const struct sc_redo_follow *f)
{
	return f->lost;
}

uint32_t sc_redo_follow_uuid(const struct sc_redo_follow *f)
{
	return f->uuid;
}
