/* SPDX-License-Identifier: GPL-2.0-only */
/* Making the directories; see world.h. */
#include "tests/fault/world_impl.h"

#include "tests/fault/listing.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int world_wrong(struct sc_err *err, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", what);
}

/* ---- making -------------------------------------------------------------- */

static int open_dir(struct world *w, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->base, name);
	(void)mkdir(path, 0750);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void close_dir(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* A server's data directory as far as a clone in place looks at it. */
int world_make_old(struct world *w, struct sc_err *err)
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
	w->old_files = listing_make(path);
	return w->old_files ? 0 : world_wrong(err, "cannot list the recipient");
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

void world_undo_alter(struct world *w)
{
	if (!w->altered)
		return;
	move(w->play.datadir, "s/t9.ibd", w->play.datadir, "s/t1.ibd");
	move(w->later, "t2.ibd", w->play.datadir, "s/t2.ibd");
	move(w->play.datadir, "s/t3.ibd", w->later, "t3.ibd");
	w->altered = false;
}

/* ---- a world --------------------------------------------------------------
 */

static int copy_donor(struct world *w, const char *data, struct sc_err *err)
{
	char text[600];

	snprintf(text, sizeof(text), "cp -a --sparse=always '%s' '%s/donor'",
		 data, w->base);
	return system(text) == 0 ? 0 : world_wrong(err, text);
}

static int read_lsns(struct world *w, const char *data, struct sc_err *err)
{
	char path[256];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s.lsn", data);
	f = fopen(path, "re");
	n = f ? fscanf(f, "%" SCNu64 "%" SCNu64, &w->play.end_lsn,
		       &w->play.begin_lsn)
	      : 0;
	if (f)
		fclose(f);
	return n == 2 ? 0 : world_wrong(err, path);
}

static int read_key(FILE *f, struct sc_master_key *ret)
{
	char hex[2 * SC_MASTER_KEY_SIZE + 1];

	if (fscanf(f, "%36s %" SCNu32 " %64s", ret->ref.uuid, &ret->ref.id,
		   hex) != 3)
		return -1;
	for (size_t i = 0; i < SC_MASTER_KEY_SIZE; i++) {
		if (sscanf(hex + 2 * i, "%2hhx", &ret->value[i]) != 1)
			return -1;
	}
	return 0;
}

static int read_keys(struct world *w, const char *data, struct sc_err *err)
{
	struct sc_master_key key;
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s.keys", data);
	f = fopen(path, "re");
	if (!f)
		return world_wrong(err, path);
	while (read_key(f, &key) == 0 && sc_key_list_add(&w->keys, &key) == 0)
		;
	fclose(f);
	w->play.keys = &w->keys;
	return 0;
}

static int open_dirs(struct world *w, struct sc_err *err)
{
	w->play.datadir = open_dir(w, "donor");
	w->play.redo = open_dir(w, "donor/#innodb_redo");
	w->play.spool = open_dir(w, "spool");
	w->recipient = open_dir(w, "recipient");
	w->later = open_dir(w, "later");
	w->clones = open_dir(w, "clones");
	close_dir(open_dir(w, "boards"));
	snprintf(w->play.boards, sizeof(w->play.boards), "%s/boards", w->base);
	return w->clones < 0 || w->play.redo < 0
		       ? world_wrong(err, "cannot open the directories")
		       : 0;
}

int world_open(struct world *w, const char *daemon, const char *where,
	       const char *data, struct sc_err *err)
{
	char path[256];

	*w = (struct world){ .recipient = -1, .later = -1, .clones = -1 };
	w->play = (struct play){ .daemon = daemon,
				 .datadir = -1,
				 .redo = -1,
				 .spool = -1,
				 .target = -1 };
	w->where = where;
	snprintf(w->base, sizeof(w->base), "%s/snapclone-fault-XXXXXX", where);
	if (!mkdtemp(w->base))
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "%s",
				  w->base);
	if (copy_donor(w, data, err) < 0 || read_lsns(w, data, err) < 0 ||
	    read_keys(w, data, err) < 0 || open_dirs(w, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/donor", w->base);
	move(w->play.datadir, "s/t3.ibd", w->later, "t3.ibd");
	w->donor_files = listing_make(path);
	if (!w->donor_files)
		return world_wrong(err, "cannot list the donor");
	return world_make_old(w, err);
}

void world_close(struct world *w)
{
	struct sc_err err = SC_ERR_INIT;
	int base = open(w->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (base >= 0 && (sc_tree_remove(base, &err) < 0 || rmdir(w->base) < 0))
		fprintf(stderr, "%s stays: %s\n", w->base, err.msg);
	close_dir(base);
	close_dir(w->play.datadir);
	close_dir(w->play.redo);
	close_dir(w->play.spool);
	close_dir(w->recipient);
	close_dir(w->later);
	close_dir(w->clones);
	sc_key_list_free(&w->keys);
	free(w->donor_files);
	free(w->old_files);
}

int world_begin(struct world *w, enum how how, struct sc_err *err)
{
	w->play.how = how;
	w->play.ddl = how_traits[how].alters ? alter : NULL;
	w->play.arg = w;
	w->play.parent = w->clones;
	w->play.target_name = WORLD_TARGET;
	w->play.target = w->recipient;
	if (how_traits[how].in_place)
		return 0;
	if (mkdirat(w->clones, WORLD_TARGET, 0750) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  WORLD_TARGET);
	w->play.target = openat(w->clones, WORLD_TARGET,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->play.target < 0 ? world_wrong(err, "cannot open the target")
				  : 0;
}
