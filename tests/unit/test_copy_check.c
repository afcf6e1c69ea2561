/* SPDX-License-Identifier: GPL-2.0-only */
/* The second look at pages that are not sound: read again in a running file,
 * page 0 with them; repaired in an atomic image. */
#include "io/copy_check.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/page_samples.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 16384, PAGES = 8, LSN = 5000, CHECKPOINT = 1000 };

static const struct sc_space_key key = { .key = "k", .iv = "i" };
static struct dir_fixture dir;
static struct sc_copy copy;
static struct sc_image image;
static struct sc_copy_checker *checker;
static struct sc_file file;
static struct sc_err err;
static uint8_t *disk;		   /* what the file has */
static uint8_t data[PAGES * SIZE]; /* what was read */
static struct sc_dblwr *dblwr;

static int setup(void **state)
{
	(void)state;
	dir_fixture_open(&dir);
	image = (struct sc_image){ .provider = "test" };
	memset(&copy, 0, sizeof(copy));
	copy.image = &image;
	err = (struct sc_err)SC_ERR_INIT;
	file = (struct sc_file){ .path = (char *)"db/t.ibd",
				 .kind = SC_FILE_PAGES,
				 .spec = fx_spec(FX_FLAGS_PLAIN, 3) };
	disk = fx_pages(&file.spec, PAGES, LSN);
	memcpy(data, disk, sizeof(data));
	checker = sc_copy_checker_new(&copy);
	dblwr = NULL;
	return checker ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sc_copy_checker_free(checker);
	sc_dblwr_free(dblwr);
	free(disk);
	dir_fixture_close(&dir);
	return 0;
}

/* Check the first len bytes, which lie at off in the file; those before it are
 * page 0 and holes. */
static int check_at(uint64_t off, uint32_t len)
{
	int fd, rc;

	dir_fixture_put(dir.fd, "db/t.ibd", disk, sizeof(data));
	fd = openat(dir.fd, "db/t.ibd", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	if (off)
		assert_int_equal(pwrite(fd, disk, sizeof(data), (off_t)off),
				 sizeof(data));
	rc = sc_copy_check(checker, &file, fd, off, data, len, &err);
	close(fd);
	return rc;
}

static int check(void)
{
	return check_at(0, sizeof(data));
}

static void expect_counts(uint64_t checked, uint64_t reread, uint64_t repaired,
			  uint64_t unchecked)
{
	assert_int_equal(copy.pages_checked, checked);
	assert_int_equal(copy.pages_reread, reread);
	assert_int_equal(copy.pages_repaired, repaired);
	assert_int_equal(copy.pages_unchecked, unchecked);
}

static void expect_error(const char *text)
{
	assert_int_equal(check(), -1);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
}

static void read_again(void **state)
{
	(void)state;
	data[3 * SIZE + 700] ^= 1;
	memcpy(data + 5 * SIZE, data + 4 * SIZE, SIZE); /* misplaced */
	assert_int_equal(check(), 0);
	expect_counts(PAGES, 2, 0, 0);
	assert_memory_equal(data, disk, sizeof(data));
}

static int open_running(struct sc_image *running, const char *path, bool direct)
{
	(void)running;
	(void)direct;
	return openat(dir.fd, path, O_RDONLY | O_CLOEXEC);
}

/* In the image it stays torn: the running file has it. */
static void read_again_in_the_running_file(void **state)
{
	struct sc_image running = { .open_file = open_running };
	int fd;

	(void)state;
	copy.running = &running;
	dir_fixture_put(dir.fd, "db/t.ibd", disk, sizeof(data));
	data[3 * SIZE + 700] ^= 1;
	dir_fixture_put(dir.fd, "image", data, sizeof(data));
	fd = openat(dir.fd, "image", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(
		sc_copy_check(checker, &file, fd, 0, data, sizeof(data), &err),
		0);
	close(fd);
	expect_counts(PAGES, 1, 0, 0);
	assert_memory_equal(data, disk, sizeof(data));
}

/* RENAME put another table under that name: its pages are sound, and not these.
 */
static void not_in_another_tablespace(void **state)
{
	struct sc_image running = { .open_file = open_running };
	struct sc_page_spec other = fx_spec(FX_FLAGS_PLAIN, 77);
	uint8_t *theirs = fx_pages(&other, PAGES, LSN);
	int fd;

	(void)state;
	copy.running = &running;
	dir_fixture_put(dir.fd, "db/t.ibd", theirs, sizeof(data));
	free(theirs);
	data[3 * SIZE + 700] ^= 1;
	dir_fixture_put(dir.fd, "image", data, sizeof(data));
	fd = openat(dir.fd, "image", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(
		sc_copy_check(checker, &file, fd, 0, data, sizeof(data), &err),
		-1);
	close(fd);
	assert_non_null(strstr(err.msg, "page 3 of db/t.ibd is corrupted"));
	expect_counts(0, 0, 0, 0);
}

static void misplaced(void **state)
{
	(void)state;
	memcpy(disk + 5 * SIZE, disk + 4 * SIZE, SIZE);
	memcpy(data, disk, sizeof(data));
	expect_error("page 5 of db/t.ibd (byte 81920) is not that page but page"
		     " 4 of tablespace 3, expected tablespace 3");
}

/* Bad when it was read, gone when it is read again. */
static void truncated(void **state)
{
	int fd;

	(void)state;
	dir_fixture_put(dir.fd, "db/t.ibd", disk, 5 * SIZE);
	fd = openat(dir.fd, "db/t.ibd", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	data[5 * SIZE + 700] ^= 1;
	assert_int_equal(
		sc_copy_check(checker, &file, fd, 0, data, sizeof(data), &err),
		-1);
	close(fd);
	assert_non_null(strstr(err.msg, "db/t.ibd was truncated while it was "
					"copied: it ends before page 5"));
}

static void part_of_a_page(void **state)
{
	(void)state;
	assert_int_equal(check_at(0, 6 * SIZE + 5000), 0);
	expect_counts(6, 0, 0, 0);
	assert_memory_equal(data, disk, 6 * SIZE);
	assert_true(sc_is_zero(data + 6 * SIZE, 5000));
	assert_memory_equal(data + 6 * SIZE + 5000, disk + 6 * SIZE + 5000,
			    2 * SIZE - 5000);
}

static const struct sc_space_key other_key = { .key = "o", .iv = "o" };
static unsigned known_keys; /* how many known() tells */

static int page0_key(struct sc_key_source *source, uint32_t space_id,
		     const uint8_t *info, const struct sc_space_key **ret,
		     struct sc_err *e)
{
	(void)source;
	(void)e;
	assert_int_equal(space_id, 3);
	assert_true(sc_is_zero(info, SC_KEY_INFO_MAX)); /* as fx_page() made */
	*ret = &key;
	return 0;
}

/* The right one is the last of them. */
static const struct sc_space_key *known_key(struct sc_key_source *source,
					    uint32_t space_id, unsigned n)
{
	(void)source;
	assert_int_equal(space_id, 3);
	if (n >= known_keys)
		return NULL;
	return n + 1 < known_keys ? &other_key : &key;
}

static struct sc_key_source keys = { page0_key, known_key };

/* ALTER TABLE ... ENCRYPTION='Y' after the files were listed. */
static void encrypted_meanwhile(void **state)
{
	struct sc_page_spec now = fx_spec(FX_FLAGS_ENCRYPTED, 3);

	(void)state;
	now.key = &key;
	fx_page(&now, 0, LSN, disk);
	for (int i = 1; i < PAGES; i++)
		px_encrypt(&now, disk + i * SIZE);
	memcpy(data, disk, sizeof(data));
	copy.keys = &keys;
	known_keys = 0;
	assert_int_equal(check(), 0);
	expect_counts(PAGES, 1, 0, 0);
	assert_memory_equal(data, disk, sizeof(data));
	/* Known from then on. */
	assert_int_equal(check(), 0);
	expect_counts(2 * PAGES, 1, 0, 0);
}

/* Page 0 with the key is not on disk yet: the redo told it. */
static void key_from_the_redo(void **state)
{
	struct sc_page_spec now = fx_spec(FX_FLAGS_ENCRYPTED, 3);

	(void)state;
	now.key = &key;
	for (int i = 2; i < PAGES; i++)
		px_encrypt(&now, disk + i * SIZE);
	memcpy(data, disk, sizeof(data));
	copy.keys = &keys;
	for (known_keys = 1; known_keys < 4; known_keys++) {
		assert_int_equal(check(), 0);
		expect_counts(known_keys * PAGES, 0, 0, 0);
	}
	/* A torn page is torn with every key. */
	data[4 * SIZE + 3000] ^= 1;
	assert_int_equal(check(), 0);
	expect_counts(known_keys * PAGES, 1, 0, 0);
	disk[4 * SIZE + 3000] ^= 1;
	data[4 * SIZE + 3000] ^= 1;
	expect_error("page 4 of db/t.ibd is corrupted");
}

static void encrypted_without_key(void **state)
{
	(void)state;
	file.spec = fx_spec(FX_FLAGS_ENCRYPTED, 3);
	file.spec.key = &key;
	fx_page(&file.spec, 0, LSN, disk);
	px_encrypt(&file.spec, disk + 2 * SIZE);
	memcpy(data, disk, sizeof(data));
	assert_int_equal(check(), 0);
	file.spec.key = NULL;
	sc_copy_checker_free(checker);
	checker = sc_copy_checker_new(&copy);
	expect_error(
		"page 2 of db/t.ibd is encrypted and its key is not known");
	err = (struct sc_err)SC_ERR_INIT;
	image.atomic = true;
	memset(&copy.pages_checked, 0, sizeof(copy.pages_checked));
	assert_int_equal(check(), 0);
	expect_counts(PAGES - 1, 0, 0, 1);
}

/* Another file of that name: other pages, another space. */
static void replaced_meanwhile(void **state)
{
	struct sc_page_spec now = fx_spec(FX_FLAGS_ZIP_1K, 77);
	uint32_t n = sizeof(data) / 1024;

	(void)state;
	free(disk);
	disk = fx_pages(&now, n, LSN);
	memcpy(data, disk, sizeof(data));
	assert_int_equal(check(), 0);
	expect_counts(n, 0, 0, 0);
	assert_memory_equal(data, disk, sizeof(data));
}

/* A page 0 that is itself damaged is not believed. */
static void damaged_page0(void **state)
{
	(void)state;
	disk[54 + 2] ^= 0x20; /* the flag of encryption */
	memcpy(data, disk, sizeof(data));
	expect_error("page 0 of db/t.ibd is corrupted");
}

/* The second file of the system tablespace has no page 0. */
static void second_system_file(void **state)
{
	(void)state;
	file.spec = fx_spec(0, 0);
	file.spec.first_page = 768;
	for (uint32_t i = 0; i < PAGES; i++)
		fx_page(&file.spec, 768 + 64 + i, LSN, disk + i * SIZE);
	memcpy(data, disk, sizeof(data));
	data[3 * SIZE + 99] ^= 1;
	assert_int_equal(check_at(SC_CHUNK_SIZE, sizeof(data)), 0);
	expect_counts(PAGES, 1, 0, 0);
	assert_int_equal(check_at(2 * SC_CHUNK_SIZE, sizeof(data)), -1);
	assert_non_null(strstr(
		err.msg, "page 896 of db/t.ibd (byte 2097152) is not that page "
			 "but page 832 of tablespace 0"));
}

static void doublewrite_file(uint64_t lsn, uint32_t damage)
{
	uint8_t slot[SIZE];

	fx_page(&file.spec, 6, lsn, slot);
	slot[8000] ^= damage ? 1 : 0;
	dir_fixture_put(dir.fd, "#ib_16384_0.dblwr", slot, SIZE);
	sc_dblwr_free(dblwr);
	dblwr = NULL;
	assert_int_equal(sc_dblwr_load(dir.fd, SIZE, CHECKPOINT, &dblwr, &err),
			 0);
	copy.dblwr = dblwr;
}

static void tear(void)
{
	uint8_t newer[SIZE];

	fx_page(&file.spec, 6, LSN + 900, newer);
	memcpy(disk + 6 * SIZE, newer, 4096);
	memcpy(data, disk, sizeof(data));
}

static void atomic_image_repaired(void **state)
{
	(void)state;
	image.atomic = true;
	tear();
	doublewrite_file(LSN + 900, 0);
	assert_int_equal(check(), 0);
	expect_counts(PAGES, 0, 1, 0);
	fx_page(&file.spec, 6, LSN + 900, disk + 6 * SIZE);
	assert_memory_equal(data, disk, sizeof(data));
}

static void atomic_image_not_repaired(void **state)
{
	(void)state;
	image.atomic = true;
	tear();
	expect_error("page 6 of db/t.ibd is corrupted (checksum mismatch, byte "
		     "98304), and the doublewrite files hold no sound copy");
	err = (struct sc_err)SC_ERR_INIT;
	doublewrite_file(LSN + 900, 1);
	expect_error("hold no sound copy of it; HINT: check the donor");
	err = (struct sc_err)SC_ERR_INIT;
	doublewrite_file(CHECKPOINT - 1, 0);
	expect_error(
		"hold only a copy of it that is older than the checkpoint");
	/* Whole, but not in its place: not torn, so not repaired. */
	err = (struct sc_err)SC_ERR_INIT;
	doublewrite_file(LSN + 900, 0);
	fx_page(&file.spec, 7, LSN, data + 6 * SIZE);
	expect_error("page 6 of db/t.ibd (byte 98304) is not that page but page"
		     " 7");
	expect_counts(0, 0, 0, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(read_again),
		TEST(read_again_in_the_running_file),
		TEST(not_in_another_tablespace),
		TEST(misplaced),
		TEST(truncated),
		TEST(part_of_a_page),
		TEST(encrypted_meanwhile),
		TEST(key_from_the_redo),
		TEST(encrypted_without_key),
		TEST(replaced_meanwhile),
		TEST(damaged_page0),
		TEST(second_system_file),
		TEST(atomic_image_repaired),
		TEST(atomic_image_not_repaired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
