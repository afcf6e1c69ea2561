/* SPDX-License-Identifier: GPL-2.0-only */
/* The stage: a whole clone into a directory, everything that must be refused
 * on the way, and that nothing stays of what failed. */
#include "io/base/num.h"
#include "io/redo/check.h"
#include "io/stage.h"
#include "tests/unit/redo_fixture.h"
#include "tests/unit/stage_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { STREAMS = 4, C = FX_STAGE_C, E = FX_STAGE_E, NOBODY = 65534 };

static struct dir_fixture dir; /* the parent */
static int target;
static struct sc_filelist list;
static uint8_t *content[8];
static uint64_t sizes[8]; /* at the seal */
static struct sc_staged *stage;
static struct sc_err err;
static unsigned fds_before;

/* ---- set-up ----------------------------------------------------------------
 */

static void add_file(const char *path, enum sc_file_kind kind,
		     const struct sc_page_spec *spec, uint8_t *bytes,
		     size_t len)
{
	content[list.n] = bytes;
	sizes[list.n] = len;
	assert_int_equal(sc_filelist_add(&list, path, kind, len, spec, &err),
			 0);
}

/* 3 + 1 + 0 + 3 + 1 chunks; the middle one of db/holes.ibd is zero. */
static void add_files(void)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);
	uint8_t *bytes;

	add_file("ibdata1", SC_FILE_PAGES, &spec, fx_pages(&spec, 150, 5000),
		 150 * 16384);
	add_file("db/a/b/one.ibd", SC_FILE_PAGES, &spec,
		 fx_pages(&spec, 1, 5000), 16384);
	add_file("db/empty.ibd", SC_FILE_PAGES, &spec, malloc(1), 0);
	bytes = fx_pages(&spec, 192, 5000);
	memset(bytes + SC_CHUNK_SIZE, 0, SC_CHUNK_SIZE);
	add_file("db/holes.ibd", SC_FILE_PAGES, &spec, bytes,
		 3 * SC_CHUNK_SIZE);
	sc_filelist_set_stored(&list, 2 * SC_CHUNK_SIZE);
	bytes = malloc(100);
	memset(bytes, 0xfe, 100); /* no LSN, whatever it looks like */
	add_file("ib_buffer_pool", SC_FILE_OPAQUE, NULL, bytes, 100);
}

static int open_stage(void)
{
	struct sc_stage_params params = { .target = target,
					  .parent = dir.fd,
					  .name = "clone",
					  .page_size = 16384,
					  .streams = STREAMS };

	return sc_stage_open(&params, &stage, &err);
}

static int setup(void **state)
{
	(void)state;
	fds_before = fx_count_fds();
	err = (struct sc_err)SC_ERR_INIT;
	stage = NULL;
	target = fx_stage_target(&dir);
	dir_fixture_put(dir.fd, "neighbour/file", "x", 1);
	add_files();
	return target < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_stage_free(stage);
	for (size_t i = 0; i < list.n; i++)
		free(content[i]);
	sc_filelist_free(&list);
	close(target);
	dir_fixture_close(&dir);
	return fx_count_fds() == fds_before ? 0 : -1;
}

/* Thread-safe: without assertions. */
static int send_chunk(unsigned stream, uint32_t file, uint64_t number,
		      struct sc_err *e)
{
	struct sc_chunk chunk = fx_chunk(&list, content, file, number);

	return fx_stage_put(stage, stream, &chunk, content[file] + chunk.off,
			    e);
}

/* All chunks but number `skip` of the list, from streams in turn. */
static void send_chunks(uint64_t skip)
{
	for (uint64_t i = 0; i < list.chunks; i++) {
		struct sc_file *f = sc_filelist_find_chunk(&list, i);

		if (i == skip)
			continue;
		if (send_chunk(1 + (unsigned)i % STREAMS,
			       (uint32_t)(f - list.files), i - f->first_chunk,
			       &err) < 0)
			fail_msg("chunk %u: %s", (unsigned)i, err.msg);
	}
}

static void send_redo(uint64_t end)
{
	fx_stage_redo_begin(stage, &err);
	fx_stage_redo(stage, 9, end, end, &err);
}

static struct sc_seal make_seal(void)
{
	return (struct sc_seal){
		.mark = { .end_lsn = E,
			  .seal_begin_us = 1234567,
			  .binlog_position = 157,
			  .binlog_file = "binlog.000002",
			  .gtid_flushed = (char *)(uintptr_t) "a:1-5",
			  .gtid_executed = (char *)(uintptr_t) "a:1-6,\nb:1" },
		.donor_uuid = "01234567-0123-0123-0123-0123456789ab",
		.sizes = sizes,
		.n_sizes = list.n
	};
}

static int seal(void)
{
	struct sc_seal s = make_seal();

	return sc_stage_seal(stage, &s, &err);
}

static void start(void)
{
	if (open_stage() < 0 || sc_stage_files(stage, &list, &err) < 0)
		fail_msg("%s", err.msg);
}

static void deliver(void)
{
	start();
	send_chunks(UINT64_MAX);
	send_redo(E);
}

static void expect_nothing_left(void)
{
	sc_stage_abort(stage);
	assert_false(dir_fixture_has(dir.fd, "clone"));
	assert_true(dir_fixture_has(dir.fd, "neighbour/file"));
}

/* ---- a clone that works ----------------------------------------------------
 */

static void expect_file(size_t i)
{
	const struct sc_file *file = &list.files[i];
	uint8_t *got;
	size_t len;

	assert_int_equal(dir_fixture_get(target, file->path, &got, &len), 0);
	assert_int_equal(len, sizes[i]);
	assert_memory_equal(got, content[i], file->size);
	assert_true(sc_is_zero(got + file->size, len - file->size));
	free(got);
}

static void expect_text(const char *path, const char *text)
{
	uint8_t *got;
	size_t len;

	assert_int_equal(dir_fixture_get(target, path, &got, &len), 0);
	assert_string_equal((char *)got, text);
	free(got);
}

static void whole_clone(void **state)
{
	int redo;

	(void)state;
	deliver();
	sizes[0] += 5 * 16384; /* extended while it was copied */
	sizes[2] += 114688;
	assert_true(sc_stage_bytes(stage) == list.bytes);
	assert_true(sc_stage_redo_bytes(stage) ==
		    sc_align_up(E, 512) - sc_redo_align(C));
	assert_true(dir_fixture_has(target, "#clone/#status_in_progress"));
	if (seal() < 0)
		fail_msg("%s", err.msg);
	assert_true(dir_fixture_has(target, "#clone/#status_in_progress"));
	assert_int_equal(sc_stage_commit(stage, &err), 0);
	assert_false(dir_fixture_has(target, "#clone/#status_in_progress"));
	for (size_t i = 0; i < list.n; i++)
		expect_file(i);
	redo = openat(target, "#innodb_redo", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sc_redo_check(redo, C, E, NULL, &err), 0);
	close(redo);
	assert_true(dir_fixture_has(target, "#innodb_temp"));
}

static void what_start_up_finds(void **state)
{
	(void)state;
	deliver();
	assert_int_equal(seal(), 0);
	expect_text("#clone/#replace_files", "");
	expect_text("#clone/#status_fix", "");
	expect_text("#clone/#snapclone_end",
		    "format=1\n"
		    "checkpoint_lsn=8892\n"
		    "end_lsn=48192\n"
		    "seal_begin_us=1234567\n"
		    "donor_uuid=01234567-0123-0123-0123-0123456789ab\n"
		    "binlog_file=binlog.000002\n"
		    "binlog_position=157\n"
		    "gtid_flushed=a:1-5\n"
		    "gtid_executed=a:1-6,b:1\n");
}

/* A donor cannot bring in lines of its own. */
static void lines_stay_lines(void **state)
{
	struct sc_seal s = make_seal();
	uint8_t *got;
	size_t len;

	(void)state;
	deliver();
	strcpy(s.mark.binlog_file, "b\nend_lsn=1");
	strcpy(s.donor_uuid, "u\nend_lsn=2");
	assert_int_equal(sc_stage_seal(stage, &s, &err), 0);
	dir_fixture_get(target, "#clone/#snapclone_end", &got, &len);
	assert_non_null(strstr((char *)got, "\nend_lsn=48192\n"));
	assert_null(strstr((char *)got, "\nend_lsn=1\n"));
	assert_null(strstr((char *)got, "\nend_lsn=2\n"));
	free(got);
}

static void without_binary_log(void **state)
{
	struct sc_seal s = make_seal();
	uint8_t *got;
	size_t len;

	(void)state;
	deliver();
	s.mark.binlog_file[0] = '\0';
	s.mark.binlog_position = 0;
	s.mark.gtid_executed = s.mark.gtid_flushed = NULL;
	assert_int_equal(sc_stage_seal(stage, &s, &err), 0);
	dir_fixture_get(target, "#clone/#snapclone_end", &got, &len);
	assert_non_null(strstr((char *)got, "binlog_file=\n"));
	assert_non_null(strstr((char *)got, "gtid_executed=\n"));
	free(got);
}

static void zeroes_stay_holes(void **state)
{
	struct stat st;
	uint32_t want = 0;

	(void)state;
	deliver();
	assert_int_equal(seal(), 0);
	assert_int_equal(fstatat(target, "db/holes.ibd", &st, 0), 0);
	assert_int_equal(st.st_size, 3 << 20);
	for (uint32_t at = 0; at < st.st_size; at += SC_BLOCK_SIZE)
		want += sc_is_zero(content[3] + at, SC_BLOCK_SIZE)
				? 0
				: SC_BLOCK_SIZE;
	assert_int_equal(st.st_blocks * 512, want);
	/* A dense file is, zero pages or not. */
	assert_int_equal(fstatat(target, "ibdata1", &st, 0), 0);
	assert_int_equal(st.st_blocks * 512, st.st_size);
}

static const struct {
	const char *path;
	mode_t mode;
} modes[] = {
	{ "ibdata1", 0640 },
	{ "db/a/b/one.ibd", 0640 },
	{ "db", 0750 },
	{ "db/a", 0750 },
	{ "db/a/b", 0750 },
	{ "#clone", 0750 },
	{ "#clone/#snapclone_end", 0640 },
	{ "#clone/#status_fix", 0640 },
	{ "#innodb_redo", 0750 },
	{ "#innodb_redo/#ib_redo0", 0640 },
	{ "#innodb_temp", 0750 },
};

static void modes_and_owners(void **state)
{
	struct stat st, want;

	(void)state;
	if (geteuid() == 0)
		assert_int_equal(fchown(target, NOBODY, NOBODY), 0);
	deliver();
	assert_int_equal(seal(), 0);
	assert_int_equal(fstat(target, &want), 0);
	for (size_t i = 0; i < SC_ARRAY_SIZE(modes); i++) {
		assert_int_equal(fstatat(target, modes[i].path, &st, 0), 0);
		if ((st.st_mode & 07777) != modes[i].mode ||
		    st.st_uid != want.st_uid || st.st_gid != want.st_gid)
			fail_msg("%s: mode %o, owner %u:%u", modes[i].path,
				 st.st_mode & 07777, st.st_uid, st.st_gid);
	}
}

struct sender {
	pthread_t thread;
	unsigned stream;
	struct sc_err err;
};

static void *sender_main(void *arg)
{
	struct sender *s = arg;

	for (uint64_t i = s->stream - 1; i < list.chunks; i += STREAMS) {
		struct sc_file *f = sc_filelist_find_chunk(&list, i);

		if (send_chunk(s->stream, (uint32_t)(f - list.files),
			       i - f->first_chunk, &s->err) < 0)
			break;
	}
	return NULL;
}

static void streams_side_by_side(void **state)
{
	struct sender senders[STREAMS] = { 0 };

	(void)state;
	start();
	for (unsigned i = 0; i < STREAMS; i++) {
		senders[i].stream = i + 1;
		assert_int_equal(pthread_create(&senders[i].thread, NULL,
						sender_main, &senders[i]),
				 0);
	}
	send_redo(E);
	for (unsigned i = 0; i < STREAMS; i++) {
		pthread_join(senders[i].thread, NULL);
		if (sc_err_is_set(&senders[i].err))
			fail_msg("%s", senders[i].err.msg);
	}
	assert_int_equal(seal(), 0);
	for (size_t i = 0; i < list.n; i++)
		expect_file(i);
}

/* ---- what is refused -------------------------------------------------------
 */

static void target_that_is_not_empty(void **state)
{
	(void)state;
	dir_fixture_put(target, "precious/file", "x", 1);
	assert_int_equal(open_stage(), -1);
	assert_non_null(strstr(err.msg, "not empty"));
	assert_null(stage);
	assert_true(dir_fixture_has(target, "precious/file"));
	assert_false(dir_fixture_has(target, "#clone"));
}

static void target_of_another_clone(void **state)
{
	struct sc_staged *first;

	(void)state;
	start();
	first = stage;
	assert_int_equal(open_stage(), -1);
	assert_true(dir_fixture_has(target, "ibdata1"));
	assert_true(dir_fixture_has(target, "#clone/#status_in_progress"));
	stage = first;
}

static void target_that_is_no_directory(void **state)
{
	int saved = target;

	(void)state;
	target = -1;
	assert_int_equal(open_stage(), -1);
	assert_int_equal(err.sys_errno, EBADF);
	target = saved;
}

static void disk_too_small(void **state)
{
	(void)state;
	add_file("db/huge.ibd", SC_FILE_OPAQUE, NULL, malloc(1),
		 (size_t)1 << 60);
	assert_int_equal(open_stage(), 0);
	fx_expect_error(sc_stage_files(stage, &list, &err), &err,
			SC_ER_CLONE_DISK_SPACE,
			"the clone needs 1099511627844 MiB");
	assert_false(dir_fixture_has(target, "ibdata1"));
	expect_nothing_left();
}

static void files_in_each_others_way(void **state)
{
	static const char *const paths[] = { "ibdata1", "ibdata1/t.ibd", "db/a",
					     "#clone/#status_in_progress" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(paths); i++) {
		add_file(paths[i], SC_FILE_OPAQUE, NULL, malloc(1), 0);
		assert_int_equal(open_stage(), 0);
		fx_expect_error(sc_stage_files(stage, &list, &err), &err,
				SC_ER_INTERNAL_ERROR, paths[i]);
		expect_nothing_left();
		fx_again(setup, teardown);
	}
}

static void missing_chunk(void **state)
{
	static const char *const want[] = {
		"chunk 0 of ibdata1",	   "chunk 1 of ibdata1",
		"chunk 2 of ibdata1",	   "chunk 0 of db/a/b/one.ibd",
		"chunk 0 of db/holes.ibd", "chunk 1 of db/holes.ibd",
		"chunk 2 of db/holes.ibd", "chunk 0 of ib_buffer_pool"
	};

	(void)state;
	assert_int_equal(list.chunks, SC_ARRAY_SIZE(want));
	for (uint64_t i = 0; i < list.chunks; i++) {
		start();
		send_chunks(i);
		send_redo(E);
		fx_expect_error(seal(), &err, SC_ER_CLONE_PROTOCOL, want[i]);
		fx_again(setup, teardown);
	}
}

static void chunk_twice(void **state)
{
	(void)state;
	start();
	send_chunks(UINT64_MAX);
	for (uint32_t file = 0; file < 4; file += 3) /* zeroes too */
		for (unsigned stream = 1; stream <= 2; stream++) {
			fx_expect_error(send_chunk(stream, file, 1, &err), &err,
					SC_ER_CLONE_PROTOCOL,
					"chunk sent twice");
			err = (struct sc_err)SC_ERR_INIT;
		}
	expect_nothing_left();
}

static const struct range_case {
	uint32_t file;
	uint64_t off;
	uint32_t len;
	const char *text;
} range_cases[] = {
	{ 5, 0, 1, "chunk of an unknown file" },
	{ UINT32_MAX, 0, 1, "chunk of an unknown file" },
	{ 1, SC_CHUNK_SIZE, 16384, "chunk beyond the end of its file" },
	{ 1, 1ull << 62, 1, "chunk beyond the end of its file" },
	{ 1, UINT64_MAX - SC_CHUNK_SIZE + 1, 1,
	  "chunk beyond the end of its file" },
	{ 2, 0, 1, "chunk beyond the end of its file" }, /* an empty file */
	{ 0, 0, SC_CHUNK_SIZE - 1, "chunk of a wrong length" },
	{ 0, 0, 0, "chunk of a wrong length" },
	{ 0, 2 * SC_CHUNK_SIZE, SC_CHUNK_SIZE, "chunk of a wrong length" },
	{ 1, 0, 16385, "chunk of a wrong length" },
	{ 1, 0, 16383, "chunk of a wrong length" },
	{ 0, 16384, SC_CHUNK_SIZE, "chunk at a wrong offset" },
	{ 1, 8192, 8192, "chunk at a wrong offset" },
};

static void wrong_ranges(void **state)
{
	static uint8_t data[SC_CHUNK_SIZE];

	(void)state;
	start();
	for (size_t i = 0; i < SC_ARRAY_SIZE(range_cases); i++) {
		const struct range_case *c = &range_cases[i];
		struct sc_chunk chunk = { .file = c->file,
					  .len = c->len,
					  .off = c->off };

		for (uint8_t byte = 0; byte < 2; byte++) {
			data[0] = byte;
			sc_digest(data, SC_MIN(c->len, sizeof(data)),
				  chunk.digest);
			fx_expect_error(
				fx_stage_put(stage, 1, &chunk, data, &err),
				&err, SC_ER_CLONE_PROTOCOL, c->text);
			err = (struct sc_err)SC_ERR_INIT;
		}
	}
	expect_nothing_left();
}

static void wrong_streams(void **state)
{
	static const unsigned streams[] = { STREAMS + 1, UINT32_MAX };

	(void)state;
	start();
	for (size_t i = 0; i < SC_ARRAY_SIZE(streams); i++) {
		fx_expect_error(send_chunk(streams[i], 1, 0, &err), &err,
				SC_ER_CLONE_PROTOCOL, "unknown stream");
		err = (struct sc_err)SC_ERR_INIT;
	}
}

static void damaged_on_the_way(void **state)
{
	struct sc_chunk chunk;

	(void)state;
	start();
	chunk = fx_chunk(&list, content, 0, 2);
	content[0][chunk.off + chunk.len - 1] ^= 1;
	fx_expect_error(
		fx_stage_put(stage, 1, &chunk, content[0] + chunk.off, &err),
		&err, SC_ER_CLONE_PROTOCOL,
		"ibdata1: bytes 2097152 to 2457600 were damaged on their way");
	expect_nothing_left();
}

static void out_of_order(void **state)
{
	struct sc_redo_begin begin = { C, FX_UUID, "MySQL 9.7.4" };

	(void)state;
	assert_int_equal(open_stage(), 0);
	fx_expect_error(seal(), &err, SC_ER_CLONE_PROTOCOL, "sealed before");
	err = (struct sc_err)SC_ERR_INIT;
	fx_expect_error(send_chunk(1, 0, 0, &err), &err, SC_ER_CLONE_PROTOCOL,
			"unknown file");
	err = (struct sc_err)SC_ERR_INIT;
	fx_expect_error(sc_stage_redo(stage, 8192, content[0], 512, &err), &err,
			SC_ER_CLONE_PROTOCOL, "redo before its beginning");
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_stage_redo_begin(stage, &begin, &err), 0);
	fx_expect_error(sc_stage_redo_begin(stage, &begin, &err), &err,
			SC_ER_CLONE_PROTOCOL, "redo began twice");
	expect_nothing_left();
}

/* A page newer than E, in a chunk of each stream. */
static void page_above_the_end(void **state)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, 3);

	(void)state;
	for (uint64_t lsn = E; lsn <= E + 1; lsn++) {
		fx_page(&spec, 70, lsn, content[3] + 140 * 16384);
		deliver();
		if (lsn == E)
			assert_int_equal(seal(), 0);
		else
			fx_expect_error(
				seal(), &err, SC_ER_INTERNAL_ERROR,
				"page 140 of db/holes.ibd has LSN 48193, above "
				"the end of the clone, 48192; HINT: a file that "
				"waits for IMPORT TABLESPACE");
		expect_nothing_left();
		fx_again(setup, teardown);
	}
}

static void file_that_shrank(void **state)
{
	(void)state;
	deliver();
	sizes[3] -= 16384;
	fx_expect_error(seal(), &err, SC_ER_INTERNAL_ERROR,
			"db/holes.ibd shrank from 3145728 to 3129344 bytes");
	expect_nothing_left();
}

static void absurd_size(void **state)
{
	(void)state;
	deliver();
	sizes[3] = UINT64_MAX; /* no file system has that */
	fx_expect_error(seal(), &err, SC_ER_INTERNAL_ERROR,
			"cannot set the size of db/holes.ibd");
	expect_nothing_left();
}

static void wrong_number_of_sizes(void **state)
{
	struct sc_seal s = make_seal();

	(void)state;
	deliver();
	s.n_sizes--;
	fx_expect_error(sc_stage_seal(stage, &s, &err), &err,
			SC_ER_CLONE_PROTOCOL, "sealed before it was complete");
}

static void redo_that_ends_early(void **state)
{
	(void)state;
	start();
	send_chunks(UINT64_MAX);
	send_redo(E - 1);
	fx_expect_error(seal(), &err, SC_ER_CLONE_PROTOCOL,
			"redo ends at LSN 48191, needed is 48192");
	expect_nothing_left();
}

static void no_redo(void **state)
{
	(void)state;
	start();
	send_chunks(UINT64_MAX);
	fx_expect_error(seal(), &err, SC_ER_CLONE_PROTOCOL,
			"sealed before it was complete");
}

static void redo_of_a_strange_log(void **state)
{
	struct sc_redo_begin bad[] = { { C, FX_UUID, "" },
				       { 0, FX_UUID, "MySQL 9.7.4" },
				       { C, FX_UUID,
					 "a creator of thirty-two bytes..." } };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++) {
		start();
		fx_expect_error(sc_stage_redo_begin(stage, &bad[i], &err), &err,
				SC_ER_INTERNAL_ERROR, "cannot build redo");
		expect_nothing_left();
		fx_again(setup, teardown);
	}
}

/* ---- what stays ------------------------------------------------------------
 */

static void abort_at_any_moment(void **state)
{
	(void)state;
	for (int step = 0; step < 6; step++) {
		assert_int_equal(open_stage(), 0);
		if (step > 0)
			assert_int_equal(sc_stage_files(stage, &list, &err), 0);
		if (step > 1)
			send_chunks(3);
		if (step > 2)
			send_redo(E);
		if (step > 3)
			send_chunk(1, 1, 0, &err);
		if (step > 4)
			assert_int_equal(seal(), 0);
		expect_nothing_left();
		fx_again(setup, teardown);
	}
}

/* Who owns the parent may put another directory there. */
static void abort_removes_only_its_own(void **state)
{
	(void)state;
	start();
	assert_int_equal(renameat(dir.fd, "clone", dir.fd, "away"), 0);
	assert_int_equal(mkdirat(dir.fd, "clone", 0750), 0);
	sc_stage_abort(stage);
	assert_true(dir_fixture_has(dir.fd, "clone"));
	assert_true(dir_fixture_has(dir.fd, "away"));
	assert_false(dir_fixture_has(dir.fd, "away/#clone"));
}

static void commit_without_its_mark(void **state)
{
	(void)state;
	deliver();
	assert_int_equal(seal(), 0);
	unlinkat(target, "#clone/#status_in_progress", 0);
	fx_expect_error(sc_stage_commit(stage, &err), &err,
			SC_ER_INTERNAL_ERROR,
			"directory of the clone: #status_in_progress");
}

static void free_is_quiet(void **state)
{
	(void)state;
	sc_stage_free(NULL);
	start();
	sc_stage_free(stage); /* the files stay for whoever looks */
	stage = NULL;
	assert_true(dir_fixture_has(target, "#clone/#status_in_progress"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whole_clone),
		TEST(what_start_up_finds),
		TEST(lines_stay_lines),
		TEST(without_binary_log),
		TEST(zeroes_stay_holes),
		TEST(modes_and_owners),
		TEST(streams_side_by_side),
		TEST(target_that_is_not_empty),
		TEST(target_of_another_clone),
		TEST(target_that_is_no_directory),
		TEST(disk_too_small),
		TEST(files_in_each_others_way),
		TEST(missing_chunk),
		TEST(chunk_twice),
		TEST(wrong_ranges),
		TEST(wrong_streams),
		TEST(damaged_on_the_way),
		TEST(out_of_order),
		TEST(page_above_the_end),
		TEST(file_that_shrank),
		TEST(absurd_size),
		TEST(wrong_number_of_sizes),
		TEST(redo_that_ends_early),
		TEST(no_redo),
		TEST(redo_of_a_strange_log),
		TEST(abort_at_any_moment),
		TEST(abort_removes_only_its_own),
		TEST(commit_without_its_mark),
		TEST(free_is_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
