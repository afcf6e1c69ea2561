/* SPDX-License-Identifier: GPL-2.0-only */
/* Verification of a clone: nothing is found in a sound one, and everything
 * that was changed, by name and place, and nothing else. */
#include "io/base/num.h"
#include "io/inplace.h"
#include "io/stage.h"
#include "io/verify.h"
#include "tests/unit/redo_fixture.h"
#include "tests/unit/stage_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { E = FX_STAGE_E, PAGE = 16384, GROWN = 5 * PAGE };

static struct dir_fixture dir; /* the parent */
static int target;
static struct sc_filelist list;
static uint8_t *content[8];
static uint64_t sizes[8]; /* at the seal */
static struct sc_err err;
static struct sc_verify_report report;
static char found[4096]; /* all lines */
static unsigned fds_before;

/* ---- a clone --------------------------------------------------------------
 */

static void add_file(const char *path, enum sc_file_kind kind,
		     const struct sc_page_spec *spec, uint8_t *bytes,
		     size_t len)
{
	content[list.n] = bytes;
	sizes[list.n] = len;
	assert_int_equal(sc_filelist_add(&list, path, kind, len, spec, &err),
			 0);
}

/* A system tablespace of two files, a table that is all there is in its
 * schema, one with a hole, one with KEY_BLOCK_SIZE=1, an empty one. */
static void add_files(void)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 0);
	struct sc_page_spec zip = fx_spec(FX_FLAGS_ZIP_1K, 9);
	uint8_t *bytes = fx_pages(&spec, 250, 5000);

	add_file("ibdata1", SC_FILE_PAGES, &spec, bytes, 200 * PAGE);
	bytes = memcpy(malloc(50 * PAGE), bytes + 200 * PAGE, 50 * PAGE);
	add_file("ibdata2", SC_FILE_PAGES, &spec, bytes, 50 * PAGE);
	sizes[1] += GROWN;
	spec = fx_spec(FX_FLAGS_PLAIN, 3);
	add_file("db/one.ibd", SC_FILE_PAGES, &spec, fx_pages(&spec, 1, 5000),
		 PAGE);
	bytes = fx_pages(&spec, 192, 5000);
	memset(bytes + SC_CHUNK_SIZE, 0, SC_CHUNK_SIZE);
	add_file("db/holes.ibd", SC_FILE_PAGES, &spec, bytes,
		 3 * SC_CHUNK_SIZE);
	sc_filelist_set_stored(&list, 2 * SC_CHUNK_SIZE);
	add_file("db/zip.ibd", SC_FILE_PAGES, &zip, fx_pages(&zip, 200, 5000),
		 200 * 1024);
	add_file("db/empty.ibd", SC_FILE_PAGES, &spec, malloc(1), 0);
	add_file("ib_buffer_pool", SC_FILE_OPAQUE, NULL, calloc(1, 100), 100);
}

static void make_clone(bool in_place)
{
	struct sc_stage_params params = { .target = target,
					  .parent = dir.fd,
					  .name = "clone",
					  .in_place = in_place,
					  .page_size = PAGE,
					  .streams = 1 };
	struct sc_seal seal = { .mark = { .end_lsn = E },
				.provider = "live",
				.sizes = sizes,
				.n_sizes = list.n };
	struct sc_staged *stage;

	if (sc_stage_open(&params, &stage, &err) < 0 ||
	    sc_stage_files(stage, &list, &err) < 0)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < list.n; i++) {
		if (fx_stage_put_file(stage, 1, &list, content, i, &err) < 0)
			fail_msg("%s", err.msg);
	}
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 9, E, E, &err);
	if (sc_stage_seal(stage, &seal, &err) < 0 ||
	    (in_place && sc_stage_prepare(stage, &err) < 0) ||
	    sc_stage_commit(stage, &err) < 0)
		fail_msg("%s", err.msg);
	sc_stage_free(stage);
}

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	err = (struct sc_err)SC_ERR_INIT;
	target = fx_stage_target(&dir);
	add_files();
	return target < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < list.n; i++)
		free(content[i]);
	sc_filelist_free(&list);
	close(target);
	dir_fixture_close(&dir);
	return fx_count_fds() == fds_before ? 0 : -1;
}

/* ---- what verify says ------------------------------------------------------
 */

static void take_line(void *arg, const char *text)
{
	size_t len = strlen(found);

	(void)arg;
	snprintf(found + len, sizeof(found) - len, "%s\n", text);
}

static int verify(void)
{
	const struct sc_verify_params params = { .dir = target,
						 .undo_dir = -1,
						 .home_dir = -1,
						 .threads = 3,
						 .found = take_line };

	found[0] = '\0';
	err = (struct sc_err)SC_ERR_INIT;
	return sc_verify(&params, &report, &err);
}

static void expect_found(const char *lines)
{
	unsigned n = 0;

	if (verify() < 0)
		fail_msg("%s", err.msg);
	if (strcmp(found, lines))
		fail_msg("found '%s', expected '%s'", found, lines);
	for (const char *p = lines; *p; p++)
		n += *p == '\n';
	assert_int_equal(report.found, n);
}

static void expect_refused(const char *why)
{
	assert_int_equal(verify(), -1);
	if (!strstr(err.msg, why))
		fail_msg("'%s', expected '%s'", err.msg, why);
}

/* What a start that succeeded leaves in #clone. */
static void start(void)
{
	unlinkat(target, "#clone/#replace_files", 0);
	unlinkat(target, "#clone/#snapclone_end", 0);
}

static void flip(const char *path, off_t off)
{
	int fd = openat(target, path, O_RDWR | O_CLOEXEC);
	uint8_t byte = 0;

	assert_true(fd >= 0);
	if (pread(fd, &byte, 1, off) < 0)
		fail();
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, off), 1);
	close(fd);
}

static void resize(const char *path, off_t size)
{
	int fd = openat(target, path, O_RDWR | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* ---- tests -----------------------------------------------------------------
 */

static void sound_clone(void **state)
{
	(void)state;
	make_clone(false);
	expect_found("");
	assert_true(report.before_start);
	assert_true(report.redo_checked);
	assert_false(report.redo_encrypted);
	assert_int_equal(report.files, 7);
	/* 4 + 1 + 1 + 3 + 1 + 0 + 1, with what ibdata2 grew by. */
	assert_int_equal(report.digests, 11);
	assert_int_equal(report.pages, 200 + 50 + 5 + 1 + 192 + 200);
	assert_int_equal(report.unchecked, 0);
	assert_int_equal(report.bytes, report.bytes_total);
	assert_int_equal(report.bytes,
			 (255 + 1 + 192) * PAGE + 200 * 1024 + 100);
}

static void byte_in_data(void)
{
	flip("db/holes.ibd", 3 * PAGE + 1000);
}

static void byte_in_hole(void)
{
	flip("db/holes.ibd", SC_CHUNK_SIZE + 70000);
}

/* Bytes that no checksum covers. */
static void byte_of_flush_lsn(void)
{
	flip("db/holes.ibd", 2 * SC_CHUNK_SIZE + 27);
}

static void byte_of_second_system_file(void)
{
	flip("ibdata2", 7 * PAGE + 5000);
}

static void byte_beyond_digest(void)
{
	flip("ibdata2", 54 * PAGE + 5000);
}

static void byte_of_zip_page(void)
{
	flip("db/zip.ibd", 5 * 1024 + 500);
}

static void byte_of_page0(void)
{
	flip("db/one.ibd", 54);
}

static void byte_of_opaque(void)
{
	flip("ib_buffer_pool", 99);
}

static void shorter(void)
{
	resize("db/one.ibd", 100);
}

static void longer(void)
{
	resize("db/one.ibd", PAGE + 100);
}

static void missing(void)
{
	unlinkat(target, "db/one.ibd", 0);
}

static void missing_empty(void)
{
	unlinkat(target, "db/empty.ibd", 0);
}

static void extra(void)
{
	dir_fixture_put(target, "db/deep/extra.ibd", "x", 1);
	dir_fixture_put(target, "db/notes.txt", "x", 1);
	dir_fixture_put(target, "auto.cnf", "x", 1);
}

static void extra_doublewrite(void)
{
	dir_fixture_put(target, "#ib_16384_0.dblwr", "x", 1);
	dir_fixture_put(target, "#ib_16384_1.dblwr", "", 0);
}

static void swapped(void)
{
	renameat(target, "ib_buffer_pool", target, "x");
	renameat(target, "db/one.ibd", target, "ib_buffer_pool");
	renameat(target, "x", target, "db/one.ibd");
}

static void behind_a_link(void)
{
	renameat(target, "db/one.ibd", target, "db/two");
	assert_int_equal(symlinkat("two", target, "db/one.ibd"), 0);
}

static void a_fifo(void)
{
	unlinkat(target, "db/one.ibd", 0);
	assert_int_equal(mkfifoat(target, "db/one.ibd", 0640), 0);
}

static void redo_block(void)
{
	flip("#innodb_redo/#ib_redo0", 2048 + 512 * 20 + 100);
}

#define CHUNK(n, a, b)                                                         \
	": chunk " n " (bytes " a " to " b                                     \
	") is not what was cloned (digest mismatch)\n"
#define DAMAGED(n, a, b) ": page " n " (bytes " a " to " b ") is damaged\n"

static const struct {
	void (*damage)(void);
	const char *before, *after; /* lines before and after the start */
} cases[] = {
	{ byte_in_data,
	  "db/holes.ibd" CHUNK("0", "0", "1048575") "db/holes.ibd" DAMAGED(
		  "3", "49152", "65535"),
	  "db/holes.ibd" DAMAGED("3", "49152", "65535") },
	{ byte_in_hole,
	  "db/holes.ibd" CHUNK(
		  "1", "1048576",
		  "2097151") "db/holes.ibd" DAMAGED("68", "1114112", "1130495"),
	  "db/holes.ibd" DAMAGED("68", "1114112", "1130495") },
	{ byte_of_flush_lsn, "db/holes.ibd" CHUNK("2", "2097152", "3145727"),
	  "" },
	{ byte_of_second_system_file,
	  "ibdata2" CHUNK("0", "0", "901119") "ibdata2" DAMAGED("207", "114688",
								"131071"),
	  "ibdata2" DAMAGED("207", "114688", "131071") },
	{ byte_beyond_digest,
	  "ibdata2" CHUNK("0", "0", "901119") "ibdata2" DAMAGED("254", "884736",
								"901119"),
	  "ibdata2" DAMAGED("254", "884736", "901119") },
	{ byte_of_zip_page,
	  "db/zip.ibd" CHUNK("0", "0", "204799") "db/zip.ibd" DAMAGED(
		  "5", "5120", "6143"),
	  "db/zip.ibd" DAMAGED("5", "5120", "6143") },
	{ byte_of_opaque, "ib_buffer_pool" CHUNK("0", "0", "99"), "" },
	{ shorter,
	  "db/one.ibd is shorter than it was cloned: 100 bytes instead of "
	  "16384\ndb/one.ibd" CHUNK("0", "0", "99"),
	  "" },
	{ longer,
	  "db/one.ibd is longer than it was cloned: 16484 bytes instead of "
	  "16384\n",
	  "" },
	{ missing, "db/one.ibd is missing\n", "" },
	{ missing_empty, "db/empty.ibd is missing\n", "" },
	{ extra, "db/deep/extra.ibd was not cloned, but is there\n", "" },
	{ extra_doublewrite, "#ib_16384_0.dblwr was not cloned, but is there\n",
	  "" },
	{ behind_a_link, "db/one.ibd is a symbolic link, or lies behind one\n",
	  "db/one.ibd is a symbolic link, or lies behind one\n" },
	{ a_fifo, "db/one.ibd is not a regular file\n",
	  "db/one.ibd is not a regular file\n" },
};

static void damage_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		make_clone(false);
		cases[i].damage();
		expect_found(cases[i].before);
		assert_true(report.before_start);
		start();
		expect_found(cases[i].after);
		assert_false(report.before_start);
		assert_false(report.redo_checked);
		assert_int_equal(report.digests, 0);
		fx_again(setup, teardown);
	}
}

static void expect_among(const char *text)
{
	assert_int_equal(verify(), 0);
	if (!strstr(found, text))
		fail_msg("found '%s', not '%s'", found, text);
}

static void damage_of_other_kinds(void **state)
{
	(void)state;
	make_clone(false);
	byte_of_page0();
	expect_among("db/one.ibd: chunk 0");
	expect_among("db/one.ibd: page 0 of space 3 is damaged");
	start();
	expect_among("db/one.ibd: page 0 of space 3 is damaged");
	fx_again(setup, teardown);
	make_clone(false);
	redo_block();
	expect_found("#innodb_redo: the built redo ends at LSN 18944 instead "
		     "of 48192\n");
	start();
	expect_found("");
	fx_again(setup, teardown);
	make_clone(false);
	swapped();
	expect_among("db/one.ibd is shorter");
	expect_among("ib_buffer_pool is longer");
	expect_among("ib_buffer_pool: chunk 0");
}

/* A page of another table, and one of another place: sound in themselves. */
static void foreign_pages(void **state)
{
	int fd;

	(void)state;
	make_clone(false);
	fd = openat(target, "db/holes.ibd", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, content[3] + 5 * PAGE, PAGE, 6 * PAGE),
			 PAGE);
	assert_int_equal(pwrite(fd, content[0] + 7 * PAGE, PAGE, 7 * PAGE),
			 PAGE);
	close(fd);
	start();
	expect_among("db/holes.ibd: page 6 (bytes 98304 to 114687) is page 5 "
		     "of tablespace 3\n");
	expect_among("db/holes.ibd: page 7 (bytes 114688 to 131071) is page 7 "
		     "of tablespace 0\n");
	assert_int_equal(report.found, 2);
}

/* After the start the server makes, drops and grows tables. */
static void a_server_that_worked(void **state)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 12);
	uint8_t *pages = fx_pages(&spec, 9, 60000);

	(void)state;
	make_clone(false);
	start();
	dir_fixture_put(target, "new/t.ibd", pages, 9 * PAGE);
	dir_fixture_put(target, "new/t2.ibd", pages, 9 * PAGE);
	dir_fixture_put(target, "#ib_16384_0.dblwr", "x", 1);
	unlinkat(target, "db/zip.ibd", 0);
	resize("ibdata2", 64 * PAGE);
	expect_found("");
	assert_int_equal(report.pages, 200 + 64 + 1 + 192 + 18);
	flip("new/t2.ibd", 8 * PAGE + 100);
	expect_found("new/t2.ibd" DAMAGED("8", "131072", "147455"));
	free(pages);
}

static void encrypted_pages(void **state)
{
	uint8_t *page = content[3] + 9 * PAGE;

	(void)state;
	/* Page 0 tells of no encryption yet: the redo does. */
	page[24] = 0;
	page[25] = SC_PAGE_TYPE_ENCRYPTED;
	make_clone(false);
	expect_found("");
	assert_int_equal(report.unchecked, 1);
	start();
	expect_found("db/holes.ibd" DAMAGED("9", "147456", "163839"));
}

static void expect_in_place(void)
{
	dir_fixture_put(target, "ibdata1", "old", 3);
	dir_fixture_put(target, "db/one.ibd", "old", 3);
	dir_fixture_put(target, "own/old.ibd", "old", 3);
	dir_fixture_put(target, "#ib_16384_0.dblwr", "old", 3);
	dir_fixture_put(target, "#innodb_redo/#ib_redo5", "old", 3);
	make_clone(true);
	expect_found("");
	assert_true(report.before_start);
	assert_true(report.redo_checked);
	assert_int_equal(report.digests, 11);
}

/* A clone that waits for the restart that swaps it in. */
static void in_place(void **state)
{
	(void)state;
	expect_in_place();
	flip("ibdata1.#clone", 5 * PAGE + 77);
	expect_found("ibdata1" CHUNK("0", "0", "1048575") "ibdata1" DAMAGED(
		"5", "81920", "98303"));
	flip("ibdata1.#clone", 5 * PAGE + 77);
	flip("db/zip.ibd", 5 * 1024 + 500);
	expect_found(cases[5].before);
	fx_again(setup, teardown);
	expect_in_place();
	dir_fixture_put(target, "own/new.ibd", "x", 1);
	expect_found("own/new.ibd was not cloned, but is there\n");
}

/* The manifest that counts is the clone's, not that of an earlier one. */
static void second_in_place(void **state)
{
	(void)state;
	dir_fixture_put(target, "#clone/" SC_MANIFEST_NAME, "old", 3);
	expect_in_place();
	unlinkat(target, "#clone/" SC_MANIFEST_NAME SC_CLONE_SUFFIX, 0);
	expect_refused("line 1");
}

static void not_to_be_verified(void **state)
{
	(void)state;
	expect_refused("no manifest");
	make_clone(false);
	dir_fixture_put(target, "#clone/#status_in_progress", "", 0);
	expect_refused("not complete");
	unlinkat(target, "#clone/#status_in_progress", 0);
	dir_fixture_put(target, "#clone/#status_error", "", 0);
	expect_refused("does not count");
	unlinkat(target, "#clone/#status_error", 0);
	dir_fixture_put(target, "#clone/#status_recovery", "1\n", 2);
	expect_refused("has not come to its end");
	unlinkat(target, "#clone/#status_recovery", 0);
	expect_found("");
	resize("#clone/" SC_MANIFEST_NAME, 700);
	expect_refused(SC_MANIFEST_NAME);
	unlinkat(target, "#clone/" SC_MANIFEST_NAME, 0);
	expect_refused("no manifest");
	assert_int_equal(
		symlinkat("/etc/passwd", target, "#clone/" SC_MANIFEST_NAME),
		0);
	expect_refused("cannot open");
}

/* As mysqld does: another process holds a lock of the first file. */
static void a_server_that_runs(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int ready[2], fd;
	pid_t pid;
	char c;

	(void)state;
	make_clone(false);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		fd = openat(target, "ibdata1", O_RDWR | O_CLOEXEC);
		if (fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "", 1))
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	expect_refused("a server runs on this directory");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	expect_found("");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sound_clone),
		TEST(damage_is_named),
		TEST(damage_of_other_kinds),
		TEST(foreign_pages),
		TEST(a_server_that_worked),
		TEST(encrypted_pages),
		TEST(in_place),
		TEST(second_in_place),
		TEST(not_to_be_verified),
		TEST(a_server_that_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
