/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The follower. Position `next` only moves over blocks that were judged
 * complete; which file holds it is the business of locate.c.
 */
#include "io/redo/follow.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/redo/locate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

/* Bytes of the first read behind the known end; doubles on success. */
enum { WINDOW_MIN = 16 << 10 };

struct sc_redo_follow {
	struct sc_redo_place place;
	uint64_t next; /* first block not delivered yet */
	size_t window;
	struct sc_redo_cipher *cipher; /* NULL: no block was encrypted yet */
	sc_redo_key_fn *key;
	void *key_ctx;
	uint16_t partial_len; /* 0 = no partial block at `next` */
	uint8_t partial[SC_REDO_BLOCK];
};

int sc_redo_follow_open(int redo_dirfd, uint64_t lsn,
			struct sc_redo_follow **ret, struct sc_err *err)
{
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = calloc(1, sizeof(*f));

	if (!f)
		return sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				  "cannot follow the redo log");
	f->place.fd = -1;
	f->next = sc_redo_align(lsn);
	f->window = WINDOW_MIN;
	f->place.dirfd = fcntl(redo_dirfd, F_DUPFD_CLOEXEC, 0);
	if (f->place.dirfd < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot follow the redo log");
	if (sc_redo_place_find(&f->place, f->next, err) < 0)
		return -1;
	*ret = f;
	f = NULL;
	return 0;
}

void sc_redo_follow_close(struct sc_redo_follow *f)
{
	sc_redo_place_close(&f->place);
}

void sc_redo_follow_free(struct sc_redo_follow *f)
{
	if (!f)
		return;
	sc_redo_follow_close(f);
	sc_redo_cipher_free(f->cipher);
	free(f);
}

void sc_redo_follow_set_key(struct sc_redo_follow *f, sc_redo_key_fn *key,
			    void *ctx)
{
	f->key = key;
	f->key_ctx = ctx;
}

struct sc_redo_cipher *sc_redo_follow_cipher(const struct sc_redo_follow *f)
{
	return f->cipher;
}

/* The first encrypted block. */
static int get_key(struct sc_redo_follow *f, struct sc_err *err)
{
	struct sc_space_key key;
	int rc;

	if (!f->key)
		return sc_err_set(err, SC_ER_CLONE_ENCRYPTION,
				  "the redo block at LSN %" PRIu64
				  " is encrypted and its key is not known",
				  f->next);
	rc = f->key(f->key_ctx, &key, err);
	if (rc == 0)
		f->cipher = sc_redo_cipher_new(&key);
	explicit_bzero(&key, sizeof(key));
	if (rc < 0)
		return sc_err_context(
			err, "redo is encrypted from LSN %" PRIu64 " on",
			f->next);
	return f->cipher ? 0
			 : sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				      "cannot decrypt redo");
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
	if (!sc_redo_place_stuck(&f->place))
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_DONOR,
		"the redo block at LSN %" PRIu64 " is damaged on disk%s",
		f->next, f->cipher ? ", or encrypted with another key" : "");
}

/* No complete block at `next`: what stands there instead. */
static int judge_stop(struct sc_redo_follow *f, enum sc_redo_verdict stop,
		      const uint8_t *block, size_t len, struct sc_err *err)
{
	switch (stop) {
	case SC_REDO_TORN:
		return judge_torn(f, block, len, err);
	case SC_REDO_ENCRYPTED:
		return get_key(f, err);
	case SC_REDO_UNSUMMED:
		return sc_err_set(err, SC_ER_CLONE_CONFIG,
				  "the redo block at LSN %" PRIu64
				  " has no checksum: SET GLOBAL "
				  "innodb_log_checksums = ON",
				  f->next);
	case SC_REDO_FOREIGN:
		return sc_redo_place_recheck(&f->place, f->next, err);
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
		f->place.stuck_since = 0;
	}
	f->window = all ? f->window * 2 : WINDOW_MIN;
}

static int read_once(struct sc_redo_follow *f, void *buf, size_t cap,
		     struct sc_redo_run *run, struct sc_err *err)
{
	enum sc_redo_verdict stop = SC_REDO_FOREIGN;
	size_t want, full;
	ssize_t n;

	if (f->place.fd < 0 || f->next >= f->place.end) {
		int rc = sc_redo_place_find(&f->place, f->next, err);

		if (rc <= 0)
			return rc;
	}
	f->window = SC_MIN(f->window, cap);
	want = SC_MIN(f->window, f->place.end - f->next);
	n = sc_pread_full(f->place.fd, buf, want,
			  SC_REDO_FILE_HEADER + f->next - f->place.start);
	if (n < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, (int)-n,
				  "cannot read redo at LSN %" PRIu64, f->next);
	full = n < SC_REDO_BLOCK
		       ? 0
		       : sc_redo_cipher_judge_all(f->cipher, buf,
						  (size_t)n / SC_REDO_BLOCK,
						  f->next, &stop) *
				 SC_REDO_BLOCK;
	*run = (struct sc_redo_run){ .lsn = f->next, .len = full };
	advance(f, full, full == want);
	if (stop == SC_REDO_PARTIAL)
		keep_partial(f, (uint8_t *)buf + full);
	else if (!full)
		return judge_stop(f, stop, buf, (size_t)n, err);
	return full ? 1 : 0;
}

int sc_redo_follow_read(struct sc_redo_follow *f, void *buf, size_t cap,
			struct sc_redo_run *run, struct sc_err *err)
{
	bool had_key = f->cipher;
	int rc = read_once(f, buf, cap, run, err);

	/* The key was got for what stands there. */
	return rc == 0 && f->cipher && !had_key
		       ? read_once(f, buf, cap, run, err)
		       : rc;
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
	return f->place.lost;
}
