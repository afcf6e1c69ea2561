/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that share extents, on loop images of XFS and btrfs: equal to their
 * source, with its holes and odd end, with and without nodatacow, every page
 * whole while another thread writes pages; and who cannot says so.
 */
#include "io/reflink.h"

#include "io/base/clock.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/loop_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	PAGE = 16384,
	PAGES = 2048,
	HOLE = 4 << 20, /* what lies behind the data */
	ODD = 4097,
	WRITE_MS = 1500,
};

struct fs {
	const char *mkfs;
	struct loop_fs loop;
	struct dir_fixture dir;
	int fd; /* of its root */
};

static int mount_fs(void **state, const char *mkfs, unsigned size_mib)
{
	static struct fs fs;

	fs = (struct fs){ .mkfs = mkfs };
	dir_fixture_open(&fs.dir);
	if (loop_fs_mount(&fs.loop, fs.dir.path, mkfs, 512, size_mib) < 0) {
		print_message("%s: %s\n", mkfs, fs.loop.reason);
		return -1;
	}
	fs.fd = open(fs.loop.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &fs;
	return fs.fd < 0 ? -1 : 0;
}

static int xfs(void **state)
{
	return mount_fs(state, "mkfs.xfs -q -m reflink=1", 400);
}

static int btrfs(void **state)
{
	return mount_fs(state, "mkfs.btrfs -q", 400);
}

static int ext4(void **state)
{
	return mount_fs(state, "mkfs.ext4 -q", 64);
}

static int unmount_fs(void **state)
{
	struct fs *fs = *state;

	close(fs->fd);
	if (loop_fs_umount(&fs->loop) < 0)
		return -1;
	dir_fixture_close(&fs->dir);
	return 0;
}

/* Pages with one number each, a hole, an odd end. */
static int make_source(struct fs *fs)
{
	int fd = openat(fs->fd, "src", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint32_t page[PAGE / 4];

	assert_true(fd >= 0);
	for (uint32_t i = 0; i < PAGES; i++) {
		for (size_t k = 0; k < SC_ARRAY_SIZE(page); k++)
			page[k] = i;
		assert_int_equal(pwrite(fd, page, PAGE, (off_t)i * PAGE), PAGE);
	}
	assert_int_equal(pwrite(fd, page, ODD, PAGES * PAGE + HOLE), ODD);
	return fd;
}

static void expect_equal(int a, int b)
{
	static char one[1 << 20], two[1 << 20];
	struct stat sa, sb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_int_equal(sa.st_size, sb.st_size);
	for (off_t at = 0; at < sa.st_size; at += sizeof(one)) {
		ssize_t n = pread(a, one, sizeof(one), at);

		assert_int_equal(pread(b, two, sizeof(two), at), n);
		assert_memory_equal(one, two, (size_t)n);
	}
}

static void equal_to_its_source(void **state)
{
	struct fs *fs = *state;
	struct sc_reflink r = { 0 };
	int src = make_source(fs), dst = sc_reflink_tmpfile(fs->fd);

	assert_int_equal(sc_reflink_try(fs->fd, fs->fd), 0);
	assert_int_equal(sc_reflink_file(&r, src, dst, NULL), 0);
	expect_equal(src, dst);
	assert_int_equal(lseek(dst, PAGES * PAGE, SEEK_DATA),
			 PAGES * PAGE + HOLE);
	assert_true(r.longest_us > 0);
	assert_int_equal(r.bytes, PAGES * PAGE + HOLE + ODD);
	/* What is written later is written to one of them. */
	assert_int_equal(pwrite(src, "x", 1, 0), 1);
	assert_int_equal(pread(dst, &(char){ 0 }, 1, 0), 1);
	close(src);
	close(dst);
}

static void empty_file(void **state)
{
	struct fs *fs = *state;
	struct sc_reflink r = { 0 };
	int src = sc_reflink_tmpfile(fs->fd), dst = sc_reflink_tmpfile(fs->fd);

	assert_int_equal(sc_reflink_file(&r, src, dst, NULL), 0);
	assert_int_equal(lseek(dst, 0, SEEK_END), 0);
	close(src);
	close(dst);
}

static void ended_by_another(void **state)
{
	struct fs *fs = *state;
	struct sc_reflink r = { 0 };
	atomic_bool stop = true;
	int src = make_source(fs), dst = sc_reflink_tmpfile(fs->fd);

	assert_int_equal(sc_reflink_file(&r, src, dst, &stop), -ECANCELED);
	close(src);
	close(dst);
}

/* ---- pages that are written meanwhile ------------------------------------ */

struct writer {
	int fd;
	atomic_bool stop;
	atomic_uint written;
};

static void *write_pages(void *arg)
{
	struct writer *w = arg;
	unsigned seed = 1;
	void *page = NULL;

	assert_int_equal(posix_memalign(&page, 4096, PAGE), 0);
	for (uint32_t n = 0; !w->stop; n++) {
		off_t at = (off_t)(rand_r(&seed) % PAGES) * PAGE;

		for (size_t k = 0; k < PAGE / 4; k++)
			((uint32_t *)page)[k] = n;
		assert_int_equal(pwrite(w->fd, page, PAGE, at), PAGE);
		w->written++;
	}
	free(page);
	return NULL;
}

static void expect_whole_pages(int fd)
{
	uint32_t page[PAGE / 4];

	for (off_t i = 0; i < PAGES; i++) {
		assert_int_equal(pread(fd, page, PAGE, i * PAGE), PAGE);
		for (size_t k = 1; k < SC_ARRAY_SIZE(page); k++) {
			if (page[k] != page[0])
				fail_msg("page %d is torn", (int)i);
		}
	}
}

static void pages_are_whole(struct fs *fs, int flags)
{
	int src = make_source(fs);
	struct writer w = { .fd = openat(fs->fd, "src",
					 O_WRONLY | O_CLOEXEC | flags) };
	uint64_t end = sc_now_ms() + WRITE_MS;
	struct sc_reflink r = { 0 };
	unsigned copies = 0;
	pthread_t thread;

	assert_true(w.fd >= 0);
	pthread_create(&thread, NULL, write_pages, &w);
	/* Two at least, and 100 pages, however slow they are. */
	for (; sc_now_ms() < end || copies < 2 || w.written < 100; copies++) {
		int dst = sc_reflink_tmpfile(fs->fd);

		assert_int_equal(sc_reflink_file(&r, src, dst, NULL), 0);
		expect_whole_pages(dst);
		close(dst);
	}
	w.stop = true;
	pthread_join(thread, NULL);
	print_message("%u copies while %u pages were written\n", copies,
		      w.written);
	assert_true(copies >= 2 && w.written >= 100);
	close(w.fd);
	close(src);
}

static void written_past_the_cache(void **state)
{
	pages_are_whole(*state, O_DIRECT);
}

static void written_through_the_cache(void **state)
{
	pages_are_whole(*state, 0);
}

/* ---- where it does not work ---------------------------------------------- */

static void nodatacow(void **state)
{
	struct fs *fs = *state;
	struct sc_reflink r = { 0 };
	int nocow = sc_reflink_tmpfile(fs->fd), flags = FS_NOCOW_FL;
	int cow = make_source(fs), a = sc_reflink_tmpfile(fs->fd), b;

	assert_int_equal(ioctl(nocow, FS_IOC_SETFLAGS, &flags), 0);
	assert_int_equal(pwrite(nocow, &r, sizeof(r), 8 * PAGE), sizeof(r));
	assert_int_equal(sc_reflink_file(&r, nocow, a, NULL), 0);
	expect_equal(nocow, a);
	/* A directory gives the attribute to what is made in it. */
	assert_int_equal(ioctl(fs->fd, FS_IOC_SETFLAGS, &flags), 0);
	b = sc_reflink_tmpfile(fs->fd);
	assert_int_equal(sc_reflink_file(&r, cow, b, NULL), 0);
	expect_equal(cow, b);
	close(a);
	close(b);
	close(cow);
	close(nocow);
}

static void cannot(void **state)
{
	struct fs *fs = *state;

	assert_int_equal(sc_reflink_try(fs->fd, fs->fd), -EOPNOTSUPP);
	assert_int_equal(sc_reflink_try(fs->fd, fs->dir.fd), -EXDEV);
}

#define ON(f, fs)                                                              \
	{                                                                      \
#f " " #fs, f, fs, unmount_fs, NULL                            \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(equal_to_its_source, xfs),
		ON(equal_to_its_source, btrfs),
		ON(empty_file, xfs),
		ON(empty_file, btrfs),
		ON(ended_by_another, xfs),
		ON(written_past_the_cache, xfs),
		ON(written_past_the_cache, btrfs),
		ON(written_through_the_cache, xfs),
		ON(written_through_the_cache, btrfs),
		ON(nodatacow, btrfs),
		ON(cannot, ext4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
