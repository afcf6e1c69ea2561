/* SPDX-License-Identifier: GPL-2.0-only */
/* Changes of a list of files, and the changes between two lists. */
#include "io/filediff.h"

#include "io/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { M = SC_CHUNK_SIZE };

static struct sc_filelist have, now;
static struct sc_file_changes changes;
static struct sc_err err;

static int setup(void **state)
{
	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_filelist_free(&have);
	sc_filelist_free(&now);
	sc_file_changes_free(&changes);
	return 0;
}

static struct sc_file *put(struct sc_filelist *list, const char *path,
			   uint32_t space_id, uint64_t size)
{
	struct sc_page_spec spec = { .space_id = space_id,
				     .physical_size = 16384,
				     .logical_size = 16384 };

	assert_int_equal(
		sc_filelist_add(list, path, SC_FILE_PAGES, size, &spec, &err),
		0);
	return &list->files[list->n - 1];
}

static struct sc_file *put_opaque(struct sc_filelist *list, const char *path,
				  uint64_t inode, int64_t mtime_ns)
{
	assert_int_equal(
		sc_filelist_add(list, path, SC_FILE_OPAQUE, 10, NULL, &err), 0);
	list->files[list->n - 1].id =
		(struct sc_file_id){ .inode = inode, .mtime_ns = mtime_ns };
	return &list->files[list->n - 1];
}

/* ---- changes of a list -----------------------------------------------------
 */

static void apply_changes(void **state)
{
	const struct sc_file *file;

	(void)state;
	put(&have, "ibdata1", 0, 12 * M);
	put(&have, "d/a.ibd", 1, 2 * M);
	put(&have, "d/b.ibd", 2, M + 1);
	put(&have, "d/c.ibd", 3, M);
	sc_filelist_set_stored(&have, 4096);
	assert_int_equal(sc_file_changes_drop(&changes, 3, &err), 0);
	assert_int_equal(sc_file_changes_rename(&changes, 1, "d/b.ibd", &err),
			 0);
	assert_int_equal(sc_file_changes_rename(&changes, 2, "d/a.ibd", &err),
			 0);
	put(&changes.adds, "d/n.ibd", 9, 3 * M);
	sc_filelist_set_stored(&changes.adds, 8192);
	changes.adds.files[0].id.inode = 77;
	changes.adds.files[0].settled_lsn = 5555;
	changes.adds.files[0].sealed_size = 4 * M;
	put(&changes.adds, "d/m.ibd", 10, M);
	assert_true(sc_file_changes_ok(&changes, &have));
	assert_int_equal(sc_file_changes_apply(&changes, &have, &err), 0);

	assert_int_equal(have.n, 6);
	assert_true(have.files[3].gone);
	assert_int_equal(have.files[3].first_chunk, 16);
	assert_string_equal(have.files[1].path, "d/b.ibd");
	assert_int_equal(have.files[1].spec.space_id, 1);
	assert_string_equal(have.files[2].path, "d/a.ibd");
	file = &have.files[4];
	assert_string_equal(file->path, "d/n.ibd");
	assert_int_equal(file->first_chunk, 17);
	assert_int_equal(file->stored, 8192);
	assert_int_equal(file->sealed_size, 4 * M);
	assert_int_equal(file->id.inode, 77);
	assert_int_equal(file->settled_lsn, 5555);
	assert_int_equal(file->spec.space_id, 9);
	assert_false(file->gone);
	assert_int_equal(have.chunks, 21);
	assert_int_equal(have.files[5].first_chunk, 20);
	assert_int_equal(have.bytes, (12 + 2 + 1 + 3 + 1) * M + 1);
	assert_int_equal(have.stored, (12 + 2 + 1 + 1) * M + 1 + 8192);
	assert_ptr_equal(sc_filelist_find_chunk(&have, 16), &have.files[3]);
	assert_ptr_equal(sc_filelist_find_chunk(&have, 17), &have.files[4]);
}

static void expect_refused(void)
{
	assert_false(sc_file_changes_ok(&changes, &have));
	sc_file_changes_free(&changes);
}

/* What a bad donor may send. */
static void bad_changes(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 1, M);
	put(&have, "d/b.ibd", 2, M)->gone = true;
	assert_true(sc_file_changes_ok(&changes, &have));
	sc_file_changes_drop(&changes, 3, &err);
	expect_refused();
	sc_file_changes_drop(&changes, UINT32_MAX, &err);
	expect_refused();
	sc_file_changes_drop(&changes, 2, &err); /* gone */
	expect_refused();
	sc_file_changes_drop(&changes, 1, &err);
	sc_file_changes_drop(&changes, 1, &err);
	expect_refused();
	sc_file_changes_drop(&changes, 1, &err);
	sc_file_changes_rename(&changes, 1, "x.ibd", &err);
	expect_refused();
	sc_file_changes_rename(&changes, 1, "x.ibd", &err);
	sc_file_changes_rename(&changes, 1, "y.ibd", &err);
	expect_refused();
	sc_file_changes_rename(&changes, 3, "y.ibd", &err);
	expect_refused();
	sc_file_changes_rename(&changes, 1, "../y.ibd", &err);
	expect_refused();
	put(&changes.adds, "/etc/passwd", 1, M);
	expect_refused();
}

static void many_changes(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		put(&have, "x", i, 1);
	for (uint32_t i = 0; i < 1000; i += 2) {
		assert_int_equal(sc_file_changes_drop(&changes, i, &err), 0);
		assert_int_equal(
			sc_file_changes_rename(&changes, i + 1, "y", &err), 0);
	}
	assert_true(sc_file_changes_ok(&changes, &have));
	assert_int_equal(sc_file_changes_apply(&changes, &have, &err), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(have.files[i].gone, i % 2 == 0);
		assert_string_equal(have.files[i].path, i % 2 ? "y" : "x");
	}
	assert_int_equal(have.bytes, 500);
}

/* ---- changes between lists -------------------------------------------------
 */

/* Space ids that are stale, 0 at the end; and who asked. */
static const uint32_t *stale_ids;
static unsigned asked;
static bool system_stale;

static bool stale(void *ctx, const struct sc_file *h, const struct sc_file *n)
{
	assert_ptr_equal(ctx, &asked);
	assert_false(h->gone);
	assert_int_equal(h->spec.space_id, n->spec.space_id);
	asked++;
	if (h->spec.space_id == 0)
		return system_stale;
	for (size_t i = 0; stale_ids && stale_ids[i]; i++)
		if (stale_ids[i] == h->spec.space_id)
			return true;
	return false;
}

static void diff(void)
{
	struct sc_filediff in = {
		.have = &have, .now = &now, .stale = stale, .ctx = &asked
	};

	sc_file_changes_free(&changes);
	asked = 0;
	if (sc_filediff(&in, &changes, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(sc_file_changes_ok(&changes, &have));
	stale_ids = NULL;
}

static void expect(size_t drops, size_t renames, size_t adds)
{
	assert_int_equal(changes.n_drops, drops);
	assert_int_equal(changes.n_renames, renames);
	assert_int_equal(changes.adds.n, adds);
}

static bool is_dropped(uint32_t file)
{
	for (size_t i = 0; i < changes.n_drops; i++)
		if (changes.drops[i] == file)
			return true;
	return false;
}

static const struct sc_file *added(const char *path)
{
	for (size_t i = 0; i < changes.adds.n; i++)
		if (!strcmp(changes.adds.files[i].path, path))
			return &changes.adds.files[i];
	fail_msg("%s is not added", path);
	return NULL;
}

static const char *new_name(uint32_t file)
{
	for (size_t i = 0; i < changes.n_renames; i++)
		if (changes.renames[i].file == file)
			return changes.renames[i].path;
	return "";
}

static void nothing_changed(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 1, M);
	put(&have, "d/b.ibd", 2, M);
	put_opaque(&have, "ib_buffer_pool", 5, 6);
	put(&now, "ibdata1", 0, 2 * M)->id.mtime_ns = 40;
	put(&now, "d/b.ibd", 2, 2 * M)->id.mtime_ns = 42;
	put(&now, "d/a.ibd", 1, M)->id.mtime_ns = 41;
	put_opaque(&now, "ib_buffer_pool", 5, 6);
	diff();
	assert_true(sc_file_changes_none(&changes));
	assert_int_equal(asked, 3);
	/* Known by their new ids. */
	assert_int_equal(have.files[0].id.mtime_ns, 40);
	assert_int_equal(have.files[1].id.mtime_ns, 41);
	assert_int_equal(have.files[2].id.mtime_ns, 42);
	assert_int_equal(have.files[1].size, M);
}

static void each_change(void **state)
{
	static const uint32_t stale_3[] = { 3, 0 };

	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/gone.ibd", 1, M);
	put(&have, "d/old.ibd", 2, M);
	put(&have, "d/stale.ibd", 3, M)->id.mtime_ns = 7;
	put(&have, "d/shrunk.ibd", 4, 2 * M);
	put(&have, "d/truncated.ibd", 5, M);
	put(&have, "d/stays.ibd", 6, M);
	put(&now, "ibdata1", 0, M);
	put(&now, "d/stays.ibd", 6, M);
	put(&now, "d/truncated.ibd", 7, M);
	put(&now, "d/shrunk.ibd", 4, M);
	put(&now, "d/stale.ibd", 3, M)->id.mtime_ns = 8;
	put(&now, "d/new name.ibd", 2, M);
	put(&now, "d/created.ibd", 8, 3 * M)->id.inode = 99;
	sc_filelist_set_stored(&now, 4096);
	stale_ids = stale_3;
	diff();
	expect(4, 1, 4);
	assert_true(is_dropped(1) && is_dropped(3) && is_dropped(4) &&
		    is_dropped(5));
	assert_string_equal(new_name(2), "d/new name.ibd");
	assert_int_equal(added("d/truncated.ibd")->spec.space_id, 7);
	assert_int_equal(added("d/shrunk.ibd")->size, M);
	assert_int_equal(added("d/stale.ibd")->id.mtime_ns, 8);
	assert_int_equal(added("d/created.ibd")->id.inode, 99);
	assert_int_equal(added("d/created.ibd")->stored, 4096);
	assert_int_equal(have.files[3].id.mtime_ns, 7);
	assert_int_equal(asked, 4); /* not of the one that shrank */
	/* Then there is nothing more. */
	assert_int_equal(sc_file_changes_apply(&changes, &have, &err), 0);
	diff();
	expect(0, 0, 0);
}

static void names_swap(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 1, M);
	put(&have, "d/b.ibd", 2, M);
	put(&now, "ibdata1", 0, M);
	put(&now, "d/a.ibd", 2, M);
	put(&now, "d/b.ibd", 1, M);
	diff();
	expect(0, 2, 0);
	assert_string_equal(new_name(1), "d/b.ibd");
	assert_string_equal(new_name(2), "d/a.ibd");
}

/* Renamed and stale: copied under the new name. */
static void renamed_and_stale(void **state)
{
	static const uint32_t ids[] = { 1, 0 };

	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 1, M);
	put(&now, "ibdata1", 0, M);
	put(&now, "d/b.ibd", 1, M);
	stale_ids = ids;
	diff();
	expect(1, 0, 1);
	assert_true(is_dropped(1));
	added("d/b.ibd");
}

/* Gone entries are no partners for what comes. */
static void gone_before(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 1, M)->gone = true;
	put(&have, "d/a.ibd", 1, M)->gone = true;
	put(&now, "ibdata1", 0, M);
	diff();
	expect(0, 0, 0);
	put(&now, "d/a.ibd", 1, M);
	diff();
	expect(0, 0, 1);
}

/* Somebody left copies of a tablespace's file in the data directory. */
static void orphan_copies(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 1, M);
	put(&have, "d/copy.ibd", 1, M);
	put(&now, "ibdata1", 0, M);
	put(&now, "d/copy.ibd", 1, M);
	put(&now, "d/a.ibd", 1, M);
	diff();
	expect(0, 0, 0);
	put(&now, "d/third.ibd", 1, M);
	diff();
	expect(0, 0, 1);
	added("d/third.ibd");
	/* One moved: the one that kept its name stays what it is. */
	free(now.files[2].path);
	now.files[2].path = strdup("d/moved.ibd");
	diff();
	expect(0, 1, 1);
	assert_string_equal(new_name(1), "d/moved.ibd");
	sc_filelist_free(&now);
	put(&now, "ibdata1", 0, M);
	put(&now, "d/copy.ibd", 1, M);
	diff();
	expect(1, 0, 0);
	assert_true(is_dropped(1));
}

static void files_without_pages(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put_opaque(&have, "ib_buffer_pool", 5, 6);
	put_opaque(&have, "undo_1_trunc.log", 7, 8);
	put(&now, "ibdata1", 0, M);
	put_opaque(&now, "ib_buffer_pool", 5, 7);
	put_opaque(&now, "undo_2_trunc.log", 7, 8);
	diff();
	expect(2, 0, 2);
	assert_int_equal(added("ib_buffer_pool")->id.mtime_ns, 7);
	added("undo_2_trunc.log");
	assert_int_equal(asked, 1); /* ibdata1 */
}

/* Page 0 is written later: the file is listed without a space id at first. */
static void page_0_comes_later(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&have, "d/a.ibd", 0, M);
	put(&now, "ibdata1", 0, M);
	put(&now, "d/a.ibd", 0, M);
	diff();
	expect(0, 0, 0);
	now.files[1].id.mtime_ns = 1;
	diff();
	expect(1, 0, 1);
	now.files[1].spec.space_id = 4;
	diff();
	expect(1, 0, 1);
	assert_true(is_dropped(1));
	assert_int_equal(added("d/a.ibd")->spec.space_id, 4);
	assert_int_equal(asked, 1); /* ibdata1 */
	/* Under another name meanwhile. */
	now.files[1].spec.space_id = 0;
	free(now.files[1].path);
	now.files[1].path = strdup("d/b.ibd");
	diff();
	expect(1, 0, 1);
}

static void system_tablespace(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, 12 * M);
	put(&have, "ibdata2", 0, 12 * M)->spec.first_page = 768;
	put(&now, "ibdata1", 0, 12 * M)->id.mtime_ns = 1;
	put(&now, "ibdata2", 0, 24 * M)->id.mtime_ns = 2;
	now.files[1].spec.first_page = 768;
	put(&now, "d/a.ibd", 0, 0);
	diff();
	expect(0, 0, 1);
	added("d/a.ibd");
	assert_int_equal(have.files[0].id.mtime_ns, 1);
	assert_int_equal(have.files[1].id.mtime_ns, 2);
}

/* An index was built in it. Once added anew it is not at its place any more. */
static void stale_system_tablespace(void **state)
{
	(void)state;
	put(&have, "ibdata1", 0, 12 * M);
	put(&have, "ibdata2", 0, 12 * M)->spec.first_page = 768;
	put(&have, "d/a.ibd", 1, M);
	put(&now, "ibdata1", 0, 12 * M);
	put(&now, "ibdata2", 0, 24 * M)->spec.first_page = 768;
	put(&now, "d/a.ibd", 1, M);
	system_stale = true;
	diff();
	system_stale = false;
	expect(2, 0, 2);
	assert_true(is_dropped(0) && is_dropped(1));
	assert_int_equal(added("ibdata2")->spec.first_page, 768);
	assert_int_equal(sc_file_changes_apply(&changes, &have, &err), 0);
	for (int i = 0; i < 2; i++) {
		diff();
		expect(0, 0, 0);
		assert_int_equal(asked, 3);
	}
}

/* Lists of this length take a second or so, not hours. */
static void long_lists(void **state)
{
	enum { N = 200000 };
	char path[32];

	(void)state;
	put(&have, "ibdata1", 0, M);
	put(&now, "ibdata1", 0, M);
	for (uint32_t i = 1; i <= N; i++) {
		snprintf(path, sizeof(path), "d/%u.ibd", i);
		put(&have, path, i, M);
		snprintf(path, sizeof(path), "d/%u.ibd",
			 i % 1000 ? N + 1 - i : i);
		put(&now, path, N + 1 - i, M);
	}
	diff();
	assert_int_equal(asked, N + 1);
	assert_int_equal(changes.n_drops + changes.adds.n, 0);
	assert_int_equal(changes.n_renames, N / 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(apply_changes),
		TEST(bad_changes),
		TEST(many_changes),
		TEST(nothing_changed),
		TEST(each_change),
		TEST(names_swap),
		TEST(renamed_and_stale),
		TEST(gone_before),
		TEST(orphan_copies),
		TEST(files_without_pages),
		TEST(page_0_comes_later),
		TEST(system_tablespace),
		TEST(stale_system_tablespace),
		TEST(long_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
