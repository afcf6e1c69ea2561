/* SPDX-License-Identifier: GPL-2.0-only */
/* Building the recipient's redo and checking it as a server would. */
#include "io/base/fdio.h"
#include "io/redo/build.h"
#include "io/redo/check.h"
#include "io/redo/files.h"
#include "io/redo/follow.h"
#include "tests/unit/redo_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_SIZE = 64 << 10, ROOM = FILE_SIZE - 2048 };

static uint8_t blocks[1 << 20];
static const struct redo_fixture log_bytes = { .seed = 3 };

struct target {
	char dir[64];
	int dirfd;
	struct sc_redo_build *b;
	uint64_t checkpoint;
	struct sc_err err;
};

static struct target target(uint64_t checkpoint)
{
	struct target t = { .checkpoint = checkpoint };
	struct sc_redo_build_params params = { .uuid = FX_UUID,
					       .creator = "MySQL 9.7.4",
					       .checkpoint_lsn = checkpoint,
					       .page_size = 16384,
					       .max_file_size = FILE_SIZE,
					       .uid = (uid_t)-1,
					       .gid = (gid_t)-1 };

	t.dirfd = redo_fixture_mkdir(t.dir);
	if (sc_redo_build_open(t.dirfd, &params, &t.b, &t.err))
		fail_msg("%s", t.err.msg);
	return t;
}

static void done(struct target *t)
{
	sc_redo_build_free(t->b);
	redo_fixture_rmdir(t->dir, t->dirfd);
}

/* Append the log from the block of C up to end in pieces of `piece` bytes. */
static void append_to(struct target *t, uint64_t end, size_t piece)
{
	uint64_t lsn = sc_redo_align(t->checkpoint);

	while (lsn < end) {
		size_t len = 0;

		for (; len < piece && lsn + len < end; len += 512)
			redo_fixture_block(&log_bytes, lsn + len, end,
					   blocks + len);
		if (sc_redo_build_append(t->b, lsn, blocks, len, &t->err))
			fail_msg("%s", t->err.msg);
		lsn += len;
	}
}

static void finish(struct target *t, uint64_t end)
{
	if (sc_redo_build_finish(t->b, end, &t->err) ||
	    sc_redo_check(t->dirfd, t->checkpoint, end, NULL, &t->err))
		fail_msg("C %llu E %llu: %s", (unsigned long long)t->checkpoint,
			 (unsigned long long)end, t->err.msg);
}

/* What block must stand at lsn in a log [.., end]. */
static void expect_block(uint64_t lsn, uint64_t end, const uint8_t *got)
{
	uint8_t want[512] = { 0 };

	if (lsn + 12 == end) {
		struct sc_redo_block b;

		assert_int_equal(sc_redo_block_judge(got, lsn, &b),
				 SC_REDO_PARTIAL);
		assert_int_equal(b.data_len, 12);
		return;
	}
	if (lsn < end)
		redo_fixture_block(&log_bytes, lsn, end, want);
	assert_memory_equal(got, want, end - lsn == 509 ? 508 : 512);
}

/* The whole directory against bytes computed here. */
static void expect_files(const struct target *t, uint64_t end)
{
	uint64_t base = sc_redo_align(t->checkpoint);
	uint64_t count = (sc_redo_align(end) - base) / ROOM + 1;

	for (uint64_t i = 0; i < count; i++) {
		struct sc_redo_header h = { .format = 6,
					    .uuid = FX_UUID,
					    .creator = "MySQL 9.7.4",
					    .start_lsn = base + i * ROOM,
					    .flags = i + 1 < count ? 8 : 0 };
		static uint8_t file[FILE_SIZE];
		uint8_t head[2048] = { 0 };
		char name[SC_REDO_NAME_SIZE];
		int fd;

		sc_redo_file_name(i, name);
		fd = openat(t->dirfd, name, O_RDONLY);
		assert_int_equal(sc_pread_full(fd, file, sizeof(file), 0),
				 FILE_SIZE);
		close(fd);
		sc_redo_header_encode(&h, head);
		sc_redo_slot_encode(i ? 0 : t->checkpoint, head + 512);
		sc_redo_slot_encode(i ? 0 : t->checkpoint, head + 1536);
		assert_memory_equal(file, head, sizeof(head));
		for (uint64_t lsn = h.start_lsn; lsn < h.start_lsn + ROOM;
		     lsn += 512)
			expect_block(lsn, end, file + 2048 + lsn - h.start_lsn);
	}
	assert_int_equal(faccessat(t->dirfd, "#ib_redo0", F_OK, 0), 0);
}

static void one_case(uint64_t checkpoint, uint64_t appended, uint64_t end,
		     size_t piece)
{
	struct target t = target(checkpoint);

	append_to(&t, appended, piece);
	finish(&t, end);
	expect_files(&t, end);
	done(&t);
}

static void every_end_in_a_block(void **state)
{
	const uint64_t c = 512 * 2000 + 77;

	(void)state;
	for (uint64_t off = 0; off < 512; off++) {
		if (off && off < 12)
			continue;
		/* The donor's last block ends there, goes on, or is not there
		 * yet (an end at 0 or 12). */
		if (off < 509)
			one_case(c, 512 * 2010 + off, 512 * 2010 + off, 4096);
		one_case(c, 512 * 2014 + 100, 512 * 2010 + off, 512);
	}
	one_case(c, 512 * 2010, 512 * 2010 + 12, 4096);
}

/* Ends around the borders of files, with more appended than is kept. */
static void ends_around_file_borders(void **state)
{
	static const uint64_t checkpoints[] = { 8192 + 12, 8192 + 500,
						512 * 999 + 12 };
	static const int ends[] = { -512, -500, -100, 0, 12, 13, 512, 524 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(checkpoints); i++)
		for (uint64_t files = 1; files <= 3; files++)
			for (size_t j = 0; j < SC_ARRAY_SIZE(ends); j++) {
				uint64_t c = checkpoints[i];
				uint64_t border =
					sc_redo_align(c) + files * ROOM;
				uint64_t end = border + (uint64_t)ends[j];

				one_case(c, end, end, 65536);
				one_case(c, border + 3 * ROOM + 100, end,
					 3 * 512);
			}
}

static void nothing_but_the_checkpoint(void **state)
{
	(void)state;
	one_case(8192 + 12, 8192, 8192 + 12, 512);
	one_case(8192 + 300, 8192 + 300, 8192 + 300, 512);
	one_case(8192 + 300, 8192 + 507, 8192 + 300, 512);
}

static void big_numbers(void **state)
{
	const uint64_t epoch = 3ull << 39;

	(void)state;
	one_case(epoch - 30000 + 12, epoch + 70000, epoch + 50000, 4096);
}

static void large_files_have_slack(void **state)
{
	struct target t = target(8192 + 12);
	struct sc_redo_build_params params = {
		.uuid = 1,
		.creator = "MySQL 8.4.3",
		.page_size = 65536,
		.checkpoint_lsn = 8192 + 12,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.mode = 0600,
	};
	struct stat st;

	(void)state;
	sc_redo_build_free(t.b);
	t.b = NULL;
	assert_int_equal(sc_redo_build_open(t.dirfd, &params, &t.b, &t.err), 0);
	append_to(&t, 8192 + 100000, 4096);
	finish(&t, 8192 + 100000);
	assert_int_equal(fstatat(t.dirfd, "#ib_redo0", &st, 0), 0);
	assert_int_equal(st.st_size % 65536, 0);
	assert_in_range(st.st_size, (1 << 20) + 100000, (1 << 20) + 200000);
	assert_int_equal(st.st_mode & 07777, 0600);
	done(&t);
}

static void encryption_block(void **state)
{
	struct target t = target(8192 + 12);
	struct sc_redo_build_params params = { .uuid = 1,
					       .creator = "MySQL 9.7.4",
					       .page_size = 4096,
					       .checkpoint_lsn = 8192 + 12,
					       .uid = (uid_t)-1,
					       .gid = (gid_t)-1,
					       .encryption_block = blocks };
	struct sc_redo_checkpoint c;

	(void)state;
	sc_redo_build_free(t.b);
	t.b = NULL;
	memset(blocks, 7, 512);
	assert_int_equal(sc_redo_build_open(t.dirfd, &params, &t.b, &t.err), 0);
	append_to(&t, 8192 + 1000, 4096);
	finish(&t, 8192 + 1000);
	assert_int_equal(sc_redo_newest_checkpoint(t.dirfd, &c, &t.err), 0);
	assert_true(c.encrypted);
	assert_int_equal(c.encryption_block[511], 7);
	assert_int_equal(c.lsn, 8192 + 12);
	done(&t);
}

static void expect_append_error(struct target *t, uint64_t lsn, size_t len,
				const char *text)
{
	t->err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_redo_build_append(t->b, lsn, blocks, len, &t->err),
			 -1);
	if (!strstr(t->err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, t->err.msg);
}

static void bad_blocks(void **state)
{
	struct redo_fixture encrypted = { .encrypt = true };
	struct target t = target(8192 + 12);

	(void)state;
	redo_fixture_block(&log_bytes, 8192 + 512, UINT64_MAX, blocks);
	expect_append_error(&t, 8192 + 512, 512, "instead of LSN 8192");
	expect_append_error(&t, 8192, 512, "is the block of another LSN");
	redo_fixture_block(&log_bytes, 8192, UINT64_MAX, blocks);
	expect_append_error(&t, 8192, 100, "received 100 bytes of redo");
	blocks[99] ^= 1;
	expect_append_error(&t, 8192, 512, "LSN 8192 has a wrong checksum");
	redo_fixture_block(&encrypted, 8192, UINT64_MAX, blocks);
	sc_store_be16(blocks + 4, 0x8000 | 513);
	expect_append_error(&t, 8192, 512, "is encrypted");
	redo_fixture_block(&log_bytes, 8192, 8192 + 100, blocks);
	redo_fixture_block(&log_bytes, 8192 + 512, UINT64_MAX, blocks + 512);
	expect_append_error(&t, 8192, 1024, "is partial but not the last");
	assert_int_equal(sc_redo_build_append(t.b, 8192, blocks, 512, &t.err),
			 -0);
	assert_int_equal(sc_redo_build_lsn(t.b), 8192 + 100);
	expect_append_error(&t, 8192, 512, "follows a partial block");
	done(&t);
}

static void bad_ends(void **state)
{
	static const struct {
		uint64_t end;
		const char *text;
	} cases[] = {
		{ 8192 + 512 + 5, "inside a block header" },
		{ 8192 + 200, "before the checkpoint at 8492" },
		{ 8192 + 1101, "redo ends at LSN 9292, needed is 9293" },
		{ 0, "inside a block header" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct target t = target(8192 + 300);

		append_to(&t, 8192 + 1100, 4096);
		t.err = (struct sc_err)SC_ERR_INIT;
		assert_int_equal(
			sc_redo_build_finish(t.b, cases[i].end, &t.err), -1);
		if (!strstr(t.err.msg, cases[i].text))
			fail_msg("%s", t.err.msg);
		done(&t);
	}
}

static void bad_params(void **state)
{
	static const struct {
		struct sc_redo_build_params p;
		const char *text;
	} cases[] = {
		{ { .creator = "x", .page_size = 4096, .checkpoint_lsn = 8193 },
		  "checkpoint LSN 8193" },
		{ { .creator = "x", .page_size = 1024, .checkpoint_lsn = 8300 },
		  "page size 1024" },
		{ { .creator = "x", .page_size = 5000, .checkpoint_lsn = 8300 },
		  "page size 5000" },
		{ { .creator = "x",
		    .page_size = 4096,
		    .checkpoint_lsn = 8300,
		    .max_file_size = 100000 },
		  "file size 100000" },
		{ { .creator = "x",
		    .page_size = 4096,
		    .checkpoint_lsn = 8300,
		    .max_file_size = 17 * SC_GIB },
		  "file size 18253611008" },
		{ { .page_size = 4096, .checkpoint_lsn = 8300 }, "creator" },
		{ { .creator = "12345678901234567890123456789012",
		    .page_size = 4096,
		    .checkpoint_lsn = 8300 },
		  "creator 32" },
	};
	char dir[64];
	int dirfd = redo_fixture_mkdir(dir);

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_err err = SC_ERR_INIT;
		struct sc_redo_build *b;

		assert_int_equal(
			sc_redo_build_open(dirfd, &cases[i].p, &b, &err), -1);
		if (!strstr(err.msg, cases[i].text))
			fail_msg("%s", err.msg);
	}
	redo_fixture_rmdir(dir, dirfd);
}

static void directory_in_use(void **state)
{
	struct sc_redo_build_params params = { .creator = "x",
					       .page_size = 4096,
					       .checkpoint_lsn = 8300 };
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_build *b;
	struct redo_fixture fx;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	assert_int_equal(sc_redo_build_open(fx.dirfd, &params, &b, &err), -1);
	assert_non_null(strstr(err.msg, "has #ib_redo0 already"));
	redo_fixture_close(&fx);
}

/* A directory without finish() must be refused. */
static void unfinished_is_no_log(void **state)
{
	struct target t = target(8192 + 12);

	(void)state;
	append_to(&t, 8192 + 2 * ROOM + 100, 65536);
	assert_int_equal(sc_redo_check(t.dirfd, 8192 + 12,
				       8192 + 2 * ROOM + 100, NULL, &t.err),
			 -1);
	done(&t);
}

/* From a live log through follower and builder. */
static void follower_to_builder(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	struct target t = target(FX_START + 1000);
	struct sc_redo_run run;
	uint64_t lsn, end;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	redo_fixture_write_to(&fx, FX_START + 5000);
	assert_int_equal(
		sc_redo_follow_open(fx.dirfd, t.checkpoint, &f, &t.err), 0);
	end = FX_START + 333333;
	redo_fixture_write_to(&fx, end);
	for (int idle = 0; idle < 3;) {
		int rc = sc_redo_follow_read(f, blocks, 8192, &run, &t.err);

		assert_in_range(rc, 0, 1);
		idle = rc ? 0 : idle + 1;
		if (rc &&
		    sc_redo_build_append(t.b, run.lsn, blocks, run.len, &t.err))
			fail_msg("%s", t.err.msg);
	}
	assert_int_equal(sc_redo_follow_partial(f, blocks, &lsn), 1);
	assert_int_equal(sc_redo_build_append(t.b, lsn, blocks, 512, &t.err),
			 0);
	assert_int_equal(sc_redo_build_lsn(t.b), end);
	finish(&t, end - 5);
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
	done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_end_in_a_block),
		cmocka_unit_test(ends_around_file_borders),
		cmocka_unit_test(nothing_but_the_checkpoint),
		cmocka_unit_test(big_numbers),
		cmocka_unit_test(large_files_have_slack),
		cmocka_unit_test(encryption_block),
		cmocka_unit_test(bad_blocks),
		cmocka_unit_test(bad_ends),
		cmocka_unit_test(bad_params),
		cmocka_unit_test(directory_in_use),
		cmocka_unit_test(unfinished_is_no_log),
		cmocka_unit_test(follower_to_builder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
