/* SPDX-License-Identifier: GPL-2.0-only */
/* See world.h. */
#include "tests/fault/world.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/inplace.h"
#include "io/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TARGET "clone"

static int wrong(struct sc_err *err, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", what);
}

/* ---- a directory's files as text ----------------------------------------- */

enum { MAX_LINES = 1024 };

static char *lines[MAX_LINES];
static size_t n_lines, root_len;

static int add_line(const char *path, const struct stat *st, int type,
		    struct FTW *ftw)
{
	bool file = type == FTW_F;

	(void)ftw;
	if (n_lines == MAX_LINES ||
	    asprintf(&lines[n_lines], "%s %o %lld %lld.%ld %llu\n",
		     path + root_len, st->st_mode,
		     file ? (long long)st->st_size : 0LL,
		     file ? (long long)st->st_mtim.tv_sec : 0LL,
		     file ? st->st_mtim.tv_nsec : 0L,
		     (unsigned long long)st->st_ino) < 0)
		return -1;
	n_lines++;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Path, mode, size, time and inode of everything below; to be freed. */
static char *list_files(const char *root)
{
	size_t len = 1;
	char *text;

	n_lines = 0;
	root_len = strlen(root);
	if (nftw(root, add_line, 16, FTW_PHYS) != 0)
		return NULL;
	qsort(lines, n_lines, sizeof(*lines), by_text);
	for (size_t i = 0; i < n_lines; i++)
		len += strlen(lines[i]);
	text = calloc(1, len);
	for (size_t i = 0, at = 0; i < n_lines; i++) {
		if (text)
			at += (size_t)sprintf(text + at, "%s", lines[i]);
		free(lines[i]);
	}
	return text;
}

static int same_files(const char *root, const char *want, struct sc_err *err)
{
	CLEANUP_FREE char *have = list_files(root);
	size_t at = 0, line = 0;

	if (!have)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "cannot list %s",
				  root);
	if (!strcmp(have, want))
		return 0;
	for (; have[at] == want[at]; at++)
		line = want[at] == '\n' ? at + 1 : line;
	return sc_err_set(err, SC_ER_INTERNAL_ERROR,
			  "%s is not as it was: '%.*s', was '%.*s'", root,
			  (int)strcspn(have + line, "\n"), have + line,
			  (int)strcspn(want + line, "\n"), want + line);
}

/* ---- making -------------------------------------------------------------- */

static int open_dir(struct world *w, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->base, name);
	(void)mkdir(path, 0750);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A server's data directory as far as a clone in place looks at it. */
static int make_old(struct world *w, struct sc_err *err)
{
	static const char *const dirs[] = { "#clone", "#innodb_redo", "mysql",
					    "s", "own" };
	static const char *const files[] = {
		"ibdata1",	"mysql.ibd",	     "undo_001",
		"undo_002",	"auto.cnf",	     "#innodb_redo/#ib_redo7",
		"own/t.ibd",	"s/t0.ibd",	     "binlog.000001",
		"binlog.index", "#ib_16384_0.dblwr", "ib_buffer_pool",
	};
	char path[256];

	if (sc_tree_remove(w->recipient, err) < 0)
		return -1;
	for (size_t i = 0; i < SC_ARRAY_SIZE(dirs); i++)
		(void)mkdirat(w->recipient, dirs[i], 0750);
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		if (sc_write_file(w->recipient, files[i], "old data\n", 9,
				  geteuid(), getegid(), err) < 0)
			return -1;
	}
	snprintf(path, sizeof(path), "%s/recipient", w->base);
	free(w->old_files);
	w->old_files = list_files(path);
	return w->old_files ? 0 : wrong(err, "cannot list the recipient");
}

/* ---- the donor's DDL ------------------------------------------------------
 */

static void move(int from_dir, const char *from, int dir, const char *to)
{
	if (renameat(from_dir, from, dir, to) < 0)
		fprintf(stderr, "%s to %s: %s\n", from, to,
			strerrordesc_np(errno));
}

/* RENAME TABLE t1 TO t9, DROP TABLE t2, CREATE TABLE t3, as far as files go. */
static void alter(void *arg)
{
	struct world *w = arg;

	move(w->play.datadir, "s/t1.ibd", w->play.datadir, "s/t9.ibd");
	move(w->play.datadir, "s/t2.ibd", w->later, "t2.ibd");
	move(w->later, "t3.ibd", w->play.datadir, "s/t3.ibd");
	w->altered = true;
}

static void undo_alter(struct world *w)
{
	if (!w->altered)
		return;
	move(w->play.datadir, "s/t9.ibd", w->play.datadir, "s/t1.ibd");
	move(w->later, "t2.ibd", w->play.datadir, "s/t2.ibd");
	move(w->play.datadir, "s/t3.ibd", w->later, "t3.ibd");
	w->altered = false;
}

static int copy_donor(struct world *w, const char *data, struct sc_err *err)
{
	char text[600];
	FILE *f;
	int n;

	snprintf(text, sizeof(text), "cp -a --sparse=always '%s' '%s/donor'",
		 data, w->base);
	if (system(text) != 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s failed", text);
	snprintf(text, sizeof(text), "%s.lsn", data);
	f = fopen(text, "re");
	n = f ? fscanf(f, "%" SCNu64 "%" SCNu64, &w->play.end_lsn,
		       &w->play.begin_lsn)
	      : 0;
	if (f)
		fclose(f);
	return n == 2 ? 0 : sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", text);
}

int world_open(struct world *w, const char *daemon, const char *data,
	       struct sc_err *err)
{
	static char boards[160];
	char path[256];

	*w = (struct world){ .recipient = -1, .clones = -1 };
	snprintf(w->base, sizeof(w->base), "%s/snapclone-fault-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(w->base))
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "%s",
				  w->base);
	w->play.daemon = daemon;
	if (copy_donor(w, data, err) < 0)
		return -1;
	w->play.datadir = open_dir(w, "donor");
	w->play.redo = open_dir(w, "donor/#innodb_redo");
	w->play.spool = open_dir(w, "spool");
	w->recipient = open_dir(w, "recipient");
	w->later = open_dir(w, "later");
	w->clones = open_dir(w, "clones");
	close(open_dir(w, "boards"));
	snprintf(boards, sizeof(boards), "%s/boards", w->base);
	w->play.boards = boards;
	w->play.target = -1;
	snprintf(path, sizeof(path), "%s/donor", w->base);
	move(w->play.datadir, "s/t3.ibd", w->later, "t3.ibd");
	w->donor_files = list_files(path);
	if (w->clones < 0 || w->play.redo < 0 || !w->donor_files)
		return wrong(err, "cannot open the directories");
	return make_old(w, err);
}

void world_close(struct world *w)
{
	struct sc_err err = SC_ERR_INIT;
	int base = open(w->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (base >= 0 && (sc_tree_remove(base, &err) < 0 || rmdir(w->base) < 0))
		fprintf(stderr, "%s stays: %s\n", w->base, err.msg);
	close(base);
	close(w->play.datadir);
	close(w->play.redo);
	close(w->play.spool);
	close(w->recipient);
	close(w->later);
	close(w->clones);
	free(w->donor_files);
	free(w->old_files);
}

int world_begin(struct world *w, enum how how, struct sc_err *err)
{
	w->play.how = how;
	/* With and without a pass after the first. */
	w->play.ddl = how == IN_PLACE || how == LOCAL ? alter : NULL;
	w->play.arg = w;
	w->play.parent = w->clones;
	w->play.target_name = TARGET;
	w->play.target = w->recipient;
	if (how == IN_PLACE)
		return 0;
	if (mkdirat(w->clones, TARGET, 0750) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, TARGET);
	w->play.target =
		openat(w->clones, TARGET, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->play.target < 0 ? wrong(err, "cannot open the target") : 0;
}

/* ---- checking ------------------------------------------------------------ */

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
	struct sc_verify_params params = {
		.dir = dir, .threads = 2, .found = keep_first, .arg = first
	};
	struct sc_verify_report report = { 0 };

	if (w->altered && (has(dir, "s/t1.ibd") || !has(dir, "s/t9.ibd") ||
			   has(dir, "s/t2.ibd") || !has(dir, "s/t3.ibd")))
		return wrong(err, "the clone has not the files DDL left");
	if (sc_verify(&params, &report, err) < 0)
		return sc_err_context(err, "the clone counts, but");
	if (report.found || !report.before_start || !report.redo_checked ||
	    !report.digests)
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

	if (!has(w->clones, TARGET))
		return 0;
	*ret_new = has(target, SC_CLONE_DIR "/" SC_END_NAME) &&
		   !has(target, SC_CLONE_DIR "/" SC_IN_PROGRESS);
	if (*ret_new)
		return check_clone(w, target, err);
	if (has(target, "ibdata1") &&
	    !has(target, SC_CLONE_DIR "/" SC_IN_PROGRESS))
		return wrong(err, "an incomplete clone without its mark");
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
	} else if (has(w->clones, TARGET) && !is_empty(w->play.target)) {
		rc = wrong(err, "the target was not removed");
	}
	/* As sc_target_remove() of the plugin; in any case, for the next. */
	if (has(w->clones, TARGET) &&
	    (sc_tree_remove(w->play.target, &ignored) < 0 ||
	     unlinkat(w->clones, TARGET, AT_REMOVEDIR) < 0))
		rc = rc < 0 ? rc : wrong(err, "the target cannot be removed");
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
		      : same_files(path, w->old_files, err);
	if (rc < 0 || *ret_new)
		rc |= make_old(w, rc < 0 ? &refused : err);
	return rc;
}

static int check_donor(struct world *w, struct sc_err *err)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/donor", w->base);
	if (!is_empty(w->play.spool))
		return wrong(err, "something is left in the spool directory");
	return same_files(path, w->donor_files, err);
}

int world_check(struct world *w, const struct ending end[SIDES], bool *ret_new,
		struct sc_err *err)
{
	const struct ending *writer =
		&end[w->play.how == LOCAL ? DONOR : RECIPIENT];
	int rc;

	*ret_new = false;
	rc = w->play.how == IN_PLACE ? check_in_place(w, writer, ret_new, err)
				     : check_new(w, writer, ret_new, err);
	undo_alter(w);
	return rc < 0 ? -1 : check_donor(w, err);
}
