/* SPDX-License-Identifier: GPL-2.0-only */
/* Doublewrite files: which copy is taken, and which must not be. */
#include "io/dblwr.h"

#include "io/crc32c.h"
#include "io/page_open.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/page_samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOT = 16384, CHECKPOINT = 1000, SPACE = 9 };

static struct dir_fixture dir;
static struct sc_page_opener *opener;
static struct sc_err err;
static struct sc_page_spec spec;
static struct sc_dblwr *dblwr;
static uint8_t slots[8][SLOT], page[SC_PAGE_SIZE_MAX];

static int setup(void **state)
{
	(void)state;
	dir_fixture_open(&dir);
	opener = sc_page_opener_new();
	err = (struct sc_err)SC_ERR_INIT;
	spec = fx_spec(FX_FLAGS_PLAIN, SPACE);
	memset(slots, 0, sizeof(slots));
	memset(page, 0xee, sizeof(page));
	dblwr = NULL;
	return opener ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sc_dblwr_free(dblwr);
	sc_page_opener_free(opener);
	dir_fixture_close(&dir);
	return 0;
}

/* Write the first n slots to a file. */
static void put(const char *name, size_t n)
{
	dir_fixture_put(dir.fd, name, slots, n * SLOT);
}

static void load(void)
{
	sc_dblwr_free(dblwr);
	dblwr = NULL;
	if (sc_dblwr_load(dir.fd, SLOT, CHECKPOINT, &dblwr, &err) < 0)
		fail_msg("%s", err.msg);
}

static enum sc_dblwr_result repair(uint32_t page_no)
{
	enum sc_dblwr_result result;

	if (sc_dblwr_repair(dblwr, &spec, page_no, opener, page, &result,
			    &err) < 0)
		fail_msg("%s", err.msg);
	return result;
}

static void expect_page(const uint8_t *want)
{
	assert_memory_equal(page, want, spec.physical_size);
	memset(page, 0xee, sizeof(page));
}

static void expect_untouched(void)
{
	for (size_t i = 0; i < sizeof(page); i++)
		assert_int_equal(page[i], 0xee);
}

static void no_files(void **state)
{
	(void)state;
	load();
	assert_int_equal(sc_dblwr_count(dblwr), 0);
	assert_int_equal(repair(3), SC_DBLWR_NONE);
	expect_untouched();
}

/* Files of other page sizes, other names; a file's end within a slot. */
static void names(void **state)
{
	static const char *const other[] = {
		"#ib_4096_0.dblwr",	 "#ib_16384_0.dblwr.bak",
		"ib_16384_0.dblwr",	 "#ib_16384_00.dblwr",
		"#ib_16384_99999.dblwr",
	};

	(void)state;
	px_page(&spec, 3, 2000, 17855, slots[0]);
	for (size_t i = 0; i < SC_ARRAY_SIZE(other); i++)
		put(other[i], 1);
	load();
	assert_int_equal(sc_dblwr_count(dblwr), 0);
	dir_fixture_put(dir.fd, "#ib_16384_0.dblwr", slots, SLOT - 1);
	load();
	assert_int_equal(sc_dblwr_count(dblwr), 0);
	put("#ib_16384_255.dblwr", 1);
	load();
	assert_int_equal(sc_dblwr_count(dblwr), 1);
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(slots[0]);
}

/* In whatever file and slot, the newest sound copy. */
static void newest_sound_copy(void **state)
{
	static uint8_t want[SLOT];

	(void)state;
	px_page(&spec, 3, 2000, 17855, slots[0]);
	px_page(&spec, 4, 9000, 17855, slots[1]); /* another page */
	spec.space_id++;
	px_page(&spec, 3, 9000, 17855, slots[2]); /* another space */
	spec.space_id--;
	put("#ib_16384_1.dblwr", 3);
	px_page(&spec, 3, 3000, 17855, want);
	memcpy(slots[1], want, SLOT);
	put("#ib_16384_0.dblwr", 2);
	load();
	assert_int_equal(sc_dblwr_count(dblwr), 5);
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(want);
	/* The newest is torn itself: the page was not being written then. */
	px_page(&spec, 3, 4000, 17855, slots[2]);
	slots[2][9000] ^= 1;
	put("#ib_16384_0.dblwr", 3);
	load();
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(want);
	assert_int_equal(repair(5), SC_DBLWR_NONE);
	expect_untouched();
}

/* Older than the checkpoint: left over from an earlier write. */
static void stale_copies(void **state)
{
	(void)state;
	px_page(&spec, 3, CHECKPOINT - 1, 17855, slots[0]);
	put("#ib_16384_0.dblwr", 1);
	load();
	assert_int_equal(repair(3), SC_DBLWR_STALE);
	expect_untouched();
	/* A newer one that is torn does not make the older one right. */
	px_page(&spec, 3, 2000, 17855, slots[1]);
	slots[1][9000] ^= 1;
	put("#ib_16384_0.dblwr", 2);
	load();
	assert_int_equal(repair(3), SC_DBLWR_STALE);
	expect_untouched();
	px_page(&spec, 3, CHECKPOINT, 17855, slots[2]);
	put("#ib_16384_0.dblwr", 3);
	load();
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(slots[2]);
}

/* One page of a .bdblwr file with two entries, of which the second counts. */
static void put_batch(uint64_t lsn, uint32_t flip)
{
	static uint8_t batch[3 * 8192];
	uint8_t *p = batch + 8192;

	memset(batch, 0, sizeof(batch));
	sc_store_be16(p + 8, 32);
	sc_store_be32(p + 20, SPACE + 1);
	sc_store_be32(p + 36, SPACE);
	sc_store_be32(p + 40, 3);
	sc_store_be64(p + 44, lsn);
	sc_store_be32(p + 4, sc_crc32c(0, p + 20, 32));
	p[flip] ^= flip ? 1 : 0;
	dir_fixture_put(dir.fd, "#ib_16384_0.bdblwr", batch, sizeof(batch));
	load();
}

/* innodb_doublewrite=DETECT_ONLY tells of writes, but keeps no copies. */
static void detect_only(void **state)
{
	(void)state;
	px_page(&spec, 3, 2000, 17855, slots[0]);
	put("#ib_16384_0.dblwr", 1);
	put_batch(1999, 0);
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(slots[0]);
	put_batch(2001, 0);
	assert_int_equal(sc_dblwr_count(dblwr), 3);
	assert_int_equal(repair(3), SC_DBLWR_NOT_KEPT);
	expect_untouched();
	/* A batch that is torn was of no write that had begun. */
	put_batch(2001, 50);
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(slots[0]);
}

/* A KEY_BLOCK_SIZE page has a slot of innodb_page_size to itself. */
static void small_pages(void **state)
{
	(void)state;
	spec = fx_spec(FX_FLAGS_ZIP_1K, SPACE);
	memset(slots, 0x55, sizeof(slots));
	px_page(&spec, 1, 2000, 17855, slots[0]);
	px_page(&spec, 2, 2001, 17855, slots[1]);
	put("#ib_16384_0.dblwr", 2);
	load();
	assert_int_equal(sc_dblwr_count(dblwr), 2);
	assert_int_equal(repair(2), SC_DBLWR_REPAIRED);
	assert_memory_equal(page, slots[1], 1024);
	assert_int_equal(page[1024], 0xee);
}

/* Compressed and encrypted copies are shorter than their slot, which has bytes
 * of earlier ones behind them. */
static void closed_pages(void **state)
{
	const struct sc_space_key key = { .key = "k", .iv = "i" };
	static uint8_t want[SLOT];

	(void)state;
	spec = fx_spec(FX_FLAGS_ENCRYPTED, SPACE);
	spec.key = &key;
	px_page(&spec, 3, 2000, 17855, want);
	px_compress(&spec, want, 2);
	px_encrypt(&spec, want);
	memset(slots[0], 0x55, SLOT);
	memcpy(slots[0], want, sc_page_used_len(&spec, want));
	put("#ib_16384_0.dblwr", 1);
	load();
	assert_int_equal(repair(3), SC_DBLWR_REPAIRED);
	expect_page(want);
	spec.key = NULL; /* then nobody can tell whether the copy is sound */
	assert_int_equal(repair(3), SC_DBLWR_NONE);
	expect_untouched();
}

static void unreadable(void **state)
{
	enum sc_dblwr_result result;

	(void)state;
	px_page(&spec, 3, 2000, 17855, slots[0]);
	put("#ib_16384_7.dblwr", 1);
	load();
	unlinkat(dir.fd, "#ib_16384_7.dblwr", 0);
	assert_int_equal(
		sc_dblwr_repair(dblwr, &spec, 3, opener, page, &result, &err),
		-1);
	assert_non_null(strstr(err.msg, "doublewrite file #ib_16384_7.dblwr"));
	expect_untouched();
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(symlinkat("/dev/null", dir.fd, "#ib_16384_8.dblwr"),
			 0);
	sc_dblwr_free(dblwr);
	dblwr = NULL;
	assert_int_equal(sc_dblwr_load(dir.fd, SLOT, CHECKPOINT, &dblwr, &err),
			 -1);
	assert_non_null(strstr(err.msg, "#ib_16384_8.dblwr"));
	assert_null(dblwr);
}

/* Random contents in both kinds of files. */
static void random_files(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 30; round++) {
		uint8_t *p = &slots[0][0];

		for (size_t i = 0; i < sizeof(slots); i++) {
			seed = seed * 1664525 + 1013904223;
			p[i] = (uint8_t)(seed >> 24);
		}
		for (size_t i = 0; i < 8; i++) { /* space and number found */
			sc_store_be32(slots[i] + 4, (uint32_t)i % 3);
			sc_store_be32(slots[i] + 34, SPACE);
			sc_store_be16(slots[i] + 24, (uint16_t)(13 + i % 6));
		}
		put("#ib_16384_0.dblwr", (size_t)round % 9);
		dir_fixture_put(dir.fd, "#ib_16384_1.bdblwr", slots,
				(size_t)round * 3000);
		load();
		for (uint32_t no = 0; no < 3; no++)
			assert_true(repair(no) != SC_DBLWR_REPAIRED);
		expect_untouched();
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_files),	    TEST(names),       TEST(newest_sound_copy),
		TEST(stale_copies), TEST(detect_only), TEST(small_pages),
		TEST(closed_pages), TEST(unreadable),  TEST(random_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
