/* SPDX-License-Identifier: GPL-2.0-only */
/* The builder: judges what arrives, knows where the log ends. */
#include "io/redo/build.h"

#include "io/base/cleanup.h"
#include "io/redo/files.h"
#include "io/redo/out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

enum { DEFAULT_MODE = 0640, PAGE_MIN = 4096 };

struct sc_redo_build {
	struct sc_redo_out out;
	uint64_t next; /* LSN behind the last complete block appended */
	struct sc_redo_cipher *cipher;
	uint16_t partial_len; /* data length of a partial block at next */
};

static int bad_param(struct sc_err *err, const char *what, uint64_t value)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "cannot build redo: %s %" PRIu64 " is out of range",
			  what, value);
}

static int check_params(const struct sc_redo_build_params *p,
			uint64_t file_size, struct sc_err *err)
{
	size_t creator = p->creator ? strlen(p->creator) : 0;

	if (!sc_redo_lsn_valid(p->checkpoint_lsn))
		return bad_param(err, "checkpoint LSN", p->checkpoint_lsn);
	if (p->page_size < PAGE_MIN || p->page_size > SC_REDO_FILE_MIN ||
	    !sc_is_power_of_two(p->page_size))
		return bad_param(err, "page size", p->page_size);
	if (file_size % SC_REDO_FILE_MIN || file_size < SC_REDO_FILE_MIN ||
	    file_size > SC_REDO_FILE_MAX)
		return bad_param(err, "file size", file_size);
	if (!creator || creator > SC_REDO_CREATOR_MAX)
		return bad_param(err, "length of the creator", creator);
	return 0;
}

static int check_empty(int dirfd, struct sc_err *err)
{
	CLEANUP_REDO_FILES struct sc_redo_files files = { 0 };

	if (sc_redo_files_list(dirfd, &files, err))
		return -1;
	if (!files.count)
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"cannot build redo: the directory has #ib_redo%" PRIu64
		" already",
		files.file[0].id);
}

static struct sc_redo_build *new_build(const struct sc_redo_build_params *p,
				       uint64_t file_size)
{
	struct sc_redo_build *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->next = sc_redo_align(p->checkpoint_lsn);
	b->out = (struct sc_redo_out){ .dirfd = -1,
				       .fd = -1,
				       .base = b->next,
				       .max_size = file_size,
				       .uuid = p->uuid,
				       .checkpoint = p->checkpoint_lsn,
				       .uid = p->uid,
				       .gid = p->gid,
				       .mode = p->mode ? p->mode
						       : DEFAULT_MODE };
	memcpy(b->out.creator, p->creator, strlen(p->creator));
	return b;
}

int sc_redo_build_open(int redo_dirfd,
		       const struct sc_redo_build_params *params,
		       struct sc_redo_build **ret, struct sc_err *err)
{
	uint64_t size = params->max_file_size ? params->max_file_size : SC_GIB;
	CLEANUP_REDO_BUILD struct sc_redo_build *b = NULL;

	if (check_params(params, size, err) || check_empty(redo_dirfd, err))
		return -1;
	b = new_build(params, size);
	if (!b)
		return sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				  "cannot build redo");
	if (params->encryption_block)
		sc_redo_build_set_encryption(b, params->encryption_block);
	b->out.dirfd = fcntl(redo_dirfd, F_DUPFD_CLOEXEC, 0);
	if (b->out.dirfd < 0)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot build redo");
	*ret = b;
	b = NULL;
	return 0;
}

void sc_redo_build_free(struct sc_redo_build *b)
{
	if (!b)
		return;
	sc_redo_out_close(&b->out);
	sc_redo_cipher_free(b->cipher);
	free(b);
}

int sc_redo_build_set_key(struct sc_redo_build *b,
			  const struct sc_space_key *key, struct sc_err *err)
{
	sc_redo_cipher_free(b->cipher);
	b->cipher = sc_redo_cipher_new(key);
	return b->cipher ? 0
			 : sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				      "cannot build redo");
}

void sc_redo_build_set_encryption(struct sc_redo_build *b, const uint8_t *block)
{
	memcpy(b->out.encryption, block, SC_REDO_BLOCK);
}

static int bad_block(enum sc_redo_verdict verdict, uint64_t lsn,
		     struct sc_err *err)
{
	static const char *const why[] = {
		[SC_REDO_FULL] = "follows a partial block",
		[SC_REDO_PARTIAL] = "is partial but not the last",
		[SC_REDO_FOREIGN] = "is the block of another LSN",
		[SC_REDO_TORN] = "has a wrong checksum",
		[SC_REDO_ENCRYPTED] =
			"is encrypted, with a length no block has",
		[SC_REDO_UNSUMMED] = "has no checksum",
	};

	return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
			  "received redo block at LSN %" PRIu64 " %s", lsn,
			  why[verdict]);
}

/* Judge blocks until one is not FULL, encrypted ones by the length in their
 * header. The number of full ones; *ret_stop: of the next, FULL: there is none.
 */
static size_t judge_blocks(const uint8_t *data, size_t count, uint64_t lsn,
			   enum sc_redo_verdict *ret_stop)
{
	struct sc_redo_block b;
	size_t i;

	*ret_stop = SC_REDO_FULL;
	for (i = 0; i < count; i++) {
		*ret_stop = sc_redo_block_judge(data + i * SC_REDO_BLOCK,
						lsn + i * SC_REDO_BLOCK, &b);
		if (*ret_stop == SC_REDO_ENCRYPTED &&
		    b.data_len >= SC_REDO_BLOCK_HEADER &&
		    b.data_len <= SC_REDO_BLOCK)
			*ret_stop = b.data_len < SC_REDO_BLOCK ? SC_REDO_PARTIAL
							       : SC_REDO_FULL;
		if (*ret_stop != SC_REDO_FULL)
			break;
	}
	return i;
}

/* Judge all blocks before any is written. */
static int judge(struct sc_redo_build *b, const uint8_t *data, size_t len,
		 size_t *ret_full, struct sc_err *err)
{
	size_t count = len / SC_REDO_BLOCK;
	enum sc_redo_verdict stop;

	if (b->partial_len)
		return bad_block(SC_REDO_FULL, b->next + SC_REDO_BLOCK, err);
	*ret_full = judge_blocks(data, count, b->next, &stop);
	if (*ret_full == count ||
	    (*ret_full + 1 == count && stop == SC_REDO_PARTIAL))
		return 0;
	return bad_block(stop, b->next + *ret_full * SC_REDO_BLOCK, err);
}

int sc_redo_build_append(struct sc_redo_build *b, uint64_t lsn,
			 const void *data, size_t len, struct sc_err *err)
{
	size_t full = 0;

	if (lsn != b->next || len % SC_REDO_BLOCK)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "received %zu bytes of redo at LSN %" PRIu64
				  " instead of LSN %" PRIu64,
				  len, lsn, b->next);
	if (judge(b, data, len, &full, err) ||
	    sc_redo_out_write(&b->out, lsn, data, len, err))
		return -1;
	b->next += full * SC_REDO_BLOCK;
	if (full * SC_REDO_BLOCK < len) {
		struct sc_redo_block last;

		sc_redo_block_parse((const uint8_t *)data + len - SC_REDO_BLOCK,
				    &last);
		b->partial_len = last.data_len;
	}
	return 0;
}

uint64_t sc_redo_build_lsn(const struct sc_redo_build *b)
{
	return b->partial_len ? b->next + b->partial_len
			      : sc_redo_normal_lsn(b->next);
}

static int check_end(const struct sc_redo_build *b, uint64_t end_lsn,
		     struct sc_err *err)
{
	uint64_t have = sc_redo_build_lsn(b);

	if (!sc_redo_lsn_valid(end_lsn))
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "redo cannot end at LSN %" PRIu64
				  ", inside a block header",
				  end_lsn);
	if (sc_redo_normal_lsn(end_lsn) < sc_redo_normal_lsn(b->out.checkpoint))
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "redo cannot end at LSN %" PRIu64
				  ", before the checkpoint at %" PRIu64,
				  end_lsn, b->out.checkpoint);
	if (sc_redo_normal_lsn(end_lsn) > have)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "redo ends at LSN %" PRIu64
				  ", needed is %" PRIu64,
				  have, end_lsn);
	return 0;
}

/* Cut, or make, the block that holds end_lsn; it is the last. */
static int write_last(struct sc_redo_build *b, uint64_t end_lsn,
		      struct sc_err *err)
{
	uint64_t lsn = sc_redo_align(end_lsn);
	uint8_t block[SC_REDO_BLOCK];

	if (lsn == end_lsn)
		return 0;
	if (lsn == b->next && !b->partial_len) {
		sc_redo_block_empty(block, lsn);
	} else {
		if (sc_redo_out_read(&b->out, lsn, block, err))
			return -1;
		switch (sc_redo_cipher_cut(b->cipher, block, lsn, end_lsn)) {
		case 0:
			break;
		case -ENOKEY:
			return sc_err_set(
				err, SC_ER_CLONE_ENCRYPTION,
				"the redo block at LSN %" PRIu64
				" is encrypted and the key of the log is not known",
				lsn);
		default:
			return bad_block(SC_REDO_TORN, lsn, err);
		}
	}
	return sc_redo_out_write(&b->out, lsn, block, sizeof(block), err);
}

int sc_redo_build_finish(struct sc_redo_build *b, uint64_t end_lsn,
			 struct sc_err *err)
{
	if (check_end(b, end_lsn, err))
		return -1;
	/* An end at the very end of a file needs the next one: recovery
	 * asserts that the recovered LSN lies in a file. */
	if (sc_redo_out_seek(&b->out, sc_redo_align(end_lsn), err) ||
	    write_last(b, end_lsn, err))
		return -1;
	return sc_redo_out_finish(&b->out, sc_align_up(end_lsn, SC_REDO_BLOCK),
				  err);
}
