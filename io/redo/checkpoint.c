/* SPDX-License-Identifier: GPL-2.0-only */
/* The newest checkpoint of a redo directory that may be in use. */
#include "io/base/clock.h"
#include "io/redo/files.h"
#include "io/redo/follow.h"

#include <inttypes.h>

enum { SETTLE_MS = 200, LOOK_AGAIN_MS = 2 };

static int refuse(struct sc_err *err, const char *why)
{
	return sc_err_set(err, SC_ER_CLONE_DONOR, "%s", why);
}

static int check_flags(uint32_t flags, struct sc_err *err)
{
	if (flags & (SC_REDO_NO_LOGGING | SC_REDO_CRASH_UNSAFE))
		return refuse(err, "redo logging is disabled: ALTER INSTANCE "
				   "ENABLE INNODB REDO_LOG, then clone again");
	if (flags & SC_REDO_NOT_INITIALIZED)
		return refuse(err, "the redo log is not initialised: the server"
				   " was never started completely");
	return 0;
}

static int check_file(const struct sc_redo_file *file, uint32_t uuid,
		      struct sc_err *err)
{
	const struct sc_redo_header *h = &file->header;

	if (!file->header_ok)
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "redo file #ib_redo%" PRIu64
				  " has a damaged header",
				  file->id);
	if (h->format != SC_REDO_FORMAT)
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "redo file #ib_redo%" PRIu64
				  " has format %u, known is only %d (MySQL "
				  "8.0.30 to 9.x)",
				  file->id, h->format, SC_REDO_FORMAT);
	if (h->uuid != uuid)
		return sc_err_set(err, SC_ER_CLONE_DONOR,
				  "redo file #ib_redo%" PRIu64
				  " belongs to another log (uuid %u, not %u)",
				  file->id, h->uuid, uuid);
	return 0;
}

/* *ret_torn: something was being written; worth another look. */
static int evaluate(const struct sc_redo_files *files,
		    struct sc_redo_checkpoint *ret, bool *ret_torn,
		    struct sc_err *err)
{
	const struct sc_redo_file *newest, *holder = NULL;

	if (!files->count)
		return refuse(err, "there are no redo files (#ib_redo<N>)");
	newest = &files->file[files->count - 1];
	*ret = (struct sc_redo_checkpoint){ .uuid = newest->header.uuid,
					    .flags = newest->header.flags,
					    .capacity_bytes =
						    files->spare_bytes };
	for (size_t i = 0; i < files->count; i++) {
		const struct sc_redo_file *file = &files->file[i];
		uint64_t lsn;

		if (check_file(file, ret->uuid, err))
			return -1;
		ret->capacity_bytes += file->size;
		lsn = sc_redo_file_checkpoint(file, ret_torn);
		if (lsn > ret->lsn) {
			ret->lsn = lsn;
			holder = file;
		}
	}
	if (check_flags(ret->flags, err))
		return -1;
	if (!holder)
		return refuse(err, "no redo file holds a valid checkpoint");
	memcpy(ret->creator, newest->header.creator, sizeof(ret->creator));
	memcpy(ret->encryption_block, holder->blocks + SC_REDO_ENCRYPTION,
	       SC_REDO_BLOCK);
	ret->encrypted = sc_redo_encryption_present(ret->encryption_block);
	return 0;
}

int sc_redo_newest_checkpoint(int redo_dirfd, struct sc_redo_checkpoint *ret,
			      struct sc_err *err)
{
	uint64_t deadline = sc_now_ms() + SETTLE_MS;

	for (;;) {
		CLEANUP_REDO_FILES struct sc_redo_files files = { 0 };
		struct sc_err why = SC_ERR_INIT;
		bool torn = false;
		int rc;

		if (sc_redo_files_list(redo_dirfd, &files, err))
			return -1;
		rc = evaluate(&files, ret, &torn, &why);
		if (!rc && !torn && !files.changed)
			return 0;
		if (sc_now_ms() >= deadline)
			return rc ? sc_err_set(err, why.code, "%s", why.msg)
				  : 0;
		sc_sleep_ms(LOOK_AGAIN_MS);
	}
}
