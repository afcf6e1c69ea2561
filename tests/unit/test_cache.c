/* SPDX-License-Identifier: GPL-2.0-only */
/* What is in the page cache, and what is a hole, on the file system the tests
 * run on. */
#include "io/cache.h"

#include "io/base/fdio.h"
#include "tests/unit/dir_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static struct dir_fixture dir;
static int fd;

static int setup(void **state)
{
	(void)state;
	dir_fixture_open(&dir);
	fd = openat(dir.fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(fd);
	dir_fixture_close(&dir);
	return 0;
}

static void put(uint64_t off, size_t len)
{
	void *bytes = malloc(len);

	memset(bytes, 1, len);
	assert_int_equal(sc_pwrite_full(fd, bytes, len, off), 0);
	assert_int_equal(fsync(fd), 0);
	free(bytes);
}

static void dropped_and_read_again(void **state)
{
	char byte;

	(void)state;
	put(0, 2 * MIB);
	assert_true(sc_cache_has(fd, 0, MIB));
	sc_cache_drop(fd, 0, 2 * MIB);
	assert_false(sc_cache_has(fd, 0, MIB));
	assert_false(sc_cache_has(fd, MIB, MIB));
	/* One page is enough to say that it has some. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	assert_int_equal(pread(fd, &byte, 1, MIB + 70000), 1);
	assert_true(sc_cache_has(fd, MIB, MIB));
	assert_false(sc_cache_has(fd, 0, MIB));
}

static void cache_of_nothing(void **state)
{
	(void)state;
	assert_true(sc_cache_has(-1, 0, MIB)); /* nobody can tell */
}

static void holes(void **state)
{
	(void)state;
	put(MIB + 4096, 4096);
	assert_int_equal(ftruncate(fd, 4 * MIB + 100), 0);
	assert_true(sc_range_is_hole(fd, 0, MIB));
	assert_true(sc_range_is_hole(fd, 0, MIB + 4096));
	assert_false(sc_range_is_hole(fd, 0, MIB + 4097));
	assert_false(sc_range_is_hole(fd, MIB, MIB));
	assert_true(sc_range_is_hole(fd, 2 * MIB, MIB));
	assert_true(sc_range_is_hole(fd, 4 * MIB, 100));
	/* Not the end of the file: that is for the read to find. */
	assert_false(sc_range_is_hole(fd, 4 * MIB, 101));
	assert_false(sc_range_is_hole(fd, 5 * MIB, 1));
	assert_false(sc_range_is_hole(-1, 0, 1));
}

static void unwritten_is_a_hole(void **state)
{
	(void)state;
	assert_int_equal(posix_fallocate(fd, 0, 2 * MIB), 0);
	assert_true(sc_range_is_hole(fd, 0, MIB));
	put(MIB, 4096);
	assert_false(sc_range_is_hole(fd, MIB, MIB));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dropped_and_read_again),
		TEST(cache_of_nothing),
		TEST(holes),
		TEST(unwritten_is_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
