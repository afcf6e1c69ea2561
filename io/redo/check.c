/* SPDX-License-Identifier: GPL-2.0-only */
/* Check of a redo directory by the rules of server start-up. */
#include "io/redo/check.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/redo/cipher.h"
#include "io/redo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { RUN = 1 << 20 };

__attribute__((format(printf, 3, 4))) static int
bad_file(struct sc_err *err, const struct sc_redo_file *file, const char *fmt,
	 ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "redo file #ib_redo%" PRIu64 " %s", file->id, why);
}

static int check_size(const struct sc_redo_file *file, struct sc_err *err)
{
	if (file->size < SC_REDO_FILE_MIN || file->size > SC_REDO_FILE_MAX ||
	    file->size % SC_REDO_FILE_MIN)
		return bad_file(err, file, "has a size of %" PRIu64 " bytes",
				file->size);
	return 0;
}

/* Source: log_sys_handle_creator(). */
static int check_creator(const struct sc_redo_file *file, struct sc_err *err)
{
	const char *creator = file->header.creator;

	if (!*creator || !strncmp(creator, "MEB", 3) ||
	    !strncmp(creator, "MySQL Clone", 11))
		return bad_file(err, file, "has creator \"%s\"", creator);
	return 0;
}

static int check_header(const struct sc_redo_file *file, uint32_t uuid,
			struct sc_err *err)
{
	const struct sc_redo_header *h = &file->header;

	if (!file->header_ok)
		return bad_file(err, file, "has a damaged header");
	if (h->format != SC_REDO_FORMAT)
		return bad_file(err, file, "has format %u", h->format);
	if (h->uuid != uuid)
		return bad_file(err, file, "has uuid %u, not %u", h->uuid,
				uuid);
	if (h->start_lsn % SC_REDO_BLOCK || h->start_lsn < SC_REDO_START_LSN)
		return bad_file(err, file, "starts at LSN %" PRIu64,
				h->start_lsn);
	if (check_creator(file, err))
		return -1;
	return check_size(file, err);
}

static int check_flags(const struct sc_redo_file *file, bool newest,
		       struct sc_err *err)
{
	uint32_t want = newest ? 0 : SC_REDO_FILE_FULL;

	if (file->header.flags != want)
		return bad_file(err, file, "has flags %u instead of %u",
				file->header.flags, want);
	return 0;
}

static int check_slots(const struct sc_redo_file *file, uint64_t checkpoint,
		       uint64_t *ret_best, struct sc_err *err)
{
	bool torn = false;
	uint64_t lsn = sc_redo_file_checkpoint(file, &torn);
	uint64_t slot1, slot2;

	if (torn)
		return bad_file(err, file, "has a damaged checkpoint slot");
	sc_redo_slot_parse(file->blocks + SC_REDO_SLOT1, &slot1);
	sc_redo_slot_parse(file->blocks + SC_REDO_SLOT2, &slot2);
	if ((slot1 && slot1 != checkpoint) || (slot2 && slot2 != checkpoint))
		return bad_file(err, file,
				"has checkpoints %" PRIu64 " and %" PRIu64
				" instead of %" PRIu64,
				slot1, slot2, checkpoint);
	*ret_best = SC_MAX(*ret_best, lsn);
	return 0;
}

/* The file follows the one before it. */
static int check_chain(const struct sc_redo_file *before,
		       const struct sc_redo_file *file, struct sc_err *err)
{
	if (file->id != before->id + 1)
		return bad_file(err, file, "follows #ib_redo%" PRIu64,
				before->id);
	if (file->header.start_lsn != sc_redo_file_end(before))
		return bad_file(err, file,
				"starts at LSN %" PRIu64 ", the file before it"
				" ends at %" PRIu64,
				file->header.start_lsn,
				sc_redo_file_end(before));
	return 0;
}

static int check_files(const struct sc_redo_files *files, uint64_t checkpoint,
		       struct sc_err *err)
{
	uint64_t best = 0;

	if (!files->count)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "there are no redo files (#ib_redo<N>)");
	for (size_t i = 0; i < files->count; i++) {
		const struct sc_redo_file *file = &files->file[i];

		if (check_header(file, files->file[0].header.uuid, err) ||
		    (i && check_chain(file - 1, file, err)) ||
		    check_flags(file, i + 1 == files->count, err) ||
		    check_slots(file, checkpoint, &best, err))
			return -1;
	}
	if (best != checkpoint)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "no redo file holds the checkpoint at LSN "
				  "%" PRIu64,
				  checkpoint);
	return 0;
}

/* The first_rec_group of the block of C is trusted by recovery: it must be
 * none or point into the data. */
static int check_first(const uint8_t *block, uint64_t checkpoint,
		       struct sc_err *err)
{
	struct sc_redo_block b;

	sc_redo_block_parse(block, &b);
	if (b.data_len < sc_redo_offset(checkpoint))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the redo block of the checkpoint at LSN "
				  "%" PRIu64 " has only %u bytes",
				  checkpoint, b.data_len);
	if (b.first_rec_group && (b.first_rec_group < SC_REDO_BLOCK_HEADER ||
				  b.first_rec_group > b.data_len))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the redo block of the checkpoint at LSN "
				  "%" PRIu64
				  " has its first record group at %u",
				  checkpoint, b.first_rec_group);
	return 0;
}

/* What scanning needs to know. */
struct walk {
	uint8_t *buf; /* RUN bytes */
	struct sc_redo_cipher *cipher;
	uint64_t checkpoint;
	uint64_t pos;
};

/* Scan one file from w->pos on. Returns 1 when the log ends in it, else 0
 * with w->pos at its end, -1 on error. */
static int scan_file(struct walk *w, int fd, const struct sc_redo_file *file,
		     struct sc_err *err)
{
	uint64_t *pos = &w->pos;
	uint8_t *buf = w->buf;
	uint64_t end = sc_redo_file_end(file);
	enum sc_redo_verdict stop = SC_REDO_FULL;

	while (*pos < end && stop == SC_REDO_FULL) {
		uint64_t off =
			SC_REDO_FILE_HEADER + *pos - file->header.start_lsn;
		size_t want = SC_MIN((uint64_t)RUN, end - *pos), full;
		ssize_t n = sc_pread_full(fd, buf, want, off);

		if (n != (ssize_t)want)
			return bad_file(err, file, "cannot be read: %s",
					strerror(n < 0 ? (int)-n : EIO));
		full = sc_redo_cipher_judge_all(
			w->cipher, buf, want / SC_REDO_BLOCK, *pos, &stop);
		if (*pos == sc_redo_align(w->checkpoint) &&
		    (full || stop == SC_REDO_PARTIAL) &&
		    check_first(buf, w->checkpoint, err))
			return -1;
		*pos += full * SC_REDO_BLOCK;
		if (stop == SC_REDO_PARTIAL) {
			struct sc_redo_block b;

			sc_redo_block_parse(buf + full * SC_REDO_BLOCK, &b);
			*pos += b.data_len;
		}
		if (stop == SC_REDO_ENCRYPTED)
			return bad_file(err, file,
					"is encrypted at LSN %" PRIu64
					", and its key is not known",
					*pos);
	}
	return stop != SC_REDO_FULL;
}

static int open_file(int dirfd, const struct sc_redo_file *file,
		     struct sc_err *err)
{
	char name[SC_REDO_NAME_SIZE];
	int fd;

	sc_redo_file_name(file->id, name);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? sc_err_sys(err, SC_ER_CLONE_OS, errno,
				   "cannot open redo file %s", name)
		      : fd;
}

static int scan(int dirfd, const struct sc_redo_files *files,
		struct sc_redo_cipher *cipher, uint64_t checkpoint,
		uint64_t *ret_end, struct sc_err *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(RUN);
	struct walk w = { .buf = buf,
			  .cipher = cipher,
			  .checkpoint = checkpoint,
			  .pos = sc_redo_align(checkpoint) };
	int ended = 0;

	if (!buf)
		return sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				  "cannot check the redo log");
	for (size_t i = 0; i < files->count && !ended; i++) {
		const struct sc_redo_file *file = &files->file[i];
		CLEANUP_CLOSE int fd = -1;

		if (!sc_redo_file_holds(file, w.pos))
			continue;
		fd = open_file(dirfd, file, err);
		if (fd < 0)
			return -1;
		ended = scan_file(&w, fd, file, err);
		if (ended < 0)
			return -1;
	}
	*ret_end = w.pos;
	return 0;
}

/* The server looks for the key in the file with the checkpoint, the first.
 * Source: log_encryption_read() in log/log0encryption.cc. */
static int check_encryption(const struct sc_redo_files *files,
			    const struct sc_redo_check_key *key,
			    struct sc_redo_cipher **ret, struct sc_err *err)
{
	const struct sc_redo_file *first = &files->file[0];

	if (!key)
		return 0;
	if (memcmp(first->blocks + SC_REDO_ENCRYPTION, key->block,
		   SC_REDO_BLOCK) != 0)
		return bad_file(err, first, "lacks the key of the log");
	*ret = sc_redo_cipher_new(&key->key);
	return *ret ? 0
		    : sc_err_sys(err, SC_ER_CLONE_OS, ENOMEM,
				 "cannot check the redo log");
}

int sc_redo_check(int redo_dirfd, uint64_t checkpoint_lsn, uint64_t end_lsn,
		  const struct sc_redo_check_key *key, struct sc_err *err)
{
	CLEANUP_REDO_FILES struct sc_redo_files files = { 0 };
	CLEANUP_CIPHER struct sc_redo_cipher *cipher = NULL;
	const struct sc_redo_file *newest;
	uint64_t end = 0;

	if (sc_redo_files_list(redo_dirfd, &files, err) ||
	    check_files(&files, checkpoint_lsn, err) ||
	    check_encryption(&files, key, &cipher, err) ||
	    scan(redo_dirfd, &files, cipher, checkpoint_lsn, &end, err))
		return -1;
	if (end != end_lsn)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the built redo ends at LSN %" PRIu64
				  " instead of %" PRIu64,
				  end, end_lsn);
	newest = &files.file[files.count - 1];
	if (!sc_redo_file_holds(newest, end_lsn))
		return bad_file(err, newest,
				"does not hold the end of the log, LSN "
				"%" PRIu64,
				end_lsn);
	return 0;
}
