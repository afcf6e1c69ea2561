/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stream 0 from end to end: a donor's sink on one side of a socket, the
 * recipient's loop and a stage on the other. Passes, with redo from a thread of
 * its own beside them, and what is refused.
 *
 * Linked with --wrap: base files come without data streams.
 */
#include "daemon/conn.h"
#include "daemon/recipient.h"
#include "daemon/sinks.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/redo_fixture.h"
#include "tests/unit/stage_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { C = 8192 + 700, E = 8192 + 40000, PAGE = 16384, STREAMS = 2 };

static struct dir_fixture dir;
static struct recipient r;
static struct link links[STREAMS + 1];
static struct sc_conn *donor; /* the other end of stream 0 */
static struct sc_sink *sink;
static struct sc_slots slots; /* the donor's */
static atomic_bool stop;
static struct sc_rate rate; /* without limit */
static struct sc_filelist list;
static struct sc_file_changes changes;
static uint8_t *content[8]; /* by index */
static pthread_t thread;
static struct sc_err err, failure; /* the donor's, the recipient's */
static bool lose_a_stream;
static unsigned fds_before;

/* ---- set-up
 * ------------------------------------------------------------------ */

/* In the recipient's thread: the donor's list changes meanwhile. */
static int put_chunk(unsigned file, uint64_t off)
{
	struct sc_chunk chunk = { .file = file, .off = off };

	chunk.len =
		(uint32_t)SC_MIN(r.list.files[file].size - off, SC_CHUNK_SIZE);
	sc_digest(content[file] + off, chunk.len, chunk.digest);
	return fx_stage_put(r.stage, 1, &chunk, content[file] + off, &failure);
}

static void *lost_main(void *arg)
{
	(void)arg;
	sc_err_set(&r.lost, SC_ER_CLONE_PROTOCOL, "lost the donor: stream 1");
	r.lost_since_ms = sc_now_ms();
	return NULL;
}

/* The base files, as if streams had brought them. */
int __wrap_recipient_start_streams(struct recipient *rec, struct sc_err *e);
int __wrap_recipient_start_streams(struct recipient *rec, struct sc_err *e)
{
	(void)e;
	for (unsigned i = 0; i < rec->list.n; i++) {
		for (uint64_t off = 0; off < rec->list.files[i].size;
		     off += SC_CHUNK_SIZE) {
			if (put_chunk(i, off) < 0)
				return -1;
		}
	}
	if (lose_a_stream) {
		links[1].running = true;
		pthread_create(&links[1].thread, NULL, lost_main, NULL);
	}
	return 0;
}

static void put_file(struct sc_filelist *to, size_t index, const char *path,
		     uint32_t pages)
{
	struct sc_page_spec spec = fx_spec(FX_FLAGS_PLAIN, (uint32_t)index);

	content[index] = fx_pages(&spec, pages, 5000);
	assert_int_equal(sc_filelist_add(to, path, SC_FILE_PAGES, pages * PAGE,
					 &spec, &err),
			 0);
}

static void open_recipient(struct sc_conn *conn)
{
	struct sc_stage_params params = { .parent = dir.fd,
					  .name = "clone",
					  .page_size = PAGE,
					  .streams = STREAMS };

	memset(&r, 0, sizeof(r));
	memset(links, 0, sizeof(links));
	assert_int_equal(mkdirat(dir.fd, "clone", 0750), 0);
	r.target = openat(dir.fd, "clone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r.start.streams = STREAMS;
	r.links = links;
	r.redo_buf = malloc(SC_FRAME_MAX_DATA);
	for (unsigned i = 0; i <= STREAMS; i++)
		links[i] = (struct link){ .r = &r, .stream = i, .fd = -1 };
	links[0].conn = conn;
	pthread_mutex_init(&r.lock, NULL);
	sc_job_init(&r.job, NULL, NULL, (uint8_t[SC_JOB_ID_SIZE]){ 0 }, 1, "");
	params.target = r.target;
	assert_int_equal(sc_stage_open(&params, &r.stage, &err), 0);
}

static void open_sink(bool compress)
{
	static struct sc_conn *conns[STREAMS + 1];
	struct sc_sink_net_params params = { .conns = conns,
					     .streams = STREAMS,
					     .compress = compress,
					     .rate = &rate,
					     .stop = &stop };

	conns[0] = donor;
	sink = sc_sink_net_new(&params);
	assert_non_null(sink);
	assert_int_equal(sc_slots_init(&slots, 1, NULL, &err), 0);
}

static int setup(void **state)
{
	int sv[2];

	(void)state;
	fds_before = fx_count_fds();
	err = failure = (struct sc_err)SC_ERR_INIT;
	lose_a_stream = false;
	sc_rate_init(&rate, 0);
	dir_fixture_open(&dir);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	donor = sc_conn_plain_new(sv[0]);
	open_recipient(sc_conn_plain_new(sv[1]));
	open_sink(false);
	put_file(&list, 0, "ibdata1", 70);
	put_file(&list, 1, "db/a.ibd", 3);
	put_file(&list, 2, "db/b.ibd", 4);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_stage_abort(r.stage);
	sc_stage_free(r.stage);
	links[0].conn->ops->free(links[0].conn);
	donor->ops->free(donor);
	sc_filelist_free(&r.list);
	sc_seal_free(&r.seal);
	sc_job_destroy(&r.job);
	pthread_mutex_destroy(&r.lock);
	free(r.redo_buf);
	close(r.target);
	free(sink);
	sc_rate_destroy(&rate);
	sc_slots_free(&slots);
	sc_filelist_free(&list);
	sc_file_changes_free(&changes);
	for (size_t i = 0; i < SC_ARRAY_SIZE(content); i++) {
		free(content[i]);
		content[i] = NULL;
	}
	dir_fixture_close(&dir);
	return fx_count_fds() == fds_before ? 0 : -1;
}

static void *receive_main(void *arg)
{
	(void)arg;
	return recipient_receive_control(&r, &failure) < 0 ? &failure : NULL;
}

static void ok(int rc)
{
	if (rc < 0)
		fail_msg("%s", err.msg);
}

static void redo_begin(void)
{
	struct sc_redo_begin begin = { C, FX_UUID, "MySQL 9.7.4" };

	ok(sink->ops->redo_begin(sink, &begin, &err));
}

static void start(void)
{
	assert_int_equal(pthread_create(&thread, NULL, receive_main, NULL), 0);
	ok(sink->ops->files(sink, &list, &err));
	redo_begin();
}

static void send_file(uint32_t file)
{
	struct sc_slot *slot = sc_slot_take(&slots);
	const struct sc_file *f = &list.files[file];

	for (uint64_t off = 0; off < f->size; off += SC_CHUNK_SIZE) {
		struct sc_chunk *chunk = &slot->chunk;

		chunk->file = file;
		chunk->off = off;
		chunk->len = (uint32_t)SC_MIN(f->size - off, SC_CHUNK_SIZE);
		memcpy(slot->buf, content[file] + off, chunk->len);
		sc_digest(slot->buf, chunk->len, chunk->digest);
		sc_blockmap_find(&chunk->map, slot->buf, chunk->len, 1);
		ok(sink->ops->chunk(sink, 0, slot, &err));
	}
	sc_slot_give(&slots, slot);
}

static void pass(void)
{
	size_t n = list.n;

	ok(sink->ops->change(sink, &changes, &err));
	ok(sc_file_changes_apply(&changes, &list, &err));
	sc_file_changes_free(&changes);
	ok(sink->ops->stream_open(sink, 0, &slots, &err));
	for (uint32_t i = (uint32_t)n; i < list.n; i++)
		send_file(i);
	ok(sink->ops->chunks_end(sink, 0, &err));
	sink->ops->stream_close(sink, 0);
}

static void send_redo(void)
{
	static const struct redo_fixture log = { .seed = 9 };
	struct sc_err e = SC_ERR_INIT;
	uint8_t block[SC_REDO_BLOCK];

	for (uint64_t lsn = sc_redo_align(C); lsn < E; lsn += SC_REDO_BLOCK) {
		redo_fixture_block(&log, lsn, E, block);
		if (sink->ops->redo(sink, lsn, block, sizeof(block), &e) < 0)
			abort();
		usleep(100);
	}
}

static void *redo_main(void *arg)
{
	(void)arg;
	send_redo();
	return NULL;
}

static void send_seal(void)
{
	uint64_t sizes[SC_ARRAY_SIZE(content)] = { 0 };
	struct sc_seal seal = { .mark = { .end_lsn = E },
				.provider = "live",
				.sizes = sizes,
				.n_sizes = list.n };

	for (size_t i = 0; i < list.n; i++)
		sizes[i] = list.files[i].gone ? 0 : list.files[i].size;
	ok(sink->ops->seal(sink, &seal, &err));
}

/* The recipient has taken all there is. */
static void *joined(void)
{
	void *ret;

	pthread_join(thread, &ret);
	return ret;
}

static void expect_failure(const char *text)
{
	assert_ptr_equal(joined(), &failure);
	if (!strstr(failure.msg, text))
		fail_msg("'%s', expected '%s'", failure.msg, text);
}

static void expect_file(uint32_t file)
{
	uint8_t *got;
	size_t len;

	if (dir_fixture_get(r.target, list.files[file].path, &got, &len) < 0)
		fail_msg("%s is missing", list.files[file].path);
	assert_int_equal(len, list.files[file].size);
	assert_memory_equal(got, content[file], len);
	free(got);
}

static void finish(void)
{
	send_seal();
	if (joined() || sc_stage_seal(r.stage, &r.seal, &failure) < 0)
		fail_msg("%s", failure.msg);
	for (uint32_t i = 0; i < list.n; i++) {
		if (!list.files[i].gone)
			expect_file(i);
	}
}

static void drop(uint32_t file)
{
	ok(sc_file_changes_drop(&changes, file, &err));
}

static void move(uint32_t file, const char *path)
{
	ok(sc_file_changes_rename(&changes, file, path, &err));
}

static void add(const char *path, uint32_t pages)
{
	put_file(&changes.adds, list.n + changes.adds.n, path, pages);
}

/* ---- what works
 * -------------------------------------------------------------- */

static void passes_beside_redo(void **state)
{
	pthread_t redo;

	(void)state;
	start();
	assert_int_equal(pthread_create(&redo, NULL, redo_main, NULL), 0);
	move(1, "db/b.ibd");
	move(2, "db/a.ibd");
	add("db/new.ibd", 700);
	pass();
	drop(3);
	add("db/new.ibd", 200);
	pass();
	move(4, "db/last.ibd");
	pass();
	pass();
	pthread_join(redo, NULL);
	finish();
	assert_int_equal(r.planned, (70 + 3 + 4 + 700 + 200) * PAGE);
	assert_true(sc_stage_bytes(r.stage) == r.planned);
	assert_int_equal(sc_filelist_present(&r.list), 4);
}

static void compressed(void **state)
{
	(void)state;
	free(sink);
	sc_slots_free(&slots);
	open_sink(true);
	start();
	add("db/new.ibd", 130);
	for (int i = 0; i < 65; i++)
		memset(content[3] + i * PAGE + 64, 'x', PAGE - 64);
	pass();
	send_redo();
	finish();
	assert_true(r.network < 100 * PAGE);
}

static void everything_again(void **state)
{
	(void)state;
	start();
	drop(0);
	drop(1);
	drop(2);
	pass();
	redo_begin();
	add("ibdata1", 70);
	add("db/a.ibd", 3);
	pass();
	send_redo();
	finish();
}

/* More records than a batch has. */
static void many_changes(void **state)
{
	char path[SC_PATH_MAX];

	(void)state;
	start();
	for (int i = 0; i < 2000; i++) {
		const struct sc_page_spec spec =
			fx_spec(FX_FLAGS_PLAIN, 100 + (uint32_t)i);

		snprintf(path, sizeof(path), "%0200d/t.ibd", i);
		ok(sc_filelist_add(&changes.adds, path, SC_FILE_PAGES, 0, &spec,
				   &err));
	}
	ok(sink->ops->change(sink, &changes, &err));
	ok(sc_file_changes_apply(&changes, &list, &err));
	sc_file_changes_free(&changes);
	ok(sink->ops->chunks_end(sink, 0, &err));
	drop(1);
	pass();
	ok(sink->ops->seal(sink, &(struct sc_seal){ 0 }, &err));
	if (joined())
		fail_msg("%s", failure.msg);
	assert_int_equal(r.list.n, 2003);
	assert_int_equal(sc_filelist_present(&r.list), 2002);
}

/* ---- what is refused
 * ---------------------------------------------------------- */

/* What a donor sends after the files, and why it is refused. */
static void send_chunk_frame(void)
{
	uint8_t body[SC_CHUNK_BODY_SIZE] = { 0 };

	ok(sc_frame_send(donor, SC_FRAME_CHUNK, 0, body, sizeof(body), NULL, 0,
			 &err));
}

static void send_empty(uint16_t type)
{
	ok(sc_frame_send(donor, type, 0, NULL, 0, NULL, 0, &err));
}

static void begin_pass(void)
{
	add("db/new.ibd", 1);
	ok(sink->ops->change(sink, &changes, &err));
}

static void chunk_outside(void)
{
	send_chunk_frame();
}

static void end_outside(void)
{
	send_empty(SC_FRAME_CHUNKS_END);
}

static void change_inside(void)
{
	begin_pass();
	send_empty(SC_FRAME_CHANGE);
}

static void change_end_inside(void)
{
	begin_pass();
	send_empty(SC_FRAME_CHANGE_END);
}

static void seal_inside(void)
{
	begin_pass();
	send_seal();
}

static void send_drop(uint32_t file)
{
	struct sc_enc enc = { 0 };

	sc_frame_put_drop(&enc, file);
	ok(sc_frame_send_enc(donor, SC_FRAME_CHANGE, &enc, &err));
}

static void seal_before_the_end(void)
{
	send_drop(1);
	send_seal();
}

static void incomplete(void)
{
	struct sc_enc enc = { 0 };

	send_drop(1);
	sc_frame_put_change_end(&enc, &changes);
	ok(sc_frame_send_enc(donor, SC_FRAME_CHANGE_END, &enc, &err));
}

static void malformed(void)
{
	ok(sc_frame_send(donor, SC_FRAME_CHANGE, 0, "\4", 1, NULL, 0, &err));
}

static void no_such_file(void)
{
	drop(77);
	ok(sink->ops->change(sink, &changes, &err));
}

static void opaque_renamed(void)
{
	ok(sc_filelist_add(&changes.adds, "ib_buffer_pool", SC_FILE_OPAQUE, 0,
			   NULL, &err));
	ok(sink->ops->change(sink, &changes, &err));
	ok(sc_file_changes_apply(&changes, &list, &err));
	sc_file_changes_free(&changes);
	ok(sink->ops->chunks_end(sink, 0, &err));
	move((uint32_t)list.n - 1, "99-x.rules");
	ok(sink->ops->change(sink, &changes, &err));
}

static void redo_again(void)
{
	drop(1);
	ok(sink->ops->change(sink, &changes, &err));
	redo_begin();
}

static void damaged(void)
{
	uint8_t body[SC_CHUNK_BODY_SIZE];
	struct sc_chunk chunk = { .file = 3, .len = PAGE };

	begin_pass();
	sc_frame_put_chunk(body, &chunk);
	ok(sc_frame_send(donor, SC_FRAME_CHUNK, 0, body, sizeof(body), NULL, 0,
			 &err));
}

static void hang_up(void)
{
	begin_pass();
	donor->ops->shutdown(donor, false);
}

static void out_of_order(void **state)
{
	static const struct {
		void (*send)(void);
		const char *why;
	} cases[] = {
		{ chunk_outside, "a chunk on stream 0 outside a pass" },
		{ end_outside, "the end of a pass that never began" },
		{ change_inside, "changes in the middle of a copy" },
		{ change_end_inside, "changes in the middle of a copy" },
		{ seal_inside, "sealed in the middle of a pass" },
		{ seal_before_the_end, "sealed in the middle of a pass" },
		{ incomplete, "the changes are not complete" },
		{ malformed, "malformed change record" },
		{ no_such_file, "changes of files that are not there" },
		{ opaque_renamed, "a file without pages is renamed" },
		{ redo_again, "redo began twice" },
		{ damaged, "were damaged on their way" },
		{ hang_up, "lost the donor" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		start();
		cases[i].send();
		expect_failure(cases[i].why);
		assert_int_equal(teardown(NULL), 0);
		assert_int_equal(setup(NULL), 0);
	}
}

static void changes_before_the_list(void **state)
{
	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, receive_main, NULL), 0);
	send_empty(SC_FRAME_CHANGE);
	expect_failure("changes in the middle of a copy");
}

/* The pass must not begin on half of the files. */
static void stream_that_broke(void **state)
{
	(void)state;
	lose_a_stream = true;
	start();
	begin_pass();
	expect_failure("lost the donor: stream 1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(passes_beside_redo), TEST(compressed),
		TEST(everything_again),	  TEST(many_changes),
		TEST(out_of_order),	  TEST(changes_before_the_list),
		TEST(stream_that_broke),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
