/* SPDX-License-Identifier: GPL-2.0-only */
/* What must hold after a job; see world.h. */
#include "tests/fault/world_impl.h"

#include "tests/fault/listing.h"

#include "daemon/btrfs.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/inplace.h"
#include "io/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool has(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_empty(int dir)
{
	DIR *d = sc_dir_open(dir);
	struct dirent *e;
	bool empty = true;

	while (d && (e = readdir(d)))
		empty &= sc_is_dot(e->d_name);
	if (d)
		closedir(d);
	return d && empty;
}

static void keep_first(void *arg, const char *text)
{
	char *first = arg;

	if (!*first)
		snprintf(first, 300, "%s", text);
}

/* The clone is complete and what its manifest says, and has what DDL left. */
static int check_clone(const struct world *w, int dir, struct sc_err *err)
{
	char first[300] = "";
	struct sc_verify_params params = { .dir = dir,
					   .undo_dir = -1,
					   .home_dir = -1,
					   .threads = 2,
					   .found = keep_first,
					   .arg = first };
	struct sc_verify_report report = { 0 };

	if (w->altered && (has(dir, "s/t1.ibd") || !has(dir, "s/t9.ibd") ||
			   has(dir, "s/t2.ibd") || !has(dir, "s/t3.ibd")))
		return world_wrong(err, "the clone has not the files DDL left");
	if (sc_verify(&params, &report, err) < 0)
		return sc_err_context(err, "the clone counts, but");
	if (report.found || !report.before_start ||
	    !(report.redo_checked || report.redo_encrypted) ||
	    !(report.digests || report.shared))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the clone counts, but verify says: %s",
				  first);
	return 0;
}

/* A new directory of a daemon that died: mysqld must not start on it, or it is
 * complete. Then it is removed as sc_target_remove() does. */
static int check_remains(struct world *w, bool *ret_new, struct sc_err *err)
{
	int target = w->play.target;

	if (!has(w->clones, WORLD_TARGET))
		return 0;
	*ret_new = has(target, SC_CLONE_DIR "/" SC_END_NAME) &&
		   !has(target, SC_CLONE_DIR "/" SC_IN_PROGRESS);
	if (*ret_new)
		return check_clone(w, target, err);
	if (has(target, "ibdata1") &&
	    !has(target, SC_CLONE_DIR "/" SC_IN_PROGRESS))
		return world_wrong(err, "an incomplete clone without its mark");
	return 0;
}

static int check_new(struct world *w, const struct ending *end, bool *ret_new,
		     struct sc_err *err)
{
	struct sc_err ignored = SC_ERR_INIT;
	int rc = 0;

	if (end->done) {
		*ret_new = true;
		rc = check_clone(w, w->play.target, err);
	} else if (end->lost) {
		rc = check_remains(w, ret_new, err);
	} else if (has(w->clones, WORLD_TARGET) && !is_empty(w->play.target)) {
		rc = world_wrong(err, "the target was not removed");
	}
	/* As sc_target_remove() of the plugin; in any case, for the next. */
	if (has(w->clones, WORLD_TARGET) &&
	    (sc_tree_remove(w->play.target, &ignored) < 0 ||
	     unlinkat(w->clones, WORLD_TARGET, AT_REMOVEDIR) < 0))
		rc = rc < 0 ? rc
			    : world_wrong(err, "the target cannot be removed");
	close(w->play.target);
	return rc;
}

static int check_in_place(struct world *w, const struct ending *end,
			  bool *ret_new, struct sc_err *err)
{
	struct sc_err refused = SC_ERR_INIT;
	char path[256];
	int rc;

	*ret_new = end->done;
	if (end->lost && play_clean(&w->play, &refused) < 0) {
		*ret_new = strstr(refused.msg, "waits in the data directory");
		if (!*ret_new)
			sc_err_set(err, SC_ER_INTERNAL_ERROR, "CLEAN: %.400s",
				   refused.msg);
	}
	snprintf(path, sizeof(path), "%s/recipient", w->base);
	rc = *ret_new ? check_clone(w, w->recipient, err)
		      : listing_same(path, w->old_files, err);
	if (rc < 0 || *ret_new)
		rc |= world_make_old(w, rc < 0 ? &refused : err);
	return rc;
}

/* Snapshots lie in the top of the file system. One of a daemon that died, or
 * that could not remove it, is the next one's to remove. */
static int check_snapshots(const struct world *w, struct sc_err *err)
{
	const struct orders *orders = &w->play.orders[DONOR];
	size_t len = strlen(SC_BTRFS_PREFIX);
	DIR *dir = opendir(w->where);
	struct dirent *e;
	bool left = false;

	while (dir && (e = readdir(dir)))
		left |= !strncmp(e->d_name, SC_BTRFS_PREFIX, len);
	if (dir)
		closedir(dir);
	return left && !orders->plan.at && !*orders->kill_after
		       ? world_wrong(err, "a snapshot is left")
		       : 0;
}

static int check_donor(struct world *w, struct sc_err *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/donor", w->base);
	if (!is_empty(w->play.spool))
		return world_wrong(err,
				   "something is left in the spool directory");
	return listing_same(path, w->donor_files, err);
}

int world_check(struct world *w, const struct ending end[SIDES], bool *ret_new,
		struct sc_err *err)
{
	const struct ending *writer =
		&end[how_traits[w->play.how].local ? DONOR : RECIPIENT];
	int rc;

	*ret_new = false;
	rc = how_traits[w->play.how].in_place
		     ? check_in_place(w, writer, ret_new, err)
		     : check_new(w, writer, ret_new, err);
	world_undo_alter(w);
	if (rc < 0 || check_snapshots(w, err) < 0)
		return -1;
	return check_donor(w, err);
}
