/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A whole local clone (scan, copy, stage, seal, commit) on engines with
 * faults: each request of it fails once, ends a file early or reads a wrong
 * bit; parts, interruptions and any order are not noticed. sc_engine_open()
 * is wrapped, so every engine of the clone is one of them.
 */
#include "daemon/sinks.h"
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "io/copy.h"
#include "io/engine_fault.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/redo_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { C = 8192 + 700, E = 8192 + 40000, DEPTH = 3, PAGE = 16384 };

static struct sc_fault_plan plan;
static enum sc_engine_kind kind; /* of the engine below */

struct sc_engine *__real_sc_engine_open(const struct sc_engine_params *params);
struct sc_engine *__wrap_sc_engine_open(const struct sc_engine_params *params);

struct sc_engine *__wrap_sc_engine_open(const struct sc_engine_params *params)
{
	struct sc_engine_params mine = *params;

	mine.kind = kind;
	return sc_engine_fault_new(__real_sc_engine_open(&mine), params->depth,
				   &plan);
}

/* ---- the donor -------------------------------------------------------------
 */

static struct donor_file {
	const char *path;
	size_t len;
	size_t hole, hole_end; /* bytes that are no data */
	uint8_t *bytes;
} files[] = {
	{ .path = "ibdata1", .len = 150 * PAGE },
	{ .path = "db/holes.ibd",
	  .len = 192 * PAGE,
	  .hole = 20 * PAGE,
	  .hole_end = 150 * PAGE },
	{ .path = "db/one.ibd", .len = PAGE },
	{ .path = "db/odd.ibd", .len = 2 * PAGE + 1000 },
	{ .path = "ib_buffer_pool", .len = 5000 },
};

static struct dir_fixture dir;
static int donor;

static bool is_opaque(const struct donor_file *f)
{
	return !strcmp(f->path, "ib_buffer_pool");
}

static void make_file(struct donor_file *f)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);
	char name[64];
	int fd;

	f->bytes = fx_pages(&spec, (uint32_t)(f->len / PAGE) + 1, 5000);
	memset(f->bytes + f->hole, 0, f->hole_end - f->hole);
	snprintf(name, sizeof(name), "donor/%s", f->path);
	dir_fixture_put(dir.fd, name, f->bytes, f->len);
	/* A part of a page is not passed on. */
	if (!is_opaque(f))
		memset(f->bytes + f->len / PAGE * PAGE, 0, f->len % PAGE);
	fd = openat(dir.fd, name, O_WRONLY | O_CLOEXEC);
	if (f->hole_end)
		assert_int_equal(
			fallocate(
				fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)f->hole, (off_t)(f->hole_end - f->hole)),
			0);
	close(fd);
}

static int setup(void **state)
{
	kind = *(enum sc_engine_kind *)*state;
	plan = (struct sc_fault_plan){ .seed = 1 };
	umask(022);
	dir_fixture_open(&dir);
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++)
		make_file(&files[i]);
	donor = openat(dir.fd, "donor", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return donor < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++)
		free(files[i].bytes);
	close(donor);
	dir_fixture_close(&dir);
	return 0;
}

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	int fd = sc_open_beneath(image->root, path,
				 O_RDONLY | (direct ? O_DIRECT : 0), 0);

	return fd == -EINVAL && direct ? open_file(image, path, false) : fd;
}

/* ---- a clone ---------------------------------------------------------------
 */

struct clone {
	struct sc_image image;
	struct sc_filelist list;
	struct sc_staged *stage;
	struct sc_copy copy;
	int target;
	struct sc_err err;
};

static int begin(struct clone *c)
{
	struct sc_stage_params params = { .target = c->target,
					  .parent = dir.fd,
					  .name = "clone",
					  .page_size = PAGE,
					  .streams = 1,
					  .local = true };

	if (sc_filelist_scan(&c->image, "ibdata1:12M:autoextend", PAGE, NULL,
			     &c->list, &c->err) < 0 ||
	    sc_stage_open(&params, &c->stage, &c->err) < 0)
		return -1;
	return sc_stage_files(c->stage, &c->list, &c->err);
}

static int copy_data(struct clone *c)
{
	struct sc_slots slots;
	int rc;

	c->copy.list = &c->list;
	c->copy.image = &c->image;
	c->copy.sink = sc_sink_stage_new(c->stage);
	rc = sc_slots_init(&slots, DEPTH, NULL, &c->err);
	if (rc == 0)
		rc = sc_copy_stream(&c->copy, &slots, 1, &c->err);
	if (slots.n_idle != slots.n)
		fail_msg("%u of %u slots are idle", slots.n_idle, slots.n);
	sc_slots_free(&slots);
	free(c->copy.sink);
	return rc;
}

static int copy_redo(struct clone *c)
{
	static const struct redo_fixture log = { .seed = 9 };
	struct sc_redo_begin begin_at = { C, FX_UUID, "MySQL 9.7.4" };
	uint8_t block[SC_REDO_BLOCK];

	if (sc_stage_redo_begin(c->stage, &begin_at, &c->err) < 0)
		return -1;
	for (uint64_t lsn = sc_redo_align(C); lsn < E; lsn += sizeof(block)) {
		redo_fixture_block(&log, lsn, E, block);
		if (sc_stage_redo(c->stage, lsn, block, sizeof(block),
				  &c->err) < 0)
			return -1;
	}
	return 0;
}

static int finish(struct clone *c)
{
	uint64_t sizes[SC_ARRAY_SIZE(files)];
	struct sc_seal seal = { .mark = { .end_lsn = E },
				.sizes = sizes,
				.n_sizes = c->list.n };

	for (size_t i = 0; i < c->list.n; i++)
		sizes[i] = c->list.files[i].size;
	if (sc_stage_seal(c->stage, &seal, &c->err) < 0)
		return -1;
	return sc_stage_commit(c->stage, &c->err);
}

/* Bytes that are not the donor's, but for those that no checksum of a page
 * covers (26 to 37: docs/limits.md) and those of files without pages. */
static size_t wrong_bytes(const struct clone *c, size_t *ret_unchecked)
{
	size_t wrong = 0, len;
	uint8_t *got;

	*ret_unchecked = 0;
	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++) {
		const struct donor_file *f = &files[i];

		assert_int_equal(
			dir_fixture_get(c->target, f->path, &got, &len), 0);
		assert_int_equal(len, f->len);
		for (size_t k = 0; k < len; k++) {
			size_t at = k % PAGE;
			bool unchecked = is_opaque(f) || (at >= 26 && at < 38);

			if (got[k] == f->bytes[k])
				continue;
			*(unchecked ? ret_unchecked : &wrong) += 1;
		}
		free(got);
	}
	return wrong;
}

static void expect_the_clone(const struct clone *c)
{
	size_t unchecked;

	assert_int_equal(wrong_bytes(c, &unchecked), 0);
	assert_int_equal(unchecked, 0);
}

/* Make a clone, look at it with `look`, and remove it. What it said is in *err
 * when it failed; nothing of it is left then. */
static int clone_once(void (*look)(const struct clone *c), struct sc_err *err)
{
	struct clone c = { .image = { .open_file = open_file,
				      .provider = "test",
				      .root = donor } };
	unsigned fds = fx_count_fds();
	int rc;

	plan.seen = plan.injected = 0;
	plan.hit = false;
	assert_int_equal(mkdirat(dir.fd, "clone", 0750), 0);
	c.target = openat(dir.fd, "clone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = begin(&c) < 0 || copy_data(&c) < 0 || copy_redo(&c) < 0 ||
			     finish(&c) < 0
		     ? -1
		     : 0;
	if (rc == 0)
		look(&c);
	sc_stage_abort(c.stage);
	assert_false(dir_fixture_has(dir.fd, "clone"));
	sc_stage_free(c.stage);
	sc_filelist_free(&c.list);
	close(c.target);
	assert_int_equal(fx_count_fds(), fds);
	*err = c.err;
	return rc;
}

/* ---- tests -----------------------------------------------------------------
 */

static void expect_names_a_file(const struct sc_err *err, const char *text)
{
	bool named = false;

	for (size_t i = 0; i < SC_ARRAY_SIZE(files); i++)
		named |= strstr(err->msg, files[i].path) != NULL;
	if (!named || !strstr(err->msg, text))
		fail_msg("'%s', expected a file and '%s'", err->msg, text);
}

static void no_faults(void **state)
{
	struct sc_err err;

	(void)state;
	if (clone_once(expect_the_clone, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(plan.injected, 0);
	/* 8 chunks, one of them a hole, are read and written; 5 files. */
	assert_true(plan.seen >= 7 + 7 + 5);
}

static void what_kernels_may_do(void **state)
{
	struct sc_err err;

	(void)state;
	plan.partial = 300;
	plan.again = 100;
	plan.reorder = true;
	for (plan.seed = 1; plan.seed <= 8; plan.seed++) {
		if (clone_once(expect_the_clone, &err) < 0)
			fail_msg("seed %u: %s", (unsigned)plan.seed, err.msg);
		assert_true(plan.injected > 0);
	}
}

/* Request after request, until there is none more. */
static unsigned each_fails(unsigned ops, int error, int code)
{
	struct sc_err err;
	unsigned failures = 0;

	plan.kind = SC_FAULT_ERROR;
	plan.error = error;
	plan.ops = ops;
	plan.reorder = true;
	for (plan.at = 1;; plan.at++) {
		int rc;

		plan.seed = plan.at;
		rc = clone_once(expect_the_clone, &err);
		if (!plan.hit) {
			assert_int_equal(rc, 0);
			return failures;
		}
		assert_int_equal(rc, -1);
		expect_names_a_file(&err, strerrordesc_np(error));
		assert_int_equal(err.code, code);
		assert_int_equal(err.sys_errno, error);
		failures++;
	}
}

static void each_request_fails(void **state)
{
	(void)state;
	assert_true(each_fails(0, EIO, SC_ER_INTERNAL_ERROR) >= 19);
}

static void disk_full_at_each_write(void **state)
{
	const unsigned ops = 1 << SC_IO_WRITE | 1 << SC_IO_FSYNC;

	(void)state;
	assert_true(each_fails(ops, ENOSPC, SC_ER_CLONE_DISK_SPACE) >= 12);
}

/* Where the end falls behind the last byte wanted, nothing is missing. */
static void each_file_ends_early(void **state)
{
	struct sc_err err;
	unsigned failures = 0;

	(void)state;
	plan.kind = SC_FAULT_END;
	plan.ops = 1 << SC_IO_READ;
	plan.hit = true;
	for (plan.at = 1; plan.hit; plan.at++) {
		plan.seed = plan.at;
		if (clone_once(expect_the_clone, &err) == 0)
			continue;
		expect_names_a_file(&err, " was truncated while it was copied");
		failures++;
	}
	assert_true(failures >= 5);
}

static unsigned repaired, unseen;

static void expect_no_wrong_page(const struct clone *c)
{
	size_t unchecked;

	assert_int_equal(wrong_bytes(c, &unchecked), 0);
	assert_true(unchecked <= 1);
	repaired += c->copy.pages_reread;
	unseen += (unsigned)unchecked;
}

/* A wrong bit in a page is seen, and the page read again. */
static void each_read_has_a_wrong_bit(void **state)
{
	struct sc_err err;

	(void)state;
	plan.kind = SC_FAULT_FLIP;
	plan.ops = 1 << SC_IO_READ;
	plan.hit = true;
	repaired = unseen = 0;
	for (plan.at = 1; plan.hit; plan.at++) {
		plan.seed = plan.at + 1000;
		if (clone_once(expect_no_wrong_page, &err) < 0)
			fail_msg("read %u: %s", (unsigned)plan.at, err.msg);
	}
	assert_true(repaired >= 5);
	assert_true(unseen <= 2);
}

/* ---- on both engines -------------------------------------------------------
 */

static enum sc_engine_kind on_auto = SC_ENGINE_AUTO, on_sync = SC_ENGINE_SYNC;

#define TEST(f)                                                                \
	{ #f "_auto", f, setup, teardown, &on_auto },                          \
	{                                                                      \
#f "_sync", f, setup, teardown, &on_sync                       \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_faults),
		TEST(what_kernels_may_do),
		TEST(each_request_fails),
		TEST(disk_full_at_each_write),
		TEST(each_file_ends_early),
		TEST(each_read_has_a_wrong_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
