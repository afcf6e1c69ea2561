/* SPDX-License-Identifier: GPL-2.0-only */
/* Writing the files of a redo log. */
#include "io/redo/out.h"

#include "io/base/fdio.h"
#include "io/redo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room behind E in the last file, so that the server's first writes after
 * recovery need no new file. */
enum { SLACK = 1 << 20 };

static uint64_t room(const struct sc_redo_out *out)
{
	return out->max_size - SC_REDO_FILE_HEADER;
}

static uint64_t file_start(const struct sc_redo_out *out)
{
	return out->base + out->index * room(out);
}

/* Offset of pos in the file in hand. */
static uint64_t offset_of(const struct sc_redo_out *out, uint64_t pos)
{
	return SC_REDO_FILE_HEADER + pos - file_start(out);
}

static int fail(const struct sc_redo_out *out, int sys_errno,
		struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_CLONE_OS, sys_errno,
			  "cannot write redo file #ib_redo%" PRIu64,
			  out->index);
}

void sc_redo_out_close(struct sc_redo_out *out)
{
	if (out->fd >= 0)
		close(out->fd);
	if (out->dirfd >= 0)
		close(out->dirfd);
	out->fd = out->dirfd = -1;
}

static int open_file(struct sc_redo_out *out, int flags, struct sc_err *err)
{
	char name[SC_REDO_NAME_SIZE];

	sc_redo_file_name(out->index, name);
	out->fd = openat(out->dirfd, name,
			 O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	return out->fd < 0 ? fail(out, errno, err) : 0;
}

static int begin_file(struct sc_redo_out *out, struct sc_err *err)
{
	if (open_file(out, O_CREAT | O_EXCL, err))
		return -1;
	if (fchmod(out->fd, out->mode))
		return fail(out, errno, err);
	if ((out->uid != (uid_t)-1 || out->gid != (gid_t)-1) &&
	    fchown(out->fd, out->uid, out->gid))
		return fail(out, errno, err);
	return 0;
}

static int write_header(struct sc_redo_out *out, uint32_t flags,
			struct sc_err *err)
{
	struct sc_redo_header header = { .format = SC_REDO_FORMAT,
					 .uuid = out->uuid,
					 .start_lsn = file_start(out),
					 .flags = flags };
	uint64_t slot = out->index ? 0 : out->checkpoint;
	uint8_t blocks[SC_REDO_FILE_HEADER] = { 0 };
	int rc;

	memcpy(header.creator, out->creator, sizeof(out->creator));
	sc_redo_header_encode(&header, blocks);
	sc_redo_slot_encode(slot, blocks + SC_REDO_SLOT1);
	sc_redo_slot_encode(slot, blocks + SC_REDO_SLOT2);
	if (!out->index)
		memcpy(blocks + SC_REDO_ENCRYPTION, out->encryption,
		       SC_REDO_BLOCK);
	rc = sc_pwrite_full(out->fd, blocks, sizeof(blocks), 0);
	return rc ? fail(out, -rc, err) : 0;
}

/* Make it durable and let go of it. */
static int end_file(struct sc_redo_out *out, struct sc_err *err)
{
	int fd = out->fd;

	if (fsync(fd))
		return fail(out, errno, err);
	out->fd = -1;
	return close(fd) ? fail(out, errno, err) : 0;
}

static int next_file(struct sc_redo_out *out, struct sc_err *err)
{
	if (out->index && write_header(out, SC_REDO_FILE_FULL, err))
		return -1;
	if (end_file(out, err))
		return -1;
	out->index++;
	return begin_file(out, err);
}

/* Remove the newest file and go back to the one before. */
static int drop_file(struct sc_redo_out *out, struct sc_err *err)
{
	char name[SC_REDO_NAME_SIZE];

	close(out->fd);
	out->fd = -1;
	sc_redo_file_name(out->index, name);
	if (unlinkat(out->dirfd, name, 0))
		return fail(out, errno, err);
	out->index--;
	return open_file(out, 0, err);
}

int sc_redo_out_seek(struct sc_redo_out *out, uint64_t pos, struct sc_err *err)
{
	uint64_t want = (pos - out->base) / room(out);

	if (out->fd < 0 && begin_file(out, err))
		return -1;
	while (out->index < want)
		if (next_file(out, err))
			return -1;
	while (out->index > want)
		if (drop_file(out, err))
			return -1;
	return 0;
}

int sc_redo_out_write(struct sc_redo_out *out, uint64_t pos,
		      const uint8_t *data, size_t len, struct sc_err *err)
{
	while (len) {
		size_t part;
		int rc;

		if (sc_redo_out_seek(out, pos, err))
			return -1;
		part = SC_MIN(len, file_start(out) + room(out) - pos);
		rc = sc_pwrite_full(out->fd, data, part, offset_of(out, pos));
		if (rc)
			return fail(out, -rc, err);
		data += part;
		pos += part;
		len -= part;
	}
	return 0;
}

int sc_redo_out_read(struct sc_redo_out *out, uint64_t pos, uint8_t *block,
		     struct sc_err *err)
{
	ssize_t n = sc_pread_full(out->fd, block, SC_REDO_BLOCK,
				  offset_of(out, pos));

	if (n != SC_REDO_BLOCK)
		return fail(out, n < 0 ? (int)-n : EIO, err);
	return 0;
}

/* Source: the size check in log_collect_existing_files(), log0files_io.cc: a
 * multiple of innodb_page_size (MY-012962). */
static int pad(struct sc_redo_out *out, uint64_t end, struct sc_err *err)
{
	uint64_t used = offset_of(out, end);
	uint64_t size = sc_align_up(used + SLACK, SC_REDO_FILE_MIN);

	size = SC_MIN(size, out->max_size);
	if (ftruncate(out->fd, (off_t)used))
		return fail(out, errno, err);
	if (fallocate(out->fd, 0, 0, (off_t)size) && errno != EOPNOTSUPP)
		return fail(out, errno, err);
	if (ftruncate(out->fd, (off_t)size))
		return fail(out, errno, err);
	return 0;
}

/* The header of the first file, when it is not the last too. */
static int finish_first(struct sc_redo_out *out, struct sc_err *err)
{
	if (!out->index)
		return 0;
	out->index = 0;
	if (open_file(out, 0, err) || write_header(out, SC_REDO_FILE_FULL, err))
		return -1;
	return end_file(out, err);
}

int sc_redo_out_finish(struct sc_redo_out *out, uint64_t end,
		       struct sc_err *err)
{
	if (pad(out, end, err) || write_header(out, 0, err) ||
	    end_file(out, err) || finish_first(out, err))
		return -1;
	if (fsync(out->dirfd))
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot sync the redo directory");
	return 0;
}
