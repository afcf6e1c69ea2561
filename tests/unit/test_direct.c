/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What sc_direct_query() says of a file is true: on the file system of TMPDIR,
 * on tmpfs, and on XFS and ext4 on devices with sectors of 512 bytes and of
 * 4 KiB. And the engines read odd tails with O_DIRECT there.
 */
#include "io/base/num.h"
#include "io/direct.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { LEN = 65536 };

static struct dir_fixture dir;
static uint8_t *bytes, *buf; /* page-aligned */

static int setup(void **state)
{
	uint64_t seed = 9;

	(void)state;
	dir_fixture_open(&dir);
	if (posix_memalign((void **)&bytes, 4096, LEN + 4096) ||
	    posix_memalign((void **)&buf, 4096, LEN + 4096))
		return -1;
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)fx_random(&seed);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(bytes);
	free(buf);
	dir_fixture_close(&dir);
	return 0;
}

static int open_path(const char *where, int flags)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/f", where);
	fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0 && !(flags & O_DIRECT && errno == EINVAL))
		fail_msg("%s: %s", path, strerrordesc_np(errno));
	return fd;
}

static struct sc_direct query(const char *where)
{
	int fd = open_path(where, O_RDWR | O_CREAT);
	struct sc_direct d;

	assert_int_equal(sc_direct_query(fd, &d), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, 0);
	close(fd);
	assert_true(sc_is_power_of_two(d.mem_align) && d.mem_align <= 4096);
	assert_true(sc_is_power_of_two(d.file_align) && d.file_align >= 512 &&
		    d.file_align <= 4096);
	return d;
}

/* Reads and writes at the smallest alignment that is promised. */
static void check_promise(const char *where, const struct sc_direct *d)
{
	int fd = open_path(where, O_RDWR | O_DIRECT);
	uint8_t *p = buf + d->mem_align;

	assert_int_equal(d->usable, fd >= 0);
	if (fd < 0)
		return;
	for (uint32_t off = 0; off < LEN; off += d->file_align) {
		memcpy(p, bytes + off, d->file_align);
		assert_int_equal(pwrite(fd, p, d->file_align, off),
				 d->file_align);
	}
	memset(buf, 0, LEN + 4096);
	assert_int_equal(pread(fd, p, LEN - 4096, d->file_align), LEN - 4096);
	assert_memory_equal(p, bytes + d->file_align, LEN - 4096);
	close(fd);
}

/* The tail of a file is read by whole blocks, by either engine. */
static void check_tails(const char *where, const struct sc_direct *d,
			const struct engine_fixture *fx)
{
	static const uint32_t tails[] = { 1,	511,  512,   1024, 4095,
					  4097, 5000, 12800, 20480 };
	struct sc_fault_plan plan;
	struct sc_engine *engine = fx_engine_open(fx, 4, &plan);

	for (size_t i = 0; engine && i < SC_ARRAY_SIZE(tails); i++) {
		uint32_t len = (uint32_t)sc_align_up(tails[i], d->file_align);
		int fd = open_path(where, O_RDWR | O_TRUNC), direct;

		assert_int_equal(pwrite(fd, bytes, tails[i], 0), tails[i]);
		assert_int_equal(fsync(fd), 0);
		direct = open_path(where, O_RDWR | O_DIRECT);
		for (uint32_t extra = 0; extra <= 8192; extra += 4096) {
			memset(buf, 0x55, LEN);
			if (fx_run(engine, SC_IO_READ, direct, buf, len + extra,
				   0) != tails[i])
				fail_msg("tail of %u: wrong length", tails[i]);
			assert_memory_equal(buf, bytes, tails[i]);
		}
		close(direct);
		close(fd);
	}
	if (engine)
		engine->ops->destroy(engine);
}

/* A padded write of the tail, cut off again: the way a stage writes it. */
static void check_padded_write(const char *where, const struct sc_direct *d)
{
	const uint32_t tail = 5000;
	uint32_t len = (uint32_t)sc_align_up(tail, d->file_align);
	int fd = open_path(where, O_RDWR | O_TRUNC);

	assert_int_equal(sc_direct_set(fd, true), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
	memcpy(buf, bytes, len);
	assert_int_equal(pwrite(fd, buf, len, 0), len);
	assert_int_equal(ftruncate(fd, tail), 0);
	assert_int_equal(sc_direct_set(fd, false), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, 0);
	memset(buf, 0, LEN);
	assert_int_equal(pread(fd, buf, LEN, 0), tail);
	assert_memory_equal(buf, bytes, tail);
	close(fd);
}

static void check_all(const char *where, const struct sc_direct *d)
{
	check_promise(where, d);
	if (!d->usable)
		return;
	for (size_t i = 0; i < FX_ENGINES; i++)
		check_tails(where, d, &fx_engines[i]);
	check_padded_write(where, d);
}

/* ---- tests -----------------------------------------------------------------
 */

static void temporary_directory(void **state)
{
	struct sc_direct d = query(dir.path);

	(void)state;
	check_all(dir.path, &d);
}

static void errors(void **state)
{
	int pipes[2], fd = open_path(dir.path, O_RDONLY | O_CREAT);
	struct sc_direct d;

	(void)state;
	close(fd);
	assert_int_equal(sc_direct_query(fd, &d), -EBADF);
	assert_int_equal(sc_direct_set(fd, true), -EBADF);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(sc_direct_set(pipes[0], false), 0);
	close(pipes[0]);
	close(pipes[1]);
}

/* The flags a file has stay, on file systems that are tried out too. */
static void flags_stay(void **state)
{
	int fd = open_path(dir.path, O_RDWR | O_CREAT | O_DIRECT);
	struct sc_direct d;

	(void)state;
	if (fd < 0) {
		print_message("no O_DIRECT below TMPDIR\n");
		skip();
	}
	assert_int_equal(sc_direct_query(fd, &d), 0);
	assert_true(d.usable);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
	assert_int_equal(sc_direct_or_buffered(fd), fd);
	assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
	assert_int_equal(sc_direct_or_buffered(-EINVAL), -EINVAL);
	close(fd);
}

/* Any of these answers is a kernel's. On one that reports, sectors count. */
static void on_fs(const char *mkfs, unsigned sector, unsigned size_mib)
{
	struct loop_fs fs;
	struct sc_direct d;

	if (loop_fs_mount(&fs, dir.path, mkfs, sector, size_mib) < 0) {
		print_message("%s\n", fs.reason);
		skip();
	}
	d = query(fs.path);
	print_message("%.10s, sectors of %u: %s, memory %u, file %u%s\n", mkfs,
		      sector, d.usable ? "usable" : "not usable", d.mem_align,
		      d.file_align, d.reported ? "" : " (assumed)");
	if (sector) {
		assert_true(d.usable);
		assert_true(d.file_align >= sector);
		if (d.reported)
			assert_int_equal(d.file_align, sector);
	}
	check_all(fs.path, &d);
	assert_int_equal(loop_fs_umount(&fs), 0);
}

static void tmpfs(void **state)
{
	(void)state;
	on_fs("tmpfs", 0, 1);
}

static void ext4_512(void **state)
{
	(void)state;
	on_fs("mkfs.ext4 -q -b 4096", 512, 64);
}

static void ext4_4k(void **state)
{
	(void)state;
	on_fs("mkfs.ext4 -q -b 4096", 4096, 64);
}

/* mkfs.xfs makes none below 300 MiB. */
static void xfs_512(void **state)
{
	(void)state;
	on_fs("mkfs.xfs -q", 512, 320);
}

static void xfs_4k(void **state)
{
	(void)state;
	on_fs("mkfs.xfs -q", 4096, 320);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(temporary_directory),
		TEST(errors),
		TEST(flags_stay),
		TEST(tmpfs),
		TEST(ext4_512),
		TEST(ext4_4k),
		TEST(xfs_512),
		TEST(xfs_4k),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
