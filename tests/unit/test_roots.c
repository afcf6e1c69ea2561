/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories of tablespaces: names and where they lie, and the list of files
 * of a donor that has several. */
#include "io/base/roots.h"

#include "dir_fixture.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/filelist.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DATA_FILES "/home/ibdata1:12M;ibdata2:1M:autoextend"

static struct dir_fixture datadir, undo, home;
static struct sc_roots roots;
static struct sc_filelist list;
static struct sc_err err;

static int setup(void **state)
{
	static const uint8_t in[] = { 2, 0 };

	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	dir_fixture_open(&datadir);
	dir_fixture_open(&undo);
	dir_fixture_open(&home);
	roots = (struct sc_roots){ .n = 3, .undo = 1 };
	roots.fd[0] = datadir.fd;
	roots.fd[1] = undo.fd;
	roots.fd[2] = home.fd;
	snprintf(roots.path[1], sizeof(roots.path[1]), "%s", undo.path);
	snprintf(roots.path[2], sizeof(roots.path[2]), "%s", home.path);
	assert_int_equal(sc_roots_set_system(&roots, DATA_FILES, in, 2, &err),
			 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_filelist_free(&list);
	dir_fixture_close(&datadir);
	dir_fixture_close(&undo);
	dir_fixture_close(&home);
	return 0;
}

static void names_tell_directories(void **state)
{
	static const struct {
		const char *name;
		unsigned root;
	} cases[] = {
		{ "ibdata1", 2 },	 { "ibdata2", 0 },
		{ "undo_001", 1 },	 { "undo_1_trunc.log", 1 },
		{ "x.ibu", 1 },		 { "db/t.ibd", 0 },
		{ "db/x.ibu", 0 },	 { "db/ibdata1", 0 },
		{ "mysql.ibd", 0 },	 { "undo_", 0 },
		{ "undo_001.ibd", 0 },	 { ".ibu", 0 },
		{ "ib_buffer_pool", 0 }, { "ibdata3", 0 },
	};
	struct sc_roots one = { .n = 1 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		if (sc_roots_find(&roots, cases[i].name) != cases[i].root)
			fail_msg("%s", cases[i].name);
		assert_int_equal(sc_roots_find(&one, cases[i].name), 0);
	}
	assert_int_equal(sc_roots_place(NULL, 77, "undo_001").dir, 77);
	assert_int_equal(sc_roots_place(&roots, 77, "undo_001").dir, undo.fd);
}

static void data_file_paths(void **state)
{
	static const struct {
		const char *value;
		size_t n;
		bool ok;
	} cases[] = {
		{ "ibdata1:12M:autoextend", 1, true },
		{ "ibdata1:12M;", 1, true },
		{ "/a/b:1M;/c:1M;d/e:1M:autoextend:max:1G", 3, true },
		{ "", 0, true },
		{ "ibdata1:12M", 2, false },
		{ "ibdata1:12M;ibdata2:1M", 1, false },
		{ ":12M", 1, false },
		{ "a/:12M", 1, false },
		{ "a:1M;b/a:1M", 2, false },
	};
	static const uint8_t in[4] = { 0 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_roots r = { .n = 1 };
		int rc = sc_roots_set_system(&r, cases[i].value, in, cases[i].n,
					     &err);

		if (rc != (cases[i].ok ? 0 : -1))
			fail_msg("'%s'", cases[i].value);
		if (rc == 0)
			assert_int_equal(r.n_system, cases[i].n);
	}
}

/* ---- the list of files --------------------------------------------------- */

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	struct sc_place place = sc_roots_place(image->roots, image->root, path);

	(void)direct;
	return sc_open_beneath(place.dir, place.path, O_RDONLY, 0);
}

static int scan(void)
{
	struct sc_image image = { .open_file = open_file,
				  .provider = "test",
				  .root = datadir.fd,
				  .roots = &roots };

	sc_filelist_free(&list);
	return sc_filelist_scan(&image, DATA_FILES, 16384, NULL, &list, &err);
}

static void put(const struct dir_fixture *dir, const char *path)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 7);
	uint8_t *pages = fx_pages(&spec, 2, 1000);

	dir_fixture_put(dir->fd, path, pages, 2 * (size_t)spec.physical_size);
	free(pages);
}

static void put_all(void)
{
	put(&home, "ibdata1");
	put(&datadir, "ibdata2");
	put(&datadir, "mysql.ibd");
	put(&datadir, "db/t.ibd");
	put(&undo, "undo_001");
	put(&undo, "mine.ibu");
	put(&undo, "undo_1_trunc.log");
}

static void files_of_all_directories(void **state)
{
	static const char *const names[] = { "ibdata1",		"ibdata2",
					     "mysql.ibd",	"db/t.ibd",
					     "undo_001",	"mine.ibu",
					     "undo_1_trunc.log" };

	(void)state;
	put_all();
	/* None of these is a tablespace of the server. */
	put(&home, "undo_001");
	put(&home, "ib_buffer_pool");
	put(&undo, "ibdata1");
	put(&undo, "sub/undo_009");
	put(&datadir, "undo_1_trunc.log");
	if (scan() < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(list.n, SC_ARRAY_SIZE(names));
	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++) {
		bool found = false;

		for (size_t j = 0; j < list.n; j++)
			found |= !strcmp(list.files[j].path, names[i]);
		if (!found)
			fail_msg("%s is not listed", names[i]);
	}
}

static void tablespaces_elsewhere(void **state)
{
	static const struct {
		const struct dir_fixture *dir;
		const char *path;
	} cases[] = {
		{ &undo, "t.ibd" },	   { &undo, "sub/db/t.ibd" },
		{ &undo, "sub/mine.ibu" }, { &home, "t.ibd" },
		{ &home, "mine.ibu" },	   { &datadir, "mine2.ibu" },
	};

	(void)state;
	put_all();
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		err = (struct sc_err)SC_ERR_INIT;
		put(cases[i].dir, cases[i].path);
		assert_int_equal(scan(), -1);
		if (err.code != SC_ER_CLONE_SYS_CONFIG ||
		    !strstr(err.msg, cases[i].path))
			fail_msg("'%s' for %s", err.msg, cases[i].path);
		unlinkat(cases[i].dir->fd, cases[i].path, 0);
	}
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(scan(), 0);
}

/* A directory of tablespaces below another one is not walked twice. */
static void nested_directories(void **state)
{
	(void)state;
	put_all();
	put(&datadir, "undo/undo_001");
	put(&datadir, "undo/mine.ibu");
	roots.fd[1] = openat(datadir.fd, "undo", O_RDONLY | O_DIRECTORY);
	snprintf(roots.path[1], sizeof(roots.path[1]), "%s/undo", datadir.path);
	if (scan() < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(list.n, 6);
	close(roots.fd[1]);
}

static void what_mysqld_cannot_read(void **state)
{
	(void)state;
	put_all();
	put(&home, "private/t.ibd");
	assert_int_equal(fchmodat(home.fd, "private", 0, 0), 0);
	/* Root reads it, and must not take it for none of the server's. */
	assert_int_equal(scan(), geteuid() ? 0 : -1);
	assert_int_equal(fchmodat(home.fd, "private", 0700, 0), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_tell_directories),	TEST(data_file_paths),
		TEST(files_of_all_directories), TEST(tablespaces_elsewhere),
		TEST(nested_directories),	TEST(what_mysqld_cannot_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
