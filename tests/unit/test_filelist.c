/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of files: paths, chunks, and the scan of made-up data directories.
 */
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/filelist.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct dir_fixture dir;
static struct sc_filelist list;
static struct sc_err err;

static int setup(void **state)
{
	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	dir_fixture_open(&dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_filelist_free(&list);
	dir_fixture_close(&dir);
	return 0;
}

/* ---- paths and chunks ------------------------------------------------------
 */

static const struct path_case {
	const char *path;
	bool ok;
} path_cases[] = {
	{ "ibdata1", true },
	{ "db/t.ibd", true },
	{ "db/sub/t.ibd", true },
	{ "db/#sql-ib1059-7.ibd", true }, /* an intermediate table */
	{ "db@002e1/t#p#p0.ibd", true },
	{ "..t", true },
	{ "...", true },
	{ "db/.t", true },
	{ "a b", true },
	{ "a b\n", false },
	{ "a\n./auto.cnf", false },
	{ "a\r", false },
	{ "", false },
	{ "/", false },
	{ "/t", false },
	{ "/t.ibd", true }, /* external */
	{ "/x/db/t.ibd", true },
	{ "/x/ibdata1", false },
	{ "/x/.ibd", true },
	{ "/.ibd", true },
	{ ".ibd", true },
	{ "//x/t.ibd", false },
	{ "/x/../t.ibd", false },
	{ "/x/t.ibd/", false },
	{ "t/", false },
	{ "a//b", false },
	{ ".", false },
	{ "..", false },
	{ "./t", false },
	{ "../t", false },
	{ "a/./t", false },
	{ "a/../t", false },
	{ "a/..", false },
	{ "#clone/x", false },
	{ "#innodb_redo/#ib_redo0", false },
	{ "#ib_16384_0.dblwr", false },
};

static void paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(path_cases); i++)
		if (sc_path_ok(path_cases[i].path) != path_cases[i].ok)
			fail_msg("'%s'", path_cases[i].path);
}

static void long_paths(void **state)
{
	char path[SC_PATH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < SC_PATH_MAX; i++)
		path[i] = i % 100 == 99 ? '/' : 'x';
	path[SC_PATH_MAX] = '\0';
	assert_false(sc_path_ok(path));
	path[SC_PATH_MAX - 1] = '\0';
	assert_true(sc_path_ok(path));
	memset(path, 'x', 256);
	path[256] = '\0';
	assert_false(sc_path_ok(path));
	path[255] = '\0';
	assert_true(sc_path_ok(path));
}

static void add(const char *path, uint64_t size)
{
	assert_int_equal(
		sc_filelist_add(&list, path, SC_FILE_OPAQUE, size, NULL, &err),
		0);
}

/* Sizes in bytes; every chunk must be found in the file that has it. */
static void check_chunks(const uint64_t *sizes, size_t n)
{
	uint64_t chunk = 0;

	for (size_t i = 0; i < n; i++)
		add("f", sizes[i]);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(list.files[i].first_chunk, chunk);
		for (uint64_t c = 0; c < sc_chunks_of(sizes[i]); c++)
			assert_ptr_equal(sc_filelist_find_chunk(&list, chunk++),
					 &list.files[i]);
	}
	assert_int_equal(list.chunks, chunk);
	sc_filelist_free(&list);
}

static void chunks_of_files(void **state)
{
	static const uint64_t m = SC_CHUNK_SIZE;
	const uint64_t cases[][6] = {
		{ 1, m, m + 1, 3 * m, 1, 2 * m },
		{ 0, 0, 1, 0, 0, 2 * m },
		{ m, 0, 0, 0, 0, m },
		{ 0, 3 * m, 0, 5, 0, 0 },
		{ 9, 0, 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++)
		for (size_t n = 1; n <= 6; n++)
			check_chunks(cases[i], n);
}

static void grows(void **state)
{
	char name[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		add(name, (uint64_t)i);
	}
	assert_int_equal(list.n, 1000);
	assert_int_equal(list.bytes, 999 * 1000 / 2);
	assert_string_equal(list.files[999].path, "f999");
	assert_int_equal(list.files[999].sealed_size, 999);
}

/* ---- scan ------------------------------------------------------------------
 */

static unsigned opened;
static const char *vanishes; /* after it was seen in its directory */

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	(void)direct;
	opened++;
	if (vanishes && !strcmp(path, vanishes))
		return -ENOENT;
	return sc_open_beneath(image->root, path, O_RDONLY, 0);
}

static int scan_known(const char *data_file_path,
		      const struct sc_filelist *known)
{
	struct sc_image image = { .open_file = open_file,
				  .provider = "test",
				  .root = dir.fd };

	opened = 0;
	return sc_filelist_scan(&image, data_file_path, 16384, known, &list,
				&err);
}

static int scan(const char *data_file_path)
{
	return scan_known(data_file_path, NULL);
}

static void put_space(const char *path, uint32_t flags, uint32_t n_pages)
{
	struct sc_page_spec spec = fx_spec(flags, 7);
	uint8_t *pages = fx_pages(&spec, n_pages, 1000);

	dir_fixture_put(dir.fd, path, pages,
			(size_t)n_pages * spec.physical_size);
	free(pages);
}

static const struct sc_file *find(const char *path)
{
	for (size_t i = 0; i < list.n; i++)
		if (!strcmp(list.files[i].path, path))
			return &list.files[i];
	return NULL;
}

static void expect_file(const char *path, enum sc_file_kind kind, uint64_t size)
{
	const struct sc_file *file = find(path);

	if (!file)
		fail_msg("%s is not listed", path);
	assert_int_equal(file->kind, kind);
	assert_int_equal(file->size, size);
	assert_int_equal(file->sealed_size, size);
}

static void expect_refused(const char *text)
{
	assert_int_equal(scan("ibdata1:12M:autoextend"), -1);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
}

static const struct {
	const char *path;
	enum sc_file_kind kind; /* 0: must not be listed */
} datadir[] = {
	{ "ibdata1", SC_FILE_PAGES },
	{ "mysql.ibd", SC_FILE_PAGES },
	{ "undo_001", SC_FILE_PAGES },
	{ "undo_002", SC_FILE_PAGES },
	{ "undo_77.ibu", SC_FILE_PAGES },
	{ "general.ibd", SC_FILE_PAGES },
	{ "db/t.ibd", SC_FILE_PAGES },
	{ "db/t#p#p0.ibd", SC_FILE_PAGES },
	{ "db/#sql-ib1059-7.ibd", SC_FILE_PAGES },
	{ "db/sub/dir/ts.ibd", SC_FILE_PAGES },
	{ "db2/u.ibu", SC_FILE_PAGES },
	{ "undo_1_trunc.log", SC_FILE_OPAQUE },
	{ "ib_buffer_pool", SC_FILE_OPAQUE },
	{ "ib_buffer_pool.incomplete", 0 },
	{ "undo_001.bak", 0 },
	{ "undo_", 0 },
	{ "undo_1_trunc.log.x", 0 },
	{ "#innodb_redo/#ib_redo1", 0 },
	{ "#innodb_redo/x.ibd", 0 },
	{ "#innodb_temp/temp_1.ibt", 0 },
	{ "#innodb_temp/x.ibd", 0 },
	{ "#ib_16384_0.dblwr", 0 },
	{ "#ib_archive/x.ibd", 0 },
	{ "#clone/x.ibd", 0 },
	{ "ibtmp1", 0 },
	{ "ibdata2", 0 }, /* not named by innodb_data_file_path */
	{ "binlog.000001", 0 },
	{ "binlog.index", 0 },
	{ "auto.cnf", 0 },
	{ "mysqld-auto.cnf", 0 },
	{ "ca-key.pem", 0 },
	{ "db/t.sdi", 0 },
	{ "db/t.MYD", 0 },
	{ "db/t.MYI", 0 },
	{ "db/t.CSV", 0 },
	{ "db/undo_001", 0 },
	{ "db/ib_buffer_pool", 0 },
	{ "db/ibd", 0 },
	{ ".ibd", 0 },
	{ ".hidden/t.ibd", 0 },
	{ "lost+found/t.ibd", 0 },
};

static void what_belongs_to_a_clone(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(datadir); i++) {
		put_space(datadir[i].path, FX_FLAGS_PLAIN, 2);
		n += datadir[i].kind != 0;
	}
	if (scan("ibdata1:12M:autoextend") < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < SC_ARRAY_SIZE(datadir); i++) {
		if (datadir[i].kind)
			expect_file(datadir[i].path, datadir[i].kind, 32768);
		else if (find(datadir[i].path))
			fail_msg("%s is listed", datadir[i].path);
	}
	assert_int_equal(list.n, n);
}

static void system_tablespace_of_several_files(void **state)
{
	uint8_t second[32768] = { 0 };

	(void)state;
	/* A later file has no page 0 of its own: it looks like nonsense. */
	memset(second + 30, 0xff, 60);
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	dir_fixture_put(dir.fd, "ibdata2", second, sizeof(second));
	dir_fixture_put(dir.fd, "third", NULL, 16384);
	assert_int_equal(scan("ibdata1:12M;ibdata2:10M;third:1G:autoextend:"
			      "max:2G"),
			 0);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.files[0].path, "ibdata1");
	assert_string_equal(list.files[1].path, "ibdata2");
	assert_int_equal(list.files[0].spec.first_page, 0);
	assert_int_equal(list.files[1].spec.first_page, 3);
	assert_string_equal(list.files[2].path, "third");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(list.files[i].kind, SC_FILE_PAGES);
		assert_int_equal(list.files[i].spec.space_id, 7);
		assert_int_equal(list.files[i].spec.physical_size, 16384);
	}
}

/* Named there and found by its suffix: once is enough. */
static void system_tablespace_with_a_suffix(void **state)
{
	(void)state;
	put_space("system.ibd", FX_FLAGS_PLAIN, 3);
	put_space("undo_001", FX_FLAGS_PLAIN, 3);
	assert_int_equal(scan("system.ibd:12M;undo_001:12M"), 0);
	assert_int_equal(list.n, 2);
}

static void bad_data_file_paths(void **state)
{
	static const struct {
		const char *path, *text;
	} cases[] = {
		{ "", "cannot be understood" },
		{ ":12M", "cannot be understood" },
		{ "ibdata1:12M;sub/:12M", "cannot be understood" },
		{ "..:1M", "cannot read .." },
		{ "ibdata1:12M;ibdata9:1M", "cannot read ibdata9" },
		{ "ibdata1;ibdata1:12M", "ibdata1 twice" },
	};

	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		assert_int_equal(scan(cases[i].path), -1);
		if (!strstr(err.msg, cases[i].text))
			fail_msg("'%s', expected '%s'", err.msg, cases[i].text);
		err = (struct sc_err)SC_ERR_INIT;
		sc_filelist_free(&list);
	}
}

/* A schema may be called like a file of InnoDB's. */
static void schemas_with_odd_names(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("undo_9/t.ibd", FX_FLAGS_PLAIN, 3);
	put_space("ib_buffer_pool/t.ibd", FX_FLAGS_PLAIN, 3);
	if (scan("ibdata1") < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(list.n, 3);
	expect_file("undo_9/t.ibd", SC_FILE_PAGES, 3 * 16384);
	expect_file("ib_buffer_pool/t.ibd", SC_FILE_PAGES, 3 * 16384);
}

static void page_geometry(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/zip.ibd", FX_FLAGS_ZIP_1K, 9);
	put_space("db/plain.ibd", FX_FLAGS_PLAIN, 1);
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(find("db/zip.ibd")->spec.physical_size, 1024);
	assert_true(find("db/zip.ibd")->spec.compressed);
	assert_int_equal(find("db/plain.ibd")->spec.physical_size, 16384);
}

/* Just created, or cut by a crash: page 0 is not there yet. */
static void files_without_page_0(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 114688 };
	char path[64];

	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	for (size_t i = 0; i < SC_ARRAY_SIZE(sizes); i++) {
		snprintf(path, sizeof(path), "db/t%zu.ibd", sizes[i]);
		dir_fixture_put(dir.fd, path, NULL, sizes[i]);
	}
	assert_int_equal(scan("ibdata1"), 0);
	for (size_t i = 0; i < SC_ARRAY_SIZE(sizes); i++) {
		snprintf(path, sizeof(path), "db/t%zu.ibd", sizes[i]);
		expect_file(path, SC_FILE_PAGES, sizes[i]);
		assert_int_equal(find(path)->spec.physical_size, 16384);
	}
}

static void nonsense_in_page_0(void **state)
{
	uint8_t junk[16384];

	(void)state;
	memset(junk, 0xa5, sizeof(junk));
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	dir_fixture_put(dir.fd, "db/junk.ibd", junk, sizeof(junk));
	expect_refused("db/junk.ibd: ");
}

/* A tablespace of three pages whose page 0 says so many. */
static void put_cut(const char *path, uint32_t flags, uint8_t says)
{
	struct sc_page_spec spec = fx_spec(flags, 7);
	uint8_t *pages = fx_pages(&spec, 3, 1000);

	sc_store_be32(pages + 46, says);
	dir_fixture_put(dir.fd, path, pages, (size_t)3 * spec.physical_size);
	free(pages);
}

static void written_at(const char *path, time_t when)
{
	struct timespec times[2] = { { .tv_sec = when }, { .tv_sec = when } };

	assert_int_equal(utimensat(dir.fd, path, times, 0), 0);
}

static void truncated_files(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_cut("db/whole.ibd", FX_FLAGS_PLAIN, 3);
	put_cut("db/longer.ibd", FX_FLAGS_PLAIN, 1);
	assert_int_equal(scan("ibdata1"), 0);
	sc_filelist_free(&list);
	put_cut("db/cut.ibd", FX_FLAGS_PLAIN, 4);
	/* Somebody is writing it, whatever the clock says. */
	written_at("db/cut.ibd", time(NULL) + 3600);
	assert_int_equal(scan("ibdata1"), 0);
	sc_filelist_free(&list);
	written_at("db/cut.ibd", 0);
	expect_refused(
		"db/cut.ibd is truncated: it has 49152 bytes, and its page 0 says 4 pages of 16384");
}

static void encrypted_space(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/secret.ibd", FX_FLAGS_ENCRYPTED, 3);
	expect_refused("db/secret.ibd is encrypted");
}

static void encrypted_system_space(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_ENCRYPTED, 3);
	expect_refused("ibdata1 is encrypted");
}

static void linked_directory(void **state)
{
	struct dir_fixture other;

	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	dir_fixture_open(&other);
	assert_int_equal(symlinkat(other.path, dir.fd, "db"), 0);
	expect_refused("db is a symbolic link to a directory");
	dir_fixture_close(&other);
}

static void linked_file(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/t.ibd", FX_FLAGS_PLAIN, 3);
	assert_int_equal(symlinkat("t.ibd", dir.fd, "db/link.ibd"), 0);
	expect_refused("db/link.ibd is not a regular file");
}

static void links_that_do_not_matter(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	dir_fixture_put(dir.fd, "binlog.000001", "x", 1);
	assert_int_equal(symlinkat("not_there", dir.fd, "dangling"), 0);
	assert_int_equal(symlinkat("binlog.000001", dir.fd, "alias"), 0);
	assert_int_equal(mkfifoat(dir.fd, "fifo", 0600), 0);
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(list.n, 1);
}

/* Opening a fifo must not wait for a writer. */
static void fifo_for_a_tablespace(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/t.ibd", FX_FLAGS_PLAIN, 3);
	assert_int_equal(mkfifoat(dir.fd, "db/fifo.ibd", 0600), 0);
	expect_refused("db/fifo.ibd is not a regular file");
}

static void nested_too_deep(void **state)
{
	char path[200] = "";

	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	for (int i = 0; i < 20; i++)
		strcat(path, "deep/");
	strcat(path, "t.ibd");
	put_space(path, FX_FLAGS_PLAIN, 3);
	expect_refused("nested too deep");
}

static void no_system_tablespace(void **state)
{
	(void)state;
	expect_refused("cannot read ibdata1 in the data directory: No such");
}

/* ---- scans after the first -------------------------------------------------
 */

/* Written that many milliseconds ago. */
static void written(const char *path, int64_t ago_ms)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	clock_gettime(CLOCK_REALTIME, &times[1]);
	times[1].tv_sec -= ago_ms / 1000;
	times[1].tv_nsec = 0;
	assert_int_equal(utimensat(dir.fd, path, times, 0), 0);
}

static void put_old(const char *path)
{
	put_space(path, FX_FLAGS_PLAIN, 3);
	written(path, 10000);
}

/* Scan again, with what is known from now; so many are opened. */
static void expect_opened(unsigned n)
{
	struct sc_filelist known = list;
	struct sc_filelist full;

	list = (struct sc_filelist){ 0 };
	assert_int_equal(scan_known("ibdata1", &known), 0);
	assert_int_equal(opened, n);
	full = list;
	list = (struct sc_filelist){ 0 };
	/* It is what a scan of everything finds. */
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(list.n, full.n);
	for (size_t i = 0; i < list.n; i++) {
		const struct sc_file *a = &list.files[i], *b = &full.files[i];

		assert_string_equal(a->path, b->path);
		assert_int_equal(a->size, b->size);
		assert_int_equal(a->stored, b->stored);
		assert_int_equal(a->kind, b->kind);
		assert_int_equal(a->first_chunk, b->first_chunk);
		assert_memory_equal(&a->spec, &b->spec, sizeof(a->spec));
		assert_memory_equal(&a->id, &b->id, sizeof(a->id));
	}
	sc_filelist_free(&full);
	sc_filelist_free(&known);
}

static void ids(void **state)
{
	struct stat st;

	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_old("db/t.ibd");
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(fstatat(dir.fd, "db/t.ibd", &st, 0), 0);
	assert_int_equal(find("db/t.ibd")->id.inode, st.st_ino);
	assert_int_equal(find("db/t.ibd")->id.mtime_ns,
			 st.st_mtim.tv_sec * 1000000000ll);
	assert_true(list.taken_ns > st.st_mtim.tv_sec * 1000000000ll);
	assert_int_not_equal(find("ibdata1")->id.inode, 0);
}

static void only_what_changed_is_opened(void **state)
{
	char path[32];

	(void)state;
	put_old("ibdata1");
	put_old("ib_buffer_pool");
	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "db/t%d.ibd", i);
		put_old(path);
	}
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(opened, 302);
	expect_opened(1); /* the system tablespace always */
	written("db/t1.ibd", 8000);
	expect_opened(2);
	put_space("db/t2.ibd", FX_FLAGS_PLAIN, 4); /* grew */
	written("db/t2.ibd", 10000);
	expect_opened(2);
	put_old("db/new.ibd");
	expect_opened(2);
	assert_int_equal(renameat(dir.fd, "db/t3.ibd", dir.fd, "db/r.ibd"), 0);
	expect_opened(2);
	assert_int_equal(unlinkat(dir.fd, "db/t4.ibd", 0), 0);
	expect_opened(1);
	put_old("other");
	assert_int_equal(renameat(dir.fd, "other", dir.fd, "db/t5.ibd"), 0);
	expect_opened(2); /* replaced */
	written("ib_buffer_pool", 7000);
	expect_opened(2);
	expect_opened(1);
}

/* A file may be written again within the same tick of the clock. */
static void written_a_moment_ago(void **state)
{
	(void)state;
	put_old("ibdata1");
	put_old("db/t.ibd");
	put_old("db/u.ibd");
	written("db/t.ibd", 0);
	assert_int_equal(scan("ibdata1"), 0);
	expect_opened(2);
	list.taken_ns = find("db/u.ibd")->id.mtime_ns + 900000000;
	expect_opened(3);
}

static void gone_ones_are_not_known(void **state)
{
	(void)state;
	put_old("ibdata1");
	put_old("db/t.ibd");
	assert_int_equal(scan("ibdata1"), 0);
	list.files[1].gone = true;
	expect_opened(2);
}

/* Its page 0 comes later, whatever the times say. */
static void page_0_is_read_again(void **state)
{
	(void)state;
	put_old("ibdata1");
	dir_fixture_put(dir.fd, "db/new.ibd", NULL, 114688);
	written("db/new.ibd", 10000);
	assert_int_equal(scan("ibdata1"), 0);
	expect_opened(2);
}

static void vanishing_files(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/t.ibd", FX_FLAGS_PLAIN, 3);
	put_space("db/u.ibd", FX_FLAGS_PLAIN, 3);
	vanishes = "db/t.ibd";
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(list.n, 2);
	sc_filelist_free(&list);
	vanishes = "ibdata1";
	expect_refused("cannot read ibdata1 in the data directory: No such");
	vanishes = NULL;
}

/* A name that cannot be looked at. */
static const char *unseen;

int __real_statx(int at, const char *name, int flags, unsigned mask,
		 struct statx *st);
int __wrap_statx(int at, const char *name, int flags, unsigned mask,
		 struct statx *st);
int __wrap_statx(int at, const char *name, int flags, unsigned mask,
		 struct statx *st)
{
	if (!unseen || strcmp(name, unseen) != 0)
		return __real_statx(at, name, flags, mask, st);
	errno = EIO;
	return -1;
}

/* It must not be taken for one that DDL removed. */
static void unseen_files(void **state)
{
	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/t.ibd", FX_FLAGS_PLAIN, 3);
	unseen = "t.ibd";
	expect_refused("cannot read db/t.ibd in the data directory: Input");
	sc_filelist_free(&list);
	err = (struct sc_err)SC_ERR_INIT;
	unseen = "db";
	expect_refused("cannot read db in the data directory: Input");
	unseen = NULL;
}

static void no_descriptor_left(void **state)
{
	unsigned fds = fx_count_fds();

	(void)state;
	put_space("ibdata1", FX_FLAGS_PLAIN, 3);
	put_space("db/a/b/t.ibd", FX_FLAGS_PLAIN, 3);
	assert_int_equal(scan("ibdata1"), 0);
	assert_int_equal(fx_count_fds(), fds);
	sc_filelist_free(&list);
	put_space("db/a/b/x.ibd", FX_FLAGS_ENCRYPTED, 3);
	assert_int_equal(scan("ibdata1"), -1);
	assert_int_equal(fx_count_fds(), fds);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(paths),
		TEST(long_paths),
		TEST(chunks_of_files),
		TEST(grows),
		TEST(what_belongs_to_a_clone),
		TEST(system_tablespace_of_several_files),
		TEST(system_tablespace_with_a_suffix),
		TEST(bad_data_file_paths),
		TEST(schemas_with_odd_names),
		TEST(page_geometry),
		TEST(files_without_page_0),
		TEST(nonsense_in_page_0),
		TEST(truncated_files),
		TEST(encrypted_space),
		TEST(encrypted_system_space),
		TEST(linked_directory),
		TEST(linked_file),
		TEST(links_that_do_not_matter),
		TEST(fifo_for_a_tablespace),
		TEST(nested_too_deep),
		TEST(no_system_tablespace),
		TEST(ids),
		TEST(only_what_changed_is_opened),
		TEST(written_a_moment_ago),
		TEST(gone_ones_are_not_known),
		TEST(page_0_is_read_again),
		TEST(vanishing_files),
		TEST(unseen_files),
		TEST(no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
