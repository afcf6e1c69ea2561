/* SPDX-License-Identifier: GPL-2.0-only */
/* Old data, clone, and the steps from one to the other. */
#include "tests/unit/inplace_fixture.h"

#include "io/base/num.h"
#include "io/redo/check.h"
#include "tests/unit/redo_fixture.h"
#include "tests/unit/stage_fixture.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { C = 8192 + 700, E = 8192 + 2000 };

static const char end_text[] = "format=1\nend_lsn=10192\n";

/* Replaced, by one that tells times: its content is left out. */
#define MANIFEST SC_CLONE_DIR "/" SC_MANIFEST_NAME

/* ---- files
 * -------------------------------------------------------------------
 */

enum kind {
	OWN,  /* of the server, stays */
	GONE, /* only in the old data */
	BOTH,
	NEW,	/* only in the clone */
	DOOMED, /* in the clone until the pass */
	EMPTIED,
};

static const struct file {
	const char *path;
	enum kind kind;
} files[] = {
	{ "auto.cnf", OWN },
	{ "mysqld-auto.cnf", OWN },
	{ "ca-key.pem", OWN },
	{ "server-cert.pem", OWN },
	{ "binlog.000001", OWN },
	{ "binlog.000002", OWN },
	{ "binlog.index", OWN },
	{ "host-relay-bin.000003", OWN },
	{ "host-relay-bin.index", OWN },
	{ "logs/binlog.000007", OWN }, /* log_bin=logs/binlog */
	{ "logs/binlog.index", OWN },
	{ "keyring/component_keyring_file", OWN },
	{ "ibtmp1", OWN },
	{ "undone.txt", OWN },
	{ "undo_001.bak", OWN },
	{ "lost+found/shop/a.ibd", OWN },
	{ ".backup/a.ibd", OWN },
	{ ".backup/shop/my.MYD", OWN },
	{ "shop/.snapshot/a.ibd", OWN },
	{ "#innodb_temp/temp_1.ibt", OWN },
	{ "#clone/#view_status", OWN },
	{ MANIFEST, OWN }, /* of an earlier clone */
	{ "performance_schema/accounts_145.sdi", OWN },
	{ "mysql/general_log.CSV", OWN },
	{ "mysql/general_log_211.sdi", OWN },
	{ "#ib_16384_0.dblwr", EMPTIED },
	{ "#ib_16384_1.bdblwr", EMPTIED },
	{ "ibdata1", BOTH },
	{ "mysql.ibd", BOTH },
	{ "undo_001", BOTH },
	{ "ib_buffer_pool", BOTH },
	{ "sys/sys_config.ibd", BOTH },
	{ "shop/orders.ibd", BOTH },
	{ "space_both.ibd", BOTH },
	{ "space_both.ibd", DOOMED },
	{ "shop/old.ibd", GONE },
	{ "shop/part#p#p0.ibd", GONE },
	{ "shop/my.MYD", GONE },
	{ "shop/my.MYI", GONE },
	{ "shop/my_363.sdi", GONE },
	{ "shop/c.CSV", GONE },
	{ "shop/c.CSM", GONE },
	{ "left/only.ibd", GONE },
	{ "space_old.ibd", GONE },
	{ "undo_900.ibu", GONE },
	{ "undo_2_trunc.log", GONE },
	{ "#innodb_redo/#ib_redo7", GONE },
	{ "#innodb_redo/#ib_redo8_tmp", GONE },
	{ "shop/new.ibd", NEW },
	{ "space_new.ibd", NEW },
	{ "undo_002", NEW },
	{ "undo_003", NEW },
	{ "undo_004", DOOMED },
	{ "doomed/a.ibd", DOOMED },
	{ "shop/old.ibd", DOOMED },
	{ "left/moved.ibd", NEW },
	{ "fresh3/a.ibd", NEW },
	{ "fresh4/a.ibd", NEW },
	{ "fresh/a.ibd", NEW },
	{ "fresh/b.ibd", NEW },
	{ "fresh2/a.ibd", NEW },
};

/* Paths until the pass; "": added by it, of a doomed one copied anew. */
static const struct {
	const char *path, *before;
} passed[] = {
	{ "shop/orders.ibd", "shop/new.ibd" }, /* they swap */
	{ "shop/new.ibd", "shop/orders.ibd" },
	{ "space_both.ibd", "" },
	{ "undo_003", "" },
	{ "left/moved.ibd", "doomed/moved.ibd" },
	{ "fresh3/a.ibd", "fresh/c.ibd" },
	{ "fresh4/a.ibd", "" },
};

static size_t content(const char *path, bool clone, char text[256])
{
	return (size_t)snprintf(text, 256, "%s of the %s", path,
				clone ? "clone, which is longer" : "old data");
}

static bool in_clone(const struct file *file)
{
	return file->kind == BOTH || file->kind == NEW;
}

static void make_old(struct inplace_fixture *fx)
{
	char text[256];

	dir_fixture_open(&fx->dir);
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		size_t len = content(files[i].path, false, text);

		if (files[i].kind != NEW && files[i].kind != DOOMED)
			dir_fixture_put(fx->dir.fd, files[i].path, text, len);
	}
	mkdirat(fx->dir.fd, "empty_schema", 0750);
	fx->old = tree_read(fx->dir.fd);
}

static int list_file(struct inplace_fixture *fx, struct sc_filelist *list,
		     size_t index, const char *path, const char *final)
{
	char text[256];

	assert(index < INPLACE_FIXTURE_FILES);
	fx->names[index] = final;
	return sc_filelist_add(list, path, SC_FILE_OPAQUE,
			       content(final, true, text), NULL, &fx->err);
}

/* NULL: the pass does not touch it. */
static const char *before(const struct file *file)
{
	for (size_t i = 0; in_clone(file) && i < SC_ARRAY_SIZE(passed); i++) {
		if (!strcmp(passed[i].path, file->path))
			return passed[i].before;
	}
	return NULL;
}

static bool is_listed(const struct file *file)
{
	const char *path = before(file);

	return file->kind == DOOMED || (in_clone(file) && !(path && !*path));
}

static void make_list(struct inplace_fixture *fx)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		const struct file *f = &files[i];
		const char *path = before(f);

		if (is_listed(f) &&
		    list_file(fx, &fx->list, fx->list.n, path ? path : f->path,
			      f->path) < 0)
			abort();
	}
}

void inplace_fixture_open(struct inplace_fixture *fx)
{
	*fx = (struct inplace_fixture){ 0 };
	make_old(fx);
	make_list(fx);
}

void inplace_fixture_close(struct inplace_fixture *fx)
{
	sc_stage_free(fx->stage);
	sc_filelist_free(&fx->list);
	tree_free(&fx->old);
	dir_fixture_close(&fx->dir);
}

void inplace_fixture_again(struct inplace_fixture *fx)
{
	inplace_fixture_close(fx);
	inplace_fixture_open(fx);
}

/* ---- steps
 * -------------------------------------------------------------------
 */

static int run_open(struct inplace_fixture *fx)
{
	struct sc_stage_params params = { .target = fx->dir.fd,
					  .parent = -1,
					  .in_place = true,
					  .page_size = 16384,
					  .streams = 1 };

	/* That of the last clone has seen its pass. */
	sc_filelist_free(&fx->list);
	make_list(fx);
	return sc_stage_open(&params, &fx->stage, &fx->err);
}

static int run_redo_begin(struct inplace_fixture *fx)
{
	struct sc_redo_begin begin = { C, FX_UUID, "MySQL 9.7.4" };

	return sc_stage_redo_begin(fx->stage, &begin, &fx->err);
}

static int run_files(struct inplace_fixture *fx)
{
	return sc_stage_files(fx->stage, &fx->list, &fx->err);
}

static int put_chunks(struct inplace_fixture *fx, size_t from, unsigned stream)
{
	for (size_t i = from; i < fx->list.n; i++) {
		struct sc_chunk chunk = { .file = (uint32_t)i };
		char text[256];

		chunk.len = (uint32_t)content(fx->names[i], true, text);
		sc_digest(text, chunk.len, chunk.digest);
		if (fx_stage_put(fx->stage, stream, &chunk, text, &fx->err) < 0)
			return -1;
	}
	return 0;
}

static int run_chunks(struct inplace_fixture *fx)
{
	return put_chunks(fx, 0, 1);
}

/* What the pass does to the files that are listed. */
static int make_changes(struct inplace_fixture *fx, struct sc_file_changes *c)
{
	uint32_t listed = 0;

	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		const struct file *f = &files[i];
		int rc = 0;

		if (in_clone(f) && !is_listed(f))
			rc = list_file(fx, &c->adds, fx->list.n + c->adds.n,
				       f->path, f->path);
		else if (f->kind == DOOMED)
			rc = sc_file_changes_drop(c, listed, &fx->err);
		else if (before(f))
			rc = sc_file_changes_rename(c, listed, f->path,
						    &fx->err);
		listed += is_listed(f);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int run_pass(struct inplace_fixture *fx)
{
	CLEANUP_CHANGES struct sc_file_changes changes = { 0 };
	size_t n = fx->list.n;

	if (make_changes(fx, &changes) < 0 ||
	    sc_stage_change(fx->stage, &changes, &fx->err) < 0 ||
	    sc_file_changes_apply(&changes, &fx->list, &fx->err) < 0)
		return -1;
	return put_chunks(fx, n, 0);
}

static int run_redo(struct inplace_fixture *fx)
{
	static const struct redo_fixture log = { .seed = 9 };
	uint8_t block[SC_REDO_BLOCK];

	for (uint64_t lsn = sc_redo_align(C); lsn < E; lsn += sizeof(block)) {
		redo_fixture_block(&log, lsn, E, block);
		if (sc_stage_redo(fx->stage, lsn, block, sizeof(block),
				  &fx->err) < 0)
			return -1;
	}
	return 0;
}

/* Every file has a byte more at the seal. */
static int run_seal(struct inplace_fixture *fx)
{
	uint64_t sizes[INPLACE_FIXTURE_FILES];
	struct sc_seal seal = { .mark = { .end_lsn = E },
				.sizes = sizes,
				.n_sizes = fx->list.n };

	for (size_t i = 0; i < fx->list.n; i++)
		sizes[i] = fx->list.files[i].size + 1;
	return sc_stage_seal(fx->stage, &seal, &fx->err);
}

static int run_commit(struct inplace_fixture *fx)
{
	return sc_stage_commit(fx->stage, &fx->err);
}

static const struct {
	const char *name;
	int (*run)(struct inplace_fixture *fx);
} stage_steps[] = {
	{ "open", run_open },	{ "redo begin", run_redo_begin },
	{ "files", run_files }, { "chunks", run_chunks },
	{ "pass", run_pass },	{ "redo", run_redo },
	{ "seal", run_seal },
};

size_t inplace_fixture_n_steps(void)
{
	return SC_ARRAY_SIZE(stage_steps) + sc_inplace_n_steps + 1;
}

const char *inplace_fixture_step_name(size_t step)
{
	if (step < SC_ARRAY_SIZE(stage_steps))
		return stage_steps[step].name;
	step -= SC_ARRAY_SIZE(stage_steps);
	return step < sc_inplace_n_steps ? sc_inplace_steps[step].name
					 : "commit";
}

size_t inplace_fixture_step(const char *name)
{
	for (size_t i = 0; i < inplace_fixture_n_steps(); i++)
		if (!strcmp(inplace_fixture_step_name(i), name))
			return i;
	abort();
}

static int run_inplace(struct inplace_fixture *fx, size_t step)
{
	struct stat st;
	struct sc_inplace ip = { .datadir = fx->dir.fd,
				 .list = &fx->list,
				 .end = end_text,
				 .end_len = sizeof(end_text) - 1 };

	fstat(fx->dir.fd, &st);
	ip.uid = st.st_uid;
	ip.gid = st.st_gid;
	return sc_inplace_steps[step].run(&ip, &fx->err);
}

static int run_step(struct inplace_fixture *fx, size_t step)
{
	if (step < SC_ARRAY_SIZE(stage_steps))
		return stage_steps[step].run(fx);
	step -= SC_ARRAY_SIZE(stage_steps);
	return step < sc_inplace_n_steps ? run_inplace(fx, step)
					 : run_commit(fx);
}

int inplace_fixture_run(struct inplace_fixture *fx, size_t from, size_t to)
{
	for (size_t i = from; i <= to; i++) {
		if (run_step(fx, i) < 0)
			return -1;
	}
	return 0;
}

/* ---- what is found
 * -------------------------------------------------------------
 */

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n >= s && !strcmp(name + n - s, suffix);
}

static void put_clone_file(struct tree *tree, const struct file *file)
{
	char text[256] = { 0 }, dir[256];
	size_t len = content(file->path, true, text);
	const char *slash = strchr(file->path, '/');

	snprintf(dir, sizeof(dir), "%.*s",
		 slash ? (int)(slash - file->path) : 0, file->path);
	if (slash && !tree_find(tree, dir))
		tree_put(tree, dir, NULL, 0);
	text[len] = '\0';
	tree_put(tree, file->path, text, len + 1);
}

struct tree inplace_fixture_clone(const struct inplace_fixture *fx)
{
	struct tree tree = tree_copy(&fx->old);

	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		if (files[i].kind == GONE)
			tree_remove(&tree, files[i].path);
		else if (files[i].kind == EMPTIED)
			tree_put(&tree, files[i].path, "", 0);
		else if (in_clone(&files[i]))
			put_clone_file(&tree, &files[i]);
	}
	tree_remove(&tree, SC_REDO_DIR);
	tree_put(&tree, SC_CLONE_DIR "/" SC_END_NAME, end_text,
		 sizeof(end_text) - 1);
	tree_put(&tree, SC_CLONE_DIR "/" SC_STATUS_FIX, "", 0);
	tree_put(&tree, MANIFEST, "{", 1);
	return tree;
}

struct tree inplace_fixture_tree(int datadir, bool without_redo)
{
	struct tree tree = tree_read(datadir);
	const struct tree_entry *manifest;

	if (without_redo)
		tree_remove(&tree, SC_REDO_DIR);
	tree_remove(&tree, SC_CLONE_DIR "/#status_recovery");
	manifest = tree_find(&tree, MANIFEST);
	if (manifest && manifest->len && *(char *)manifest->data == '{')
		tree_put(&tree, MANIFEST, "{", 1);
	return tree;
}

bool inplace_fixture_redo_ok(int datadir, struct sc_err *err)
{
	int redo = openat(datadir, SC_REDO_DIR, O_RDONLY | O_CLOEXEC);
	bool ok = redo >= 0 && sc_redo_check(redo, C, E, NULL, err) == 0;

	close(redo);
	return ok;
}

/* Staged files, and what a write that was cut off leaves in #clone. */
static bool is_leftover(const char *path)
{
	return ends_with(path, SC_CLONE_SUFFIX) ||
	       (!strncmp(path, SC_CLONE_DIR "/", 7) && ends_with(path, ".tmp"));
}

static void remove_if_empty(struct tree *tree, const char *path)
{
	const struct tree_entry *entry = tree_find(tree, path);
	bool last = entry && entry == &tree->entries[tree->n - 1];

	if (entry && (last || strncmp(entry[1].path, path, strlen(path)) ||
		      entry[1].path[strlen(path)] != '/'))
		tree_remove(tree, path);
}

void inplace_fixture_ignore_stage(struct tree *tree)
{
	for (size_t i = tree->n; i-- > 0;) {
		char path[2048];

		snprintf(path, sizeof(path), "%s", tree->entries[i].path);
		if (is_leftover(path))
			tree_remove(tree, path);
		i = SC_MIN(i, tree->n);
	}
	tree_remove(tree, SC_CLONE_DIR "/" SC_STAGE_MARK);
	remove_if_empty(tree, "fresh");
	remove_if_empty(tree, "fresh2");
	remove_if_empty(tree, "fresh3");
	remove_if_empty(tree, "fresh4");
	remove_if_empty(tree, "doomed");
}
