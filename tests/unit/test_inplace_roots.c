/* SPDX-License-Identifier: GPL-2.0-only */
/* Replacing in place when tablespaces lie in several directories: every state
 * between two steps goes back to the old data, and a start swaps all of it. */
#include "io/inplace.h"

#include "io/base/fdio.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/swap_model.h"
#include "tests/unit/tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { DATA, UNDO, HOME, EXT, N_DIRS };

enum kind {
	OWN,  /* another one's, stays */
	GONE, /* only in the old data */
	BOTH,
	NEW, /* only in the clone */
	EMPTIED,
};

static const struct {
	const char *path;
	int dir;
	enum kind kind;
} files[] = {
	{ "auto.cnf", DATA, OWN },    { "db/t.ibd", DATA, BOTH },
	{ "db/old.ibd", DATA, GONE }, { "new.ibd", DATA, NEW },
	{ "ibdata2", DATA, BOTH },    { "#innodb_redo/#ib_redo1", DATA, BOTH },
	{ "undo_001", UNDO, BOTH },   { "old.ibu", UNDO, GONE },
	{ "new.ibu", UNDO, NEW },     { "undo_1_trunc.log", UNDO, GONE },
	{ "t.ibd", UNDO, OWN },	      { "sub/x.ibu", UNDO, OWN },
	{ "ibdata1", HOME, BOTH },    { "#ib_16384_0.dblwr", HOME, EMPTIED },
	{ "undo_001", HOME, OWN },    { "else.#clone", HOME, OWN },
	{ "ts.ibd", EXT, BOTH },      { "db/sub/t.ibd", EXT, BOTH },
	{ "db/new.ibd", EXT, NEW },   { "made/new.ibd", EXT, NEW },
	{ "old.ibd", EXT, GONE },     { "db/old.ibd", EXT, GONE },
	{ "x.ibu", EXT, OWN },	      { "db/notes.txt", EXT, OWN },
	{ "db/t.MYD", EXT, OWN },     { "db/else.#clone", EXT, OWN },
	{ "undo_001", EXT, OWN },     { "server/mysql.ibd", EXT, OWN },
	{ "server/t.ibd", EXT, OWN }, { "clone/#clone/x", EXT, OWN },
	{ "clone/t.ibd", EXT, OWN },
};

static struct dir_fixture dirs[N_DIRS];
static struct sc_roots roots;
static struct sc_filelist list;
static struct tree old[N_DIRS];
static struct sc_err err;
static int lock;

static void put(size_t i, const char *suffix, const char *content)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", files[i].path, suffix);
	dir_fixture_put(dirs[files[i].dir].fd, path, content, strlen(content));
}

/* The name in the clone. */
static const char *name_of(size_t i)
{
	static char name[512];

	snprintf(name, sizeof(name), "%s%s%s",
		 files[i].dir == EXT ? dirs[EXT].path : "",
		 files[i].dir == EXT ? "/" : "", files[i].path);
	return name;
}

static void note_made(void)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/made", dirs[EXT].path);
	assert_int_equal(sc_inplace_note_dir(lock, dir, &err), 0);
}

static void stage_all(void)
{
	struct stat st;

	assert_int_equal(fstat(dirs[DATA].fd, &st), 0);
	assert_int_equal(sc_inplace_lock(dirs[DATA].fd, st.st_uid, st.st_gid,
					 &lock, &err),
			 0);
	note_made();
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		bool redo = !strncmp(files[i].path, "#innodb_redo", 12);

		if (files[i].kind != BOTH && files[i].kind != NEW)
			continue;
		if (redo)
			dir_fixture_put(dirs[DATA].fd,
					"#innodb_redo.#clone/#ib_redo1", "new",
					3);
		else
			put(i, SC_CLONE_SUFFIX, "new");
		if (!redo && sc_filelist_add(&list, name_of(i), SC_FILE_OPAQUE,
					     3, NULL, &err) < 0)
			fail_msg("%s", err.msg);
	}
	dir_fixture_put(dirs[DATA].fd,
			SC_CLONE_DIR "/" SC_MANIFEST_NAME SC_CLONE_SUFFIX, "{",
			1);
}

static int setup(void **state)
{
	static const uint8_t in[] = { HOME, DATA };

	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	lock = -1;
	roots = (struct sc_roots){ .n = N_DIRS, .undo = UNDO };
	for (int i = 0; i < N_DIRS; i++) {
		dir_fixture_open(&dirs[i]);
		roots.fd[i] = dirs[i].fd;
		snprintf(roots.path[i], sizeof(roots.path[i]), "%s",
			 dirs[i].path);
	}
	roots.external[EXT] = true;
	assert_int_equal(sc_roots_set_system(&roots, "ibdata1:1M;ibdata2:1M",
					     in, 2, &err),
			 0);
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		if (files[i].kind != NEW)
			put(i, "", "old");
	}
	for (int i = 0; i < N_DIRS; i++)
		old[i] = tree_read(dirs[i].fd);
	stage_all();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (lock >= 0)
		close(lock);
	sc_filelist_free(&list);
	for (int i = 0; i < N_DIRS; i++) {
		tree_free(&old[i]);
		dir_fixture_close(&dirs[i]);
	}
	return 0;
}

/* The first n steps. */
static void run(size_t n)
{
	struct sc_inplace ip = { .datadir = dirs[DATA].fd,
				 .roots = &roots,
				 .list = &list,
				 .end = "format=1\n",
				 .end_len = 9 };
	struct stat st;

	assert_int_equal(fstat(ip.datadir, &st), 0);
	ip.uid = st.st_uid;
	ip.gid = st.st_gid;
	for (size_t i = 0; i < n; i++) {
		if (sc_inplace_steps[i].run(&ip, &err) < 0)
			fail_msg("%s", err.msg);
	}
}

static void expect_old(const char *when)
{
	for (int i = 0; i < N_DIRS; i++) {
		struct tree now = tree_read(dirs[i].fd);
		char text[256];

		/* Made for the lock. */
		tree_remove(&now, SC_CLONE_DIR);
		if (!tree_equal(&old[i], &now, text))
			fail_msg("%s: %s", when, text);
		tree_free(&now);
	}
}

static void expect_clone(void)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		static const char *const want[] = { [OWN] = "old",
						    [BOTH] = "new",
						    [NEW] = "new",
						    [EMPTIED] = "" };
		int fd = dirs[files[i].dir].fd;
		uint8_t *got;
		size_t len;

		if (files[i].kind == GONE) {
			assert_false(dir_fixture_has(fd, files[i].path));
			continue;
		}
		assert_int_equal(dir_fixture_get(fd, files[i].path, &got, &len),
				 0);
		if (len != strlen(want[files[i].kind]) ||
		    memcmp(got, want[files[i].kind], len) != 0)
			fail_msg("%s", files[i].path);
		free(got);
	}
}

static void every_step_is_undone(void **state)
{
	for (size_t n = 0; n <= sc_inplace_n_steps; n++) {
		run(n);
		close(lock);
		lock = -1;
		if (sc_inplace_clean(dirs[DATA].fd, &roots, &err) < 0)
			fail_msg("%zu steps: %s", n, err.msg);
		expect_old(n ? sc_inplace_steps[n - 1].name : "staged");
		teardown(state);
		setup(state);
	}
}

static void start(enum swap_end want, bool fails_early)
{
	const char *why;
	enum swap_end end;

	run(sc_inplace_n_steps);
	assert_int_equal(sc_inplace_commit(dirs[DATA].fd, &err), 0);
	end = swap_start_once(dirs[DATA].fd, fails_early, &why);
	if (end != want)
		fail_msg("%s: %s", swap_end_name(end), why);
}

static void the_clone_comes(void **state)
{
	(void)state;
	start(SWAP_DONE, false);
	expect_clone();
}

static void a_start_rolls_back(void **state)
{
	(void)state;
	start(SWAP_FAILED, true);
	close(lock);
	lock = -1;
	if (sc_inplace_clean(dirs[DATA].fd, &roots, &err) < 0)
		fail_msg("%s", err.msg);
	expect_old("rolled back");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_step_is_undone),
		TEST(the_clone_comes),
		TEST(a_start_rolls_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
