/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The builder. File i covers `room` bytes of LSN from base + i * room, so the
 * place of every block is known when it arrives. A file gets its header when
 * the next one is begun (flag FULL) or at the end.
 */
#include "io/redo/build.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/redo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* Room behind E in the last file, so that the server's first writes after
 * recovery need no new file. */
enum { SLACK = 1 << 20, DEFAULT_MODE = 0640, PAGE_MIN = 4096 };

struct sc_redo_build {
	struct sc_redo_build_params params; /* creator, block: our copies */
	char creator[SC_REDO_CREATOR_MAX + 1];
	uint8_t encryption[SC_REDO_BLOCK];
	int dirfd, fd; /* owned; fd of file `index`, -1 = none begun */
	uint64_t index;
	uint64_t base;	      /* LSN of the first block */
	uint64_t room;	      /* LSN bytes per file */
	uint64_t next;	      /* LSN behind the last complete block appended */
	uint16_t partial_len; /* data length of a partial block at next */
};

static uint64_t file_start(const struct sc_redo_build *b)
{
	return b->base + b->index * b->room;
}

static int fail(struct sc_redo_build *b, int sys_errno, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_CLONE_OS, sys_errno,
			  "cannot write redo file #ib_redo%" PRIu64, b->index);
}

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
	CLEANUP_REDO_FILES struct sc_redo_files files = {0};

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

static void copy_params(struct sc_redo_build *b,
			const struct sc_redo_build_params *p,
			uint64_t file_size)
{
	b->params = *p;
	b->params.mode = p->mode ? p->mode : DEFAULT_MODE;
	b->params.max_file_size = file_size;
	memcpy(b->creator, p->creator, strlen(p->creator));
	b->params.creator = b->creator;
	if (p->encryption_block)
		memcpy(b->encryption, p->encryption_block, SC_REDO_BLOCK);
	b->base = b->next = sc_redo_align(p->checkpoint_lsn);
	b->room = file_size - SC_REDO_FILE_HEADER;
}

int sc_redo_build_open(int redo_dirfd,
		       const struct sc_redo_build_params *params,
		       struct sc_redo_build **ret, struct sc_err *err)
{
	uint64_t size = params->max_file_size ? params->max_file_size : SC_GIB;
	struct sc_redo_build *b;

	if (check_params(params, size, err) || check_empty(redo_dirfd, err))
		return -1;
	b = calloc(1, sizeof(*b));
	if (!b)
		return sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				  "cannot build redo");
	copy_params(b, params, size);
	b->fd = -1;
	b->dirfd = fcntl(redo_dirfd, F_DUPFD_CLOEXEC, 0);
	if (b->dirfd < 0) {
		free(b);
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot build redo");
	}
	*ret = b;
	return 0;
}

void sc_redo_build_free(struct sc_redo_build *b)
{
	if (!b)
		return;
	if (b->fd >= 0)
		close(b->fd);
	close(b->dirfd);
	free(b);
}

/* Open file `index`; flags: O_CREAT | O_EXCL for a new one, else 0. */
static int open_file(struct sc_redo_build *b, int flags, struct sc_err *err)
{
	char name[SC_REDO_NAME_SIZE];

	sc_redo_file_name(b->index, name);
	b->fd = openat(b->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags,
		       0600);
	if (b->fd < 0)
		return fail(b, errno, err);
	if (!flags)
		return 0;
	if (fchmod(b->fd, b->params.mode))
		return fail(b, errno, err);
	if ((b->params.uid != (uid_t)-1 || b->params.gid != (gid_t)-1) &&
	    fchown(b->fd, b->params.uid, b->params.gid))
		return fail(b, errno, err);
	return 0;
}

static int write_header(struct sc_redo_build *b, uint32_t flags)
{
	struct sc_redo_header header = {.format = SC_REDO_FORMAT,
					.uuid = b->params.uuid,
					.start_lsn = file_start(b),
					.flags = flags};
	uint64_t slot = b->index ? 0 : b->params.checkpoint_lsn;
	uint8_t blocks[SC_REDO_FILE_HEADER] = {0};

	memcpy(header.creator, b->creator, sizeof(b->creator));
	sc_redo_header_encode(&header, blocks);
	sc_redo_slot_encode(slot, blocks + SC_REDO_SLOT1);
	sc_redo_slot_encode(slot, blocks + SC_REDO_SLOT2);
	if (!b->index)
		memcpy(blocks + SC_REDO_ENCRYPTION, b->encryption,
		       SC_REDO_BLOCK);
	return sc_pwrite_full(b->fd, blocks, sizeof(blocks), 0);
}

/* Header, durable, closed. */
static int close_file(struct sc_redo_build *b, uint32_t flags,
		      struct sc_err *err)
{
	int fd = b->fd, rc = write_header(b, flags);

	if (rc)
		return fail(b, -rc, err);
	if (fsync(fd))
		return fail(b, errno, err);
	b->fd = -1;
	if (close(fd))
		return fail(b, errno, err);
	return 0;
}

/* Have the file that holds pos in hand, beginning or going back to it. */
static int go_to(struct sc_redo_build *b, uint64_t pos, struct sc_err *err)
{
	uint64_t want = (pos - b->base) / b->room;
	char name[SC_REDO_NAME_SIZE];

	if (b->fd < 0 && open_file(b, O_CREAT | O_EXCL, err))
		return -1;
	while (b->index < want) {
		if (close_file(b, SC_REDO_FILE_FULL, err))
			return -1;
		b->index++;
		if (open_file(b, O_CREAT | O_EXCL, err))
			return -1;
	}
	while (b->index > want) {
		close(b->fd);
		b->fd = -1;
		sc_redo_file_name(b->index, name);
		if (unlinkat(b->dirfd, name, 0))
			return fail(b, errno, err);
		b->index--;
		if (open_file(b, 0, err))
			return -1;
	}
	return 0;
}

/* Offset of pos in the file in hand. */
static uint64_t offset_of(const struct sc_redo_build *b, uint64_t pos)
{
	return SC_REDO_FILE_HEADER + pos - file_start(b);
}

static int write_blocks(struct sc_redo_build *b, const uint8_t *data,
			size_t len, struct sc_err *err)
{
	uint64_t pos = b->next;

	while (len) {
		size_t part;
		int rc;

		if (go_to(b, pos, err))
			return -1;
		part = SC_MIN(len, file_start(b) + b->room - pos);
		rc = sc_pwrite_full(b->fd, data, part, offset_of(b, pos));
		if (rc)
			return fail(b, -rc, err);
		data += part;
		pos += part;
		len -= part;
	}
	return 0;
}

static int bad_block(enum sc_redo_verdict verdict, uint64_t lsn,
		     struct sc_err *err)
{
	static const char *const why[] = {
		[SC_REDO_FULL] = "follows a partial block",
		[SC_REDO_PARTIAL] = "is partial but not the last",
		[SC_REDO_FOREIGN] = "is the block of another LSN",
		[SC_REDO_TORN] = "has a wrong checksum",
		[SC_REDO_ENCRYPTED] = "is encrypted",
		[SC_REDO_UNSUMMED] = "has no checksum",
	};

	return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
			  "received redo block at LSN %" PRIu64 " %s", lsn,
			  why[verdict]);
}

/* Judge all blocks before any is written. */
static int judge(struct sc_redo_build *b, const uint8_t *data, size_t len,
		 size_t *ret_full, struct sc_err *err)
{
	size_t count = len / SC_REDO_BLOCK;
	enum sc_redo_verdict stop;

	if (b->partial_len)
		return bad_block(SC_REDO_FULL, b->next + SC_REDO_BLOCK, err);
	*ret_full = sc_redo_blocks_judge(data, count, b->next, &stop);
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
	if (judge(b, data, len, &full, err) || write_blocks(b, data, len, err))
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
	if (sc_redo_normal_lsn(end_lsn) <
	    sc_redo_normal_lsn(b->params.checkpoint_lsn))
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "redo cannot end at LSN %" PRIu64
				  ", before the checkpoint at %" PRIu64,
				  end_lsn, b->params.checkpoint_lsn);
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
	ssize_t n;
	int rc;

	if (lsn == end_lsn)
		return 0;
	if (lsn == b->next && !b->partial_len) {
		sc_redo_block_empty(block, lsn);
	} else {
		n = sc_pread_full(b->fd, block, sizeof(block),
				  offset_of(b, lsn));
		if (n < 0)
			return fail(b, (int)-n, err);
		if (n != SC_REDO_BLOCK ||
		    sc_redo_block_cut(block, lsn, end_lsn))
			return bad_block(SC_REDO_TORN, lsn, err);
	}
	rc = sc_pwrite_full(b->fd, block, sizeof(block), offset_of(b, lsn));
	return rc ? fail(b, -rc, err) : 0;
}

/* Zeros behind the last block, up to a size the server accepts. Source:
 * log_files_find_and_analyze(): a multiple of innodb_page_size (MY-012962). */
static int pad(struct sc_redo_build *b, uint64_t end_lsn, struct sc_err *err)
{
	uint64_t used = offset_of(b, sc_align_up(end_lsn, SC_REDO_BLOCK));
	uint64_t size = sc_align_up(used + SLACK, SC_REDO_FILE_MIN);

	size = SC_MIN(size, b->params.max_file_size);
	if (ftruncate(b->fd, (off_t)used))
		return fail(b, errno, err);
	if (fallocate(b->fd, 0, 0, (off_t)size) && errno != EOPNOTSUPP)
		return fail(b, errno, err);
	if (ftruncate(b->fd, (off_t)size))
		return fail(b, errno, err);
	return 0;
}

int sc_redo_build_finish(struct sc_redo_build *b, uint64_t end_lsn,
			 struct sc_err *err)
{
	if (check_end(b, end_lsn, err))
		return -1;
	/* An end at the very end of a file needs the next one: recovery
	 * asserts that the recovered LSN lies in a file. */
	if (go_to(b, sc_redo_align(end_lsn), err) ||
	    write_last(b, end_lsn, err) || pad(b, end_lsn, err) ||
	    close_file(b, 0, err))
		return -1;
	if (fsync(b->dirfd))
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot sync the redo directory");
	return 0;
}
