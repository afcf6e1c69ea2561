/* SPDX-License-Identifier: GPL-2.0-only */
/* Following a redo log that grows, switches and recycles files. */
#include "io/redo/files.h"
#include "io/redo/follow.h"
#include "tests/unit/redo_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_SIZE = 64 << 10, CAP = 256 << 10 };

static uint8_t buf[CAP];

static struct sc_redo_follow *follow(struct redo_fixture *fx, uint64_t lsn)
{
	struct sc_redo_follow *f = NULL;
	struct sc_err err = SC_ERR_INIT;

	if (sc_redo_follow_open(fx->dirfd, lsn, &f, &err))
		fail_msg("%s", err.msg);
	return f;
}

/* Read until nothing is new; every byte must be what the fixture wrote. The
 * position of the follower is *at. Returns the number of complete blocks. */
static size_t drain(struct redo_fixture *fx, struct sc_redo_follow *f,
		    uint64_t *at, size_t cap)
{
	struct sc_err err = SC_ERR_INIT;
	uint8_t want[SC_REDO_BLOCK];
	struct sc_redo_run run;
	size_t blocks = 0;
	int rc, idle = 0;

	/* A switch of files takes a second call. */
	while ((rc = sc_redo_follow_read(f, buf, cap, &run, &err)) > 0 ||
	       (!rc && idle++ < 2)) {
		if (!rc)
			continue;
		assert_int_equal(run.lsn, *at);
		assert_true(run.len && run.len <= cap && run.len % 512 == 0);
		for (size_t i = 0; i < run.len; i += 512) {
			redo_fixture_block(fx, run.lsn + i, UINT64_MAX, want);
			assert_memory_equal(buf + i, want, 512);
		}
		*at += run.len;
		blocks += run.len / 512;
	}
	if (rc)
		fail_msg("%s", err.msg);
	return blocks;
}

static void expect_error(struct sc_redo_follow *f, const char *text)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_run run;
	int rc = 0;

	for (int i = 0; i < 3 && rc >= 0; i++)
		rc = sc_redo_follow_read(f, buf, CAP, &run, &err);
	assert_int_equal(rc, -1);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
}

static void grows_byte_by_byte(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	uint64_t at = FX_START, lsn;
	uint8_t block[512], want[512];

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	for (uint64_t i = 1; i < 1500; i++) {
		lsn = sc_redo_normal_lsn(FX_START + 12 + i);
		if (sc_redo_offset(lsn) < 12 || sc_redo_offset(lsn) > 507)
			continue;
		redo_fixture_write_to(&fx, lsn);
		drain(&fx, f, &at, CAP);
		assert_int_equal(sc_redo_follow_lsn(f), lsn);
		assert_int_equal(at, sc_redo_align(lsn));
		if (sc_redo_offset(lsn) == 12)
			continue; /* no block yet */
		assert_int_equal(sc_redo_follow_partial(f, block, &lsn), 1);
		assert_int_equal(lsn, at);
		redo_fixture_block(&fx, at, fx.lsn, want);
		assert_memory_equal(block, want, 512);
	}
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void closed_it_still_tells(void **state)
{
	uint64_t at = FX_START, lsn = FX_START + 12 + 1000;
	uint8_t block[512], want[512];
	struct sc_redo_follow *f;
	struct redo_fixture fx;
	unsigned before;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	before = descriptors();
	f = follow(&fx, fx.lsn);
	redo_fixture_write_to(&fx, lsn);
	drain(&fx, f, &at, CAP);
	for (int i = 0; i < 2; i++) {
		sc_redo_follow_close(f);
		assert_int_equal(descriptors(), before);
		assert_int_equal(sc_redo_follow_lsn(f), lsn);
		assert_false(sc_redo_follow_is_lost(f));
	}
	assert_int_equal(sc_redo_follow_partial(f, block, &at), 1);
	redo_fixture_block(&fx, at, lsn, want);
	assert_memory_equal(block, want, 512);
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static void starts_anywhere(void **state)
{
	struct redo_fixture fx;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	redo_fixture_write_to(&fx, FX_START + 300000);
	for (uint64_t lsn = FX_START; lsn < fx.lsn; lsn += 4999) {
		uint64_t at = sc_redo_align(lsn);
		struct sc_redo_follow *f = follow(&fx, lsn);

		drain(&fx, f, &at, CAP);
		assert_int_equal(sc_redo_follow_lsn(f), fx.lsn);
		sc_redo_follow_free(f);
	}
	redo_fixture_close(&fx);
}

/* Small reads, files of 64 KiB recycled just behind the reader. */
static void switches_and_recycles(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	uint64_t at = FX_START, step = 1;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	while (fx.id < 30) {
		step = step * 7919 % 40009;
		redo_fixture_write_to(&fx, sc_redo_align(fx.lsn + step) + 12 +
						   step % 490);
		drain(&fx, f, &at, step % 2 ? 512 : 8192);
		assert_int_equal(sc_redo_follow_lsn(f), fx.lsn);
		redo_fixture_checkpoint(&fx, fx.lsn);
		redo_fixture_recycle(&fx, fx.lsn);
	}
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

/* The file in hand is renamed away before all of it was read. */
static void keeps_the_file_in_hand(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	struct sc_err err = SC_ERR_INIT;
	uint64_t at = FX_START;
	struct sc_redo_run run;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	redo_fixture_write_to(&fx, FX_START + 100000);
	assert_int_equal(sc_redo_follow_read(f, buf, 512, &run, &err), 1);
	at += 512;
	redo_fixture_recycle(&fx, fx.lsn);
	drain(&fx, f, &at, CAP);
	assert_int_equal(sc_redo_follow_lsn(f), fx.lsn);
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static void end_of_file_is_not_the_end(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	uint64_t at = FX_START, end = FX_START + FILE_SIZE - 2048;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	redo_fixture_write_to(&fx, end);
	drain(&fx, f, &at, CAP);
	assert_int_equal(at, end);
	assert_int_equal(sc_redo_follow_lsn(f), end + 12);
	sc_redo_follow_free(f);
	/* A follower that begins right there waits too. */
	f = follow(&fx, end);
	drain(&fx, f, &at, CAP);
	redo_fixture_write_to(&fx, end + 1000);
	drain(&fx, f, &at, CAP);
	assert_int_equal(sc_redo_follow_lsn(f), end + 1000);
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static void lost_when_recycled(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	redo_fixture_write_to(&fx, FX_START + 100000);
	redo_fixture_recycle(&fx, fx.lsn); /* file 0 becomes the spare */
	redo_fixture_write_to(&fx, FX_START + 200000); /* and is reused */
	expect_error(f, "redo at LSN 8192 was recycled before it was read, the "
			"oldest is now at 71680: raise "
			"innodb_redo_log_capacity");
	assert_true(sc_redo_follow_is_lost(f));
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static void torn_block_is_read_again(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	uint64_t at = FX_START;
	uint8_t block[512];

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	redo_fixture_write_to(&fx, FX_START + 700);
	drain(&fx, f, &at, CAP);
	/* Half of the next version of the partial block. */
	redo_fixture_block(&fx, FX_START + 512, FX_START + 900, block);
	redo_fixture_poke(&fx, FX_START + 512, block, 300);
	drain(&fx, f, &at, CAP);
	assert_int_equal(sc_redo_follow_lsn(f), FX_START + 700);
	redo_fixture_write_to(&fx, FX_START + 900);
	drain(&fx, f, &at, CAP);
	assert_int_equal(sc_redo_follow_lsn(f), FX_START + 900);
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static void stops_at_a_bad_block(void **state)
{
	static const struct {
		bool encrypt;
		uint32_t crc;
		const char *text;
	} cases[] = {
		{ true, 0, "is encrypted and its key is not known" },
		{ false, 0xdeadbeef, "SET GLOBAL innodb_log_checksums = ON" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct redo_fixture fx;
		struct sc_redo_follow *f;
		uint8_t block[512];

		redo_fixture_open(&fx, FILE_SIZE);
		redo_fixture_write_to(&fx, FX_START + 5000);
		fx.encrypt = cases[i].encrypt;
		redo_fixture_block(&fx, FX_START + 2048, UINT64_MAX, block);
		if (!fx.encrypt)
			sc_store_be32(block + 508, cases[i].crc);
		redo_fixture_poke(&fx, FX_START + 2048, block, 512);
		f = follow(&fx, FX_START);
		fx.encrypt = false;
		/* What is good before it is delivered first. */
		{
			struct sc_err err = SC_ERR_INIT;
			struct sc_redo_run run;

			assert_int_equal(
				sc_redo_follow_read(f, buf, CAP, &run, &err),
				1);
			assert_int_equal(run.len, 2048);
		}
		expect_error(f, cases[i].text);
		assert_false(sc_redo_follow_is_lost(f));
		sc_redo_follow_free(f);
		redo_fixture_close(&fx);
	}
}

static void another_log(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_follow *f;
	uint64_t at = FX_START;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	f = follow(&fx, fx.lsn);
	redo_fixture_write_to(&fx, FX_START + FILE_SIZE - 2048);
	drain(&fx, f, &at, CAP);
	redo_fixture_write_to(&fx, FX_START + FILE_SIZE);
	redo_fixture_header(&fx, 0, 6, 77);
	expect_error(f, "created anew while it was followed (uuid 77");
	sc_redo_follow_free(f);
	redo_fixture_close(&fx);
}

static void beyond_the_end(void **state)
{
	struct sc_redo_follow *f = NULL;
	struct sc_err err = SC_ERR_INIT;
	struct redo_fixture fx;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	assert_int_equal(sc_redo_follow_open(fx.dirfd, 1 << 30, &f, &err), -1);
	assert_non_null(strstr(err.msg, "behind the end of the redo log"));
	assert_null(f);
	redo_fixture_close(&fx);
}

static void checkpoint_of(struct redo_fixture *fx, uint64_t want)
{
	struct sc_redo_checkpoint c;
	struct sc_err err = SC_ERR_INIT;

	if (sc_redo_newest_checkpoint(fx->dirfd, &c, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(c.lsn, want);
	assert_int_equal(c.uuid, FX_UUID);
	assert_string_equal(c.creator, "MySQL 9.7.4");
	assert_false(c.encrypted);
}

static void newest_checkpoint(void **state)
{
	struct redo_fixture fx;
	struct sc_redo_checkpoint c;
	struct sc_err err = SC_ERR_INIT;
	uint8_t block[512];

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	checkpoint_of(&fx, FX_START + 12);
	redo_fixture_write_to(&fx, FX_START + 200000);
	redo_fixture_checkpoint(&fx, FX_START + 1000);
	checkpoint_of(&fx, FX_START + 1000);
	redo_fixture_checkpoint(&fx, FX_START + 130000);
	checkpoint_of(&fx, FX_START + 130000);
	/* Not inside its own file: does not count. */
	sc_redo_slot_encode(FX_START + 130001, block);
	redo_fixture_poke(&fx, fx.start - 2048 + 512, block, 512);
	checkpoint_of(&fx, FX_START + 130000);
	/* Encryption information beside the winning checkpoint. */
	redo_fixture_checkpoint(&fx, fx.lsn);
	redo_fixture_poke(&fx, fx.start - 2048 + 1024, "\0lCC", 4);
	assert_int_equal(sc_redo_newest_checkpoint(fx.dirfd, &c, &err), 0);
	assert_true(c.encrypted);
	assert_memory_equal(c.encryption_block, "\0lCC", 4);
	assert_int_equal(c.capacity_bytes, 4 * FILE_SIZE);
	redo_fixture_close(&fx);
}

/* One slot with a wrong crc: the other counts, after a while. */
static void torn_slot(void **state)
{
	struct redo_fixture fx;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	redo_fixture_write_to(&fx, FX_START + 20000);
	redo_fixture_checkpoint(&fx, FX_START + 1000); /* slot 2 */
	redo_fixture_poke(&fx, fx.start - 2048 + 512 + 100, "x", 1);
	checkpoint_of(&fx, FX_START + 1000);
	redo_fixture_close(&fx);
}

static void no_checkpoint(void **state)
{
	static const struct {
		uint32_t flags, format, uuid;
		const char *text;
	} cases[] = {
		{ SC_REDO_NO_LOGGING, 6, FX_UUID,
		  "ALTER INSTANCE ENABLE INNODB REDO_LOG" },
		{ SC_REDO_NO_LOGGING | SC_REDO_CRASH_UNSAFE, 6, FX_UUID,
		  "redo logging is disabled" },
		{ SC_REDO_NOT_INITIALIZED, 6, FX_UUID, "not initialised" },
		{ 0, 5, FX_UUID, "has format 5" },
		{ 0, 7, FX_UUID, "has format 7" },
		{ 0, 6, 99, "belongs to another log" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_redo_checkpoint c;
		struct sc_err err = SC_ERR_INIT;
		struct redo_fixture fx;

		redo_fixture_open(&fx, FILE_SIZE);
		redo_fixture_write_to(&fx, FX_START + FILE_SIZE);
		redo_fixture_header(&fx, cases[i].flags, cases[i].format,
				    cases[i].uuid);
		assert_int_equal(sc_redo_newest_checkpoint(fx.dirfd, &c, &err),
				 -1);
		if (!strstr(err.msg, cases[i].text))
			fail_msg("%s", err.msg);
		redo_fixture_close(&fx);
	}
}

static void no_files_and_garbage(void **state)
{
	struct sc_redo_checkpoint c;
	struct sc_err err = SC_ERR_INIT;
	struct redo_fixture fx;
	char name[SC_REDO_NAME_SIZE];

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	assert_int_equal(ftruncate(fx.fd, 100), 0);
	assert_int_equal(sc_redo_newest_checkpoint(fx.dirfd, &c, &err), -1);
	assert_non_null(strstr(err.msg, "#ib_redo0 has a damaged header"));
	sc_redo_file_name(0, name);
	unlinkat(fx.dirfd, name, 0);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_redo_newest_checkpoint(fx.dirfd, &c, &err), -1);
	assert_non_null(strstr(err.msg, "there are no redo files"));
	redo_fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_byte_by_byte),
		cmocka_unit_test(closed_it_still_tells),
		cmocka_unit_test(starts_anywhere),
		cmocka_unit_test(switches_and_recycles),
		cmocka_unit_test(keeps_the_file_in_hand),
		cmocka_unit_test(end_of_file_is_not_the_end),
		cmocka_unit_test(lost_when_recycled),
		cmocka_unit_test(torn_block_is_read_again),
		cmocka_unit_test(stops_at_a_bad_block),
		cmocka_unit_test(another_log),
		cmocka_unit_test(beyond_the_end),
		cmocka_unit_test(newest_checkpoint),
		cmocka_unit_test(torn_slot),
		cmocka_unit_test(no_checkpoint),
		cmocka_unit_test(no_files_and_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
