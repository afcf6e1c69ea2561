/* SPDX-License-Identifier: GPL-2.0-only */
/* One damage after the other to a sound redo directory: each must be seen. */
#include "io/base/fdio.h"
#include "io/redo/build.h"
#include "io/redo/check.h"
#include "io/redo/files.h"
#include "tests/unit/redo_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	FILE_SIZE = 64 << 10,
	ROOM = FILE_SIZE - 2048,
	CHECKPOINT = 8192 + 300,
	END = 8192 + 2 * ROOM + 10100, /* in the third file */
	LAST_BLOCK = END / 512 * 512,
};

static char dir[64];
static int redo_fd;

static int make(void **state)
{
	struct sc_redo_build_params params = { .uuid = FX_UUID,
					       .creator = "MySQL 9.7.4",
					       .checkpoint_lsn = CHECKPOINT,
					       .page_size = 16384,
					       .max_file_size = FILE_SIZE,
					       .uid = (uid_t)-1,
					       .gid = (gid_t)-1 };
	static const struct redo_fixture bytes;
	struct sc_err err = SC_ERR_INIT;
	CLEANUP_REDO_BUILD struct sc_redo_build *b = NULL;
	uint8_t block[512];

	(void)state;
	redo_fd = redo_fixture_mkdir(dir);
	if (sc_redo_build_open(redo_fd, &params, &b, &err))
		return -1;
	for (uint64_t lsn = 8192; lsn < END; lsn += 512) {
		redo_fixture_block(&bytes, lsn, END, block);
		if (sc_redo_build_append(b, lsn, block, 512, &err))
			return -1;
	}
	return sc_redo_build_finish(b, END, &err);
}

static int clear(void **state)
{
	(void)state;
	redo_fixture_rmdir(dir, redo_fd);
	return 0;
}

static int open_file(uint64_t id)
{
	char name[SC_REDO_NAME_SIZE];
	int fd;

	sc_redo_file_name(id, name);
	fd = openat(redo_fd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void poke(uint64_t id, uint64_t off, const void *p, size_t len)
{
	int fd = open_file(id);

	assert_int_equal(sc_pwrite_full(fd, p, len, off), 0);
	close(fd);
}

static void set_header(uint64_t id, void (*change)(struct sc_redo_header *))
{
	struct sc_redo_file file;
	uint8_t block[512];
	int fd = open_file(id);

	assert_int_equal(sc_redo_file_read(fd, &file), 0);
	close(fd);
	change(&file.header);
	sc_redo_header_encode(&file.header, block);
	poke(id, 0, block, sizeof(block));
}

static void rename_file(uint64_t from, uint64_t to)
{
	char a[SC_REDO_NAME_SIZE], b[SC_REDO_NAME_SIZE];

	sc_redo_file_name(from, a);
	sc_redo_file_name(to, b);
	assert_int_equal(renameat(redo_fd, a, redo_fd, b), 0);
}

static void remove_file(uint64_t id)
{
	char name[SC_REDO_NAME_SIZE];

	sc_redo_file_name(id, name);
	assert_int_equal(unlinkat(redo_fd, name, 0), 0);
}

static void set_size(uint64_t id, off_t size)
{
	int fd = open_file(id);

	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void set_slot(uint64_t id, uint64_t off, uint64_t lsn)
{
	uint8_t block[512];

	sc_redo_slot_encode(lsn, block);
	poke(id, off, block, sizeof(block));
}

static void other_uuid(struct sc_redo_header *h)
{
	h->uuid++;
}

static void other_format(struct sc_redo_header *h)
{
	h->format = 5;
}

static void other_start(struct sc_redo_header *h)
{
	h->start_lsn += 512;
}

static void odd_start(struct sc_redo_header *h)
{
	h->start_lsn += 1;
}

static void full(struct sc_redo_header *h)
{
	h->flags = SC_REDO_FILE_FULL;
}

static void not_full(struct sc_redo_header *h)
{
	h->flags = 0;
}

static void no_logging(struct sc_redo_header *h)
{
	h->flags = SC_REDO_NO_LOGGING | SC_REDO_CRASH_UNSAFE;
}

static void by_clone(struct sc_redo_header *h)
{
	snprintf(h->creator, sizeof(h->creator), "MySQL Clone");
}

static void by_meb(struct sc_redo_header *h)
{
	snprintf(h->creator, sizeof(h->creator), "MEB 9.7.4");
}

static void d_uuid(void)
{
	set_header(1, other_uuid);
}
static void d_format(void)
{
	set_header(1, other_format);
}
static void d_start(void)
{
	set_header(1, other_start);
}
static void d_odd(void)
{
	set_header(1, odd_start);
}
static void d_full(void)
{
	set_header(2, full);
}
static void d_not_full(void)
{
	set_header(1, not_full);
}
static void d_no_logging(void)
{
	set_header(2, no_logging);
}
static void d_clone(void)
{
	set_header(2, by_clone);
}
static void d_meb(void)
{
	set_header(0, by_meb);
}
static void d_header(void)
{
	poke(1, 100, "x", 1);
}
static void d_garbage(void)
{
	poke(2, 2048 + 5000, "garbage", 7);
}
static void d_first(void)
{
	poke(0, 2048 + 50, "x", 1);
}
static void d_hole(void)
{
	rename_file(2, 3);
}
static void d_missing_first(void)
{
	remove_file(0);
}
static void d_missing_last(void)
{
	remove_file(2);
}
static void d_short(void)
{
	set_size(2, 32 << 10);
}
static void d_odd_size(void)
{
	set_size(2, FILE_SIZE + 4096);
}
static void d_truncated(void)
{
	set_size(1, 1000);
}
static void d_slot_crc(void)
{
	poke(0, 512 + 20, "x", 1);
}
static void d_slot_later(void)
{
	set_slot(2, 512, END - 50);
}
static void d_slot_stray(void)
{
	set_slot(1, 1536, 12345678901);
}

static void d_no_slot(void)
{
	set_slot(0, SC_REDO_SLOT1, 0);
	set_slot(0, SC_REDO_SLOT2, 0);
}

static void d_first_group(void)
{
	static const struct redo_fixture bytes;
	uint8_t block[512];

	redo_fixture_block(&bytes, 8192, UINT64_MAX, block);
	sc_redo_block_seal(block, 8192, 512, 600);
	poke(0, 2048, block, 512);
}

/* What the donor's recycled files would hold behind E. */
static void d_stale_block(void)
{
	static const struct redo_fixture bytes;
	uint8_t block[512];

	redo_fixture_block(&bytes, LAST_BLOCK, UINT64_MAX, block);
	poke(2, 2048 + LAST_BLOCK - (8192 + 2 * ROOM), block, 512);
}

static void d_zero_last(void)
{
	uint8_t block[512] = { 0 };

	poke(2, 2048 + LAST_BLOCK - (8192 + 2 * ROOM), block, 512);
}

static const struct damage {
	void (*apply)(void);
	const char *text;
} damages[] = {
	{ d_uuid, "#ib_redo1 has uuid" },
	{ d_format, "#ib_redo1 has format 5" },
	{ d_start, "#ib_redo1 starts at LSN 72192, the file before it ends at "
		   "71680" },
	{ d_odd, "#ib_redo1 starts at LSN 71681" },
	{ d_full, "#ib_redo2 has flags 8 instead of 0" },
	{ d_not_full, "#ib_redo1 has flags 0 instead of 8" },
	{ d_no_logging, "#ib_redo2 has flags 3 instead of 0" },
	{ d_clone, "has creator \"MySQL Clone\"" },
	{ d_meb, "has creator \"MEB 9.7.4\"" },
	{ d_header, "#ib_redo1 has a damaged header" },
	{ d_garbage, "the built redo ends at LSN" },
	{ d_first, "the built redo ends at LSN 8192 instead of" },
	{ d_hole, "#ib_redo3 follows #ib_redo1" },
	{ d_missing_first, "no redo file holds the checkpoint" },
	{ d_missing_last, "#ib_redo1 has flags 8 instead of 0" },
	{ d_short, "#ib_redo2 has a size of 32768 bytes" },
	{ d_odd_size, "#ib_redo2 has a size of 69632 bytes" },
	{ d_truncated, "#ib_redo1 has a damaged header" },
	{ d_slot_crc, "#ib_redo0 has a damaged checkpoint slot" },
	{ d_slot_later, "#ib_redo2 has checkpoints" },
	{ d_slot_stray, "#ib_redo1 has checkpoints 0 and 12345678901" },
	{ d_no_slot, "no redo file holds the checkpoint" },
	{ d_first_group, "first record group at 600" },
	{ d_stale_block, "the built redo ends at LSN" },
	{ d_zero_last, "the built redo ends at LSN" },
};

static void sound(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	if (sc_redo_check(redo_fd, CHECKPOINT, END, NULL, &err))
		fail_msg("%s", err.msg);
}

static void every_damage(void **state)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(damages); i++) {
		struct sc_err err = SC_ERR_INIT;

		clear(state);
		assert_int_equal(make(state), 0);
		damages[i].apply();
		assert_int_equal(
			sc_redo_check(redo_fd, CHECKPOINT, END, NULL, &err),
			-1);
		if (!strstr(err.msg, damages[i].text))
			fail_msg("damage %zu: \"%s\" is not in \"%s\"", i,
				 damages[i].text, err.msg);
	}
}

static void wrong_expectations(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	assert_int_equal(
		sc_redo_check(redo_fd, CHECKPOINT, END + 1, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "instead of"));
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(
		sc_redo_check(redo_fd, CHECKPOINT + 1, END, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "has checkpoints"));
}

static void empty_directory(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	for (uint64_t id = 0; id < 3; id++)
		remove_file(id);
	assert_int_equal(sc_redo_check(redo_fd, CHECKPOINT, END, NULL, &err),
			 -1);
	assert_non_null(strstr(err.msg, "there are no redo files"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sound, make, clear),
		cmocka_unit_test_setup_teardown(every_damage, make, clear),
		cmocka_unit_test_setup_teardown(wrong_expectations, make,
						clear),
		cmocka_unit_test_setup_teardown(empty_directory, make, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
