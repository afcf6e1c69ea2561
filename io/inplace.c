/* SPDX-License-Identifier: GPL-2.0-only */
/* The steps of a commit in place; see inplace.h. Undoing is in
 * inplace_undo.c. */
#include "io/inplace_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/base/step.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "commit in the data directory: %s", what);
}

int inplace_clone_dir(const struct sc_inplace *ip, struct sc_err *err)
{
	int fd = inplace_open_dir(ip->datadir);

	return fd < 0 ? failed(errno, SC_CLONE_DIR, err) : fd;
}

int inplace_put_file(const struct sc_inplace *ip, const char *name,
		     const char *text, size_t len, struct sc_err *err)
{
	CLEANUP_CLOSE int dir = inplace_clone_dir(ip, err);

	if (dir < 0 ||
	    sc_write_file(dir, name, text, len, ip->uid, ip->gid, err) < 0)
		return -1;
	return fsync(dir) < 0 ? failed(errno, "fsync " SC_CLONE_DIR, err) : 0;
}

static int step_mark(struct sc_inplace *ip, struct sc_err *err)
{
	return inplace_put_file(ip, SC_STATUS_ERROR, "", 0, err);
}

static int step_close_mark(struct sc_inplace *ip, struct sc_err *err)
{
	CLEANUP_CLOSE int dir = inplace_clone_dir(ip, err);

	return dir < 0 ? -1 : inplace_close_mark(dir, err);
}

/* ---- final names
 * --------------------------------------------------------------- */

static int rename_new(struct sc_inplace *ip, const char *path,
		      struct sc_err *err)
{
	struct sc_place place = inplace_place(ip, path);
	CLEANUP_CLOSE int dir = -1;
	char staged[INPLACE_NAME_CAP];
	const char *base;

	if (inplace_has(place.dir, place.path))
		return 0;
	dir = sc_open_parent_beneath(place.dir, place.path, &base);
	if (dir < 0)
		return failed(-dir, path, err);
	sc_inplace_name(base, staged, sizeof(staged));
	if (renameat(dir, staged, dir, base) < 0)
		return failed(errno, path, err);
	return 0;
}

static int step_rename_new(struct sc_inplace *ip, struct sc_err *err)
{
	for (size_t i = 0; i < ip->list->n; i++) {
		if (!ip->list->files[i].gone &&
		    rename_new(ip, ip->list->files[i].path, err) < 0)
			return -1;
	}
	return rename_new(ip, INPLACE_MANIFEST, err);
}

static int step_put_end(struct sc_inplace *ip, struct sc_err *err)
{
	return inplace_put_file(ip, SC_END_NAME, ip->end, ip->end_len, err);
}

static int step_put_fix(struct sc_inplace *ip, struct sc_err *err)
{
	return inplace_put_file(ip, SC_STATUS_FIX, "", 0, err);
}

static int step_sync(struct sc_inplace *ip, struct sc_err *err)
{
	return inplace_sync(ip->datadir, ip->roots, err);
}

const struct sc_inplace_step sc_inplace_steps[] = {
	{ "mark", step_mark },
	{ "list old files", inplace_list_old },
	{ "list replaced files", inplace_list_replaced },
	{ "list new files", inplace_list_new },
	{ "close mark", step_close_mark },
	{ "rename new files", step_rename_new },
	{ "write end", step_put_end },
	{ "write fix", step_put_fix },
	{ "sync", step_sync },
};
const size_t sc_inplace_n_steps = SC_ARRAY_SIZE(sc_inplace_steps);

int sc_inplace_prepare(struct sc_inplace *ip, struct sc_err *err)
{
	for (size_t i = 0; i < sc_inplace_n_steps; i++) {
		if (sc_inplace_steps[i].run(ip, err) < 0)
			return sc_err_context(err, "%s",
					      sc_inplace_steps[i].name);
		sc_step_done("inplace", sc_inplace_steps[i].name);
	}
	return 0;
}

/* A removal that may not be durable does not count: the undo that follows has
 * to find the mark again. */
static void put_mark_back(int dir)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct stat st;

	if (fstat(dir, &st) == 0)
		(void)sc_write_file(dir, SC_STATUS_ERROR, "", 0, st.st_uid,
				    st.st_gid, &ignored);
}

int sc_inplace_commit(int datadir, struct sc_err *err)
{
	CLEANUP_CLOSE int dir = inplace_open_dir(datadir);

	if (dir < 0 || unlinkat(dir, SC_STATUS_ERROR, 0) < 0)
		return failed(errno, SC_STATUS_ERROR, err);
	if (fsync(dir) == 0)
		return 0;
	failed(errno, "fsync " SC_CLONE_DIR, err);
	put_mark_back(dir);
	return -1;
}
