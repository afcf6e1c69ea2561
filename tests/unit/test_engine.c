/* SPDX-License-Identifier: GPL-2.0-only */
/* The promises of engine.h, kept by every engine alike: each test runs on
 * each of them, those with faults below too. */
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/engine_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEPTH = 8, LANE = (int)(FX_ARENA / DEPTH), BLOCK = 4096 };

static struct dir_fixture dir;
static struct sc_engine *engine;
static struct sc_fault_plan plan;
static unsigned fds_before;

static int setup(void **state)
{
	const struct engine_fixture *fx = *state;

	fds_before = fx_count_fds();
	dir_fixture_open(&dir);
	engine = fx_engine_open(fx, DEPTH, &plan);
	return 0;
}

static int teardown(void **state)
{
	const struct engine_fixture *fx = *state;
	bool quiet = fx->fault && engine && !plan.injected;

	if (engine)
		engine->ops->destroy(engine);
	dir_fixture_close(&dir);
	if (quiet)
		print_message("the fault engine did nothing\n");
	return fx_count_fds() == fds_before && !quiet ? 0 : -1;
}

/* A part of the arena per request of DEPTH. */
static uint8_t *lane(unsigned i)
{
	return fx_arena() + (size_t)i * LANE;
}

static int open_in(const char *name, int flags)
{
	int fd = openat(dir.fd, name, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		fail_msg("%s: %s", name, strerrordesc_np(errno));
	return fd;
}

/* -1: not on this file system. */
static int open_direct(const char *name, int flags)
{
	int fd = openat(dir.fd, name, flags | O_DIRECT | O_CLOEXEC, 0644);

	if (fd < 0 && errno != EINVAL)
		fail_msg("%s: %s", name, strerrordesc_np(errno));
	return fd;
}

static void fill(uint8_t *buf, size_t len, uint64_t *seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)fx_random(seed);
}

static int64_t run(enum sc_io_op op, int fd, void *buf, uint32_t len,
		   uint64_t off)
{
	return fx_run(engine, op, fd, buf, len, off);
}

/* ---- random requests against a model in memory -----------------------------
 */

/* DEPTH zones, one request in each at a time. */
enum { ZONE = 300000 / BLOCK * BLOCK, MODEL = DEPTH * ZONE };

struct model {
	int fd;
	uint8_t *bytes;
	uint32_t unit; /* of offsets and lengths */
	uint64_t seed;
	struct sc_io ios[DEPTH];
};

static void model_submit(struct model *m, unsigned zone)
{
	struct sc_io *io = &m->ios[zone];
	uint32_t units = ZONE / m->unit, at = fx_random(&m->seed) % units;
	uint32_t room = SC_MIN(units - at, LANE / m->unit);
	uint32_t len = (1 + fx_random(&m->seed) % room) * m->unit;
	uint32_t off = zone * ZONE + at * m->unit;

	*io = (struct sc_io){ .op = fx_random(&m->seed) % 2 ? SC_IO_WRITE
							    : SC_IO_READ,
			      .fd = m->fd,
			      .buf = lane(zone),
			      .len = len,
			      .off = off };
	if (io->op == SC_IO_WRITE) {
		fill(io->buf, SC_MIN(len, 64u), &m->seed);
		memcpy(m->bytes + off, io->buf, len);
	}
	engine->ops->submit(engine, io);
	if (fx_random(&m->seed) % 3 == 0)
		engine->ops->flush(engine);
}

static void model_check(const struct model *m, const struct sc_io *io)
{
	if (io->res != io->len)
		fail_msg("%s of %u at %u: %lld",
			 io->op == SC_IO_READ ? "read" : "write", io->len,
			 (unsigned)io->off, (long long)io->res);
	assert_memory_equal(io->buf, m->bytes + io->off, io->len);
}

static void run_model(int fd, uint32_t unit)
{
	struct model m = {
		.fd = fd, .bytes = calloc(1, MODEL), .unit = unit, .seed = unit
	};
	uint8_t *file;
	size_t len;

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, MODEL), 0);
	engine->ops->attach(engine, fd);
	for (unsigned i = 0; i < DEPTH; i++)
		model_submit(&m, i);
	for (unsigned i = 0; i < 400; i++) {
		struct sc_io *io = engine->ops->wait(engine);

		model_check(&m, io);
		model_submit(&m, (unsigned)(io - m.ios));
	}
	for (unsigned i = 0; i < DEPTH; i++)
		model_check(&m, engine->ops->wait(engine));
	assert_null(engine->ops->wait(engine));
	assert_int_equal(run(SC_IO_FSYNC, fd, NULL, 0, 0), 0);
	engine->ops->detach(engine, fd);
	assert_int_equal(dir_fixture_get(dir.fd, "f", &file, &len), 0);
	assert_int_equal(len, MODEL);
	assert_memory_equal(file, m.bytes, MODEL);
	free(file);
	free(m.bytes);
}

static void random_requests(void **state)
{
	int fd = open_in("f", O_RDWR | O_CREAT);

	(void)state;
	run_model(fd, 1);
	run_model(fd, 512);
	close(fd);
}

static void random_direct_requests(void **state)
{
	int fd = open_direct("f", O_RDWR | O_CREAT);

	(void)state;
	if (fd < 0) {
		print_message("no O_DIRECT below TMPDIR\n");
		skip();
	}
	run_model(fd, BLOCK);
	close(fd);
}

/* ---- ends and holes of files -----------------------------------------------
 */

static void check_end(const char *name, int fd, const uint8_t *bytes,
		      uint32_t size, uint32_t off)
{
	uint32_t want = off < size ? SC_MIN(size - off, 3u * BLOCK) : 0;
	int64_t got;

	memset(lane(0), 0x77, 3 * BLOCK + 1);
	got = run(SC_IO_READ, fd, lane(0), 3 * BLOCK, off);
	if (got != want)
		fail_msg("%s of %u bytes at %u: %lld bytes, expected %u", name,
			 size, off, (long long)got, want);
	assert_memory_equal(lane(0), bytes + off, want);
	assert_int_equal(lane(0)[3 * BLOCK], 0x77);
}

static void ends_of_files(void **state)
{
	static const uint32_t sizes[] = {
		0,    1,     511,   512,   4095, 4096,
		4097, 12287, 12288, 12289, 5120, 65536
	};
	uint8_t bytes[65536 + BLOCK];
	uint64_t seed = 7;

	(void)state;
	fill(bytes, sizeof(bytes), &seed);
	for (size_t i = 0; i < SC_ARRAY_SIZE(sizes); i++) {
		int fd, direct;

		dir_fixture_put(dir.fd, "f", bytes, sizes[i]);
		fd = open_in("f", O_RDONLY);
		direct = open_direct("f", O_RDONLY);
		for (uint32_t off = 0; off <= sizes[i] + BLOCK; off += BLOCK) {
			check_end("file", fd, bytes, sizes[i], off);
			check_end("file", fd, bytes, sizes[i], off / 3);
			if (direct >= 0)
				check_end("direct file", direct, bytes,
					  sizes[i], off);
		}
		close(fd);
		if (direct >= 0)
			close(direct);
	}
}

static void holes(void **state)
{
	int fd = open_in("f", O_RDWR | O_CREAT);
	struct stat st;

	(void)state;
	memset(lane(0), 0x11, 100);
	assert_int_equal(run(SC_IO_WRITE, fd, lane(0), 100, 5000000000), 100);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size == 5000000100);
	assert_true(st.st_blocks * 512 < 1 << 20);
	memset(lane(1), 0x77, 2000);
	assert_int_equal(run(SC_IO_READ, fd, lane(1), 2000, 4999999000), 1100);
	for (unsigned i = 0; i < 1100; i++)
		assert_int_equal(lane(1)[i], i < 1000 ? 0 : 0x11);
	close(fd);
}

static void requests_of_nothing(void **state)
{
	int fd = open_in("f", O_RDWR | O_CREAT);

	(void)state;
	assert_int_equal(run(SC_IO_WRITE, fd, lane(0), 0, 0), 0);
	assert_int_equal(run(SC_IO_READ, fd, lane(0), 0, 0), 0);
	close(fd);
	plan.injected++; /* there is no part of nothing */
}

/* ---- errors ----------------------------------------------------------------
 */

static void errors(void **state)
{
	int rd = open_in("r", O_RDONLY | O_CREAT),
	    wr = open_in("w", O_RDWR | O_CREAT);
	int dead = open_in("d", O_RDWR | O_CREAT), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	close(dead);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(run(SC_IO_WRITE, rd, lane(0), 10, 0), -EBADF);
		assert_int_equal(run(SC_IO_READ, dead, lane(0), 10, 0), -EBADF);
		assert_int_equal(run(SC_IO_FSYNC, dead, NULL, 0, 0), -EBADF);
		assert_int_equal(run(SC_IO_READ, -1, lane(0), 10, 0), -EBADF);
		assert_int_equal(run(SC_IO_READ, dir.fd, lane(0), 10, 0),
				 -EISDIR);
		assert_int_equal(run(SC_IO_FSYNC, pipes[0], NULL, 0, 0),
				 -EINVAL);
		assert_int_equal(run(SC_IO_WRITE, wr, (void *)1, 10, 0),
				 -EFAULT);
	}
	/* An engine goes on after errors. */
	assert_int_equal(run(SC_IO_WRITE, wr, lane(0), 10, 0), 10);
	close(rd);
	close(wr);
	close(pipes[0]);
	close(pipes[1]);
}

/* One bad request does not touch those beside it. */
static void errors_beside_others(void **state)
{
	int fd = open_in("f", O_RDWR | O_CREAT);
	struct sc_io ios[DEPTH];

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < DEPTH; i++) {
			ios[i] = (struct sc_io){ .op = SC_IO_WRITE,
						 .fd = i == round % DEPTH ? -1
									  : fd,
						 .buf = lane(i),
						 .len = 5000,
						 .off = i * 5000 };
			engine->ops->submit(engine, &ios[i]);
		}
		for (unsigned i = 0; i < DEPTH; i++)
			assert_non_null(engine->ops->wait(engine));
		for (unsigned i = 0; i < DEPTH; i++)
			assert_int_equal(ios[i].res,
					 i == round % DEPTH ? -EBADF : 5000);
	}
	close(fd);
}

/* A file system of 1 MiB, in a mount namespace of this process alone (seen by
 * path, not through dir.fd). */
static bool mount_small(char path[static 128])
{
	snprintf(path, 128, "%s/small", dir.path);
	return mkdir(path, 0755) == 0 && unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", path, "tmpfs", 0, "size=1m") == 0;
}

static void disk_full(void **state)
{
	unsigned full = 0;
	char path[128];
	int at, fd;

	(void)state;
	if (!mount_small(path)) {
		print_message("needs root to mount a small file system\n");
		plan.injected++;
		skip();
	}
	at = open(path, O_PATH | O_CLOEXEC);
	fd = openat(at, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	for (unsigned i = 0; i < DEPTH; i++) {
		int64_t res =
			run(SC_IO_WRITE, fd, lane(i), LANE, (uint64_t)i * LANE);

		assert_true(res == LANE || res == -ENOSPC);
		full += res < 0;
	}
	assert_int_equal(full, 4); /* 1 of 2 MiB */
	close(fd);
	close(at);
	assert_int_equal(umount(path), 0);
}

/* A write past RLIMIT_FSIZE would raise SIGXFSZ; ignored, it is EFBIG. A write
 * that ends there is cut by the kernel, and the rest fails. */
static void file_too_large(void **state)
{
	struct rlimit old, small;
	int fd = open_in("f", O_RDWR | O_CREAT);
	int64_t res = -EFBIG;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 100000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; res == -EFBIG && i < 20; i++)
		res = run(SC_IO_WRITE, fd, lane(0), LANE, i * 5000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(res, -EFBIG);
	close(fd);
}

/* ---- many requests and files -----------------------------------------------
 */

static void nothing_to_wait_for(void **state)
{
	(void)state;
	engine->ops->flush(engine);
	assert_null(engine->ops->wait(engine));
	assert_null(engine->ops->wait(engine));
	plan.injected++;
}

static void depths(void **state)
{
	static const unsigned list[] = { 1, 2, 3, 8, 100 };
	struct sc_io ios[100];
	int fd = open_in("f", O_RDWR | O_CREAT);

	assert_int_equal(ftruncate(fd, 100), 0);
	for (size_t i = 0; engine && i < SC_ARRAY_SIZE(list); i++) {
		engine->ops->destroy(engine);
		engine = fx_engine_open(*state, list[i], &plan);
		for (unsigned round = 0; round < 20; round++) {
			for (unsigned k = 0; k < list[i]; k++) {
				ios[k] =
					(struct sc_io){ .op = SC_IO_READ,
							.fd = fd,
							.buf = lane(0) + k * 16,
							.len = 10,
							.off = k,
							.user = &ios[k] };
				engine->ops->submit(engine, &ios[k]);
			}
			for (unsigned k = 0; k < list[i]; k++) {
				struct sc_io *io = engine->ops->wait(engine);

				assert_ptr_equal(io, io->user);
				assert_int_equal(
					io->res,
					SC_MIN(10, 100 - (int)io->off));
				io->user = NULL; /* once only */
			}
			assert_null(engine->ops->wait(engine));
		}
	}
	close(fd);
}

/* Many more than an engine has room for; numbers are used again. */
static void files_attached_and_detached(void **state)
{
	enum { FILES = 60 };
	int fds[FILES];
	uint8_t bytes[FILES];
	char name[16];

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < FILES; i++) {
			bytes[i] = (uint8_t)(round * FILES + i);
			snprintf(name, sizeof(name), "f%u", i);
			dir_fixture_put(dir.fd, name, &bytes[i], 1);
			fds[i] = open_in(name, O_RDONLY);
			engine->ops->attach(engine, fds[i]);
			engine->ops->attach(engine, fds[i]);
		}
		for (unsigned i = 0; i < FILES; i++) {
			unsigned k = (i * 7 + round) % FILES;

			assert_int_equal(run(SC_IO_READ, fds[k], lane(0), 1, 0),
					 1);
			assert_int_equal(lane(0)[0], bytes[k]);
			engine->ops->detach(engine, fds[k]);
			engine->ops->detach(engine, fds[k]);
			assert_int_equal(run(SC_IO_READ, fds[k], lane(0), 1, 0),
					 1);
			assert_int_equal(lane(0)[0], bytes[k]);
			close(fds[k]);
			assert_int_equal(run(SC_IO_READ, fds[k], lane(0), 1, 0),
					 -EBADF);
		}
	}
	engine->ops->attach(engine, -1);
	engine->ops->detach(engine, -1);
	engine->ops->detach(engine, 12345);
}

static void files_made_durable(void **state)
{
	struct sc_io ios[DEPTH];
	char name[16];

	(void)state;
	for (unsigned i = 0; i < DEPTH; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		dir_fixture_put(dir.fd, name, "x", 1);
		ios[i] = (struct sc_io){ .op = SC_IO_FSYNC,
					 .fd = open_in(name, O_RDWR) };
		engine->ops->submit(engine, &ios[i]);
	}
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(engine->ops->wait(engine)->res, 0);
	for (unsigned i = 0; i < DEPTH; i++)
		close(ios[i].fd);
	plan.injected++;
}

/* Buffers outside of the arena, and half in it. */
static void buffers_anywhere(void **state)
{
	uint8_t *arena = fx_arena(), out[8192];
	int fd = open_in("f", O_RDWR | O_CREAT);
	uint8_t *places[] = { out, arena, arena + FX_ARENA - 8192,
			      arena + 12345 };
	uint64_t seed = 5;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(places); i++) {
		uint8_t want[8192];

		fill(want, sizeof(want), &seed);
		memcpy(places[i], want, sizeof(want));
		assert_int_equal(run(SC_IO_WRITE, fd, places[i], 8192, 0),
				 8192);
		memset(places[i], 0, 8192);
		assert_int_equal(run(SC_IO_READ, fd, places[i], 8192, 0), 8192);
		assert_memory_equal(places[i], want, 8192);
	}
	close(fd);
}

/* ---- every test on every engine --------------------------------------------
 */

static const struct {
	const char *name;
	CMUnitTestFunction f;
} tests[] = {
#define TEST(f)                                                                \
	{                                                                      \
#f, f                                                          \
	}
	TEST(random_requests),
	TEST(random_direct_requests),
	TEST(ends_of_files),
	TEST(holes),
	TEST(requests_of_nothing),
	TEST(errors),
	TEST(errors_beside_others),
	TEST(disk_full),
	TEST(file_too_large),
	TEST(nothing_to_wait_for),
	TEST(depths),
	TEST(files_attached_and_detached),
	TEST(files_made_durable),
	TEST(buffers_anywhere),
};

enum { TESTS = SC_ARRAY_SIZE(tests) };

static bool have_uring(void)
{
	struct sc_engine *e = fx_engine_open(&fx_engines[1], 1, NULL);

	if (e)
		e->ops->destroy(e);
	return e != NULL;
}

static void no_uring(void **state)
{
	(void)state;
	print_message("this kernel has no io_uring for us\n");
	skip();
}

int main(void)
{
	static struct CMUnitTest list[TESTS * FX_ENGINES];
	static char names[TESTS * FX_ENGINES][64];
	bool uring = have_uring();
	size_t n = 0;

	for (size_t i = 0; i < TESTS; i++) {
		for (size_t k = 0; k < FX_ENGINES; k++, n++) {
			const struct engine_fixture *fx = &fx_engines[k];
			bool can = uring || fx->kind == SC_ENGINE_SYNC;

			snprintf(names[n], sizeof(names[n]), "%s_%s",
				 tests[i].name, fx->name);
			list[n] = (struct CMUnitTest){
				.name = names[n],
				.test_func = can ? tests[i].f : no_uring,
				.setup_func = can ? setup : NULL,
				.teardown_func = can ? teardown : NULL,
				.initial_state = (void *)(uintptr_t)fx,
			};
		}
	}
	return cmocka_run_group_tests(list, NULL, NULL);
}
