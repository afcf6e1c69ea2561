/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of the engine where the kernel does not give it everything:
 * locked memory, set-up flags, io_uring itself. It works, and the log says
 * once what it does without. Each case is a child process, as limits, filters
 * and the log are the process's.
 */
#include "io/base/log.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"
#include "tests/unit/engine_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a child saw; shared memory. */
struct seen {
	char log[4096];
	char warnings[4096];
	const char *engine; /* a literal, the same address in the parent */
	int sys_errno;	    /* when there was no engine */
	int buffers, files; /* registered, of /proc's fdinfo */
	char problem[256];
};

static struct seen *seen;
static struct dir_fixture dir;
static int fd; /* 64 KiB of 'x' */

/* ---- a kernel that refuses -------------------------------------------------
 */

static struct {
	unsigned flags; /* set-up flags it does not know */
	bool all;	/* nor any other */
	int files;	/* errno of registering files */
} kernel;

int __real_io_uring_queue_init(unsigned entries, struct io_uring *ring,
			       unsigned flags);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring,
			       unsigned flags);
int __real_io_uring_register_files(struct io_uring *ring, const int *files,
				   unsigned n);
int __wrap_io_uring_register_files(struct io_uring *ring, const int *files,
				   unsigned n);

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring,
			       unsigned flags)
{
	if (kernel.all || flags & kernel.flags)
		return -EINVAL;
	return __real_io_uring_queue_init(entries, ring, flags);
}

int __wrap_io_uring_register_files(struct io_uring *ring, const int *files,
				   unsigned n)
{
	return kernel.files ? -kernel.files
			    : __real_io_uring_register_files(ring, files, n);
}

static void forbid(int syscall_nr, int sys_errno)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)syscall_nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | (unsigned)sys_errno),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { SC_ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0))
		snprintf(seen->problem, sizeof(seen->problem), "no seccomp");
}

/* Locked memory is counted per user, and root's CAP_IPC_LOCK is not bound by
 * the limit: become somebody who has nothing locked. */
static void limit_memlock(rlim_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    (geteuid() == 0 && setuid(54321 + (uid_t)(getpid() % 1000)) < 0))
		snprintf(seen->problem, sizeof(seen->problem), "no rlimit: %s",
			 strerrordesc_np(errno));
}

/* ---- in the child ----------------------------------------------------------
 */

static void take_line(void *ctx, enum sc_log_level level, const char *line)
{
	char *to = level <= SC_LOG_WARNING ? seen->warnings : seen->log;
	size_t len = strlen(to);

	(void)ctx;
	snprintf(to + len, sizeof(seen->log) - len, "%s\n", line);
}

/* The number behind a name of a ring's fdinfo. Source: io_uring/fdinfo.c. */
static int fdinfo_number(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? atoi(at + strlen(name)) : -1;
}

/* Registered buffers and files of the ring that was made last. */
static void look_at_ring(void)
{
	char path[64], text[8192];

	for (int i = 3; i < 64; i++) {
		FILE *f;
		size_t n;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", i);
		f = fopen(path, "r");
		if (!f)
			continue;
		n = fread(text, 1, sizeof(text) - 1, f);
		text[n] = '\0';
		fclose(f);
		if (!strstr(text, "SqMask"))
			continue;
		seen->buffers = fdinfo_number(text, "UserBufs:");
		seen->files = fdinfo_number(text, "UserFiles:");
	}
}

static void use(struct sc_engine *engine, uint8_t *buf)
{
	engine->ops->attach(engine, fd);
	memset(buf, 0, 65536);
	for (uint32_t off = 0; off < 65536; off += 4096) {
		if (fx_run(engine, SC_IO_READ, fd, buf + off, 4096, off) !=
			    4096 ||
		    buf[off] != 'x' || buf[off + 4095] != 'x')
			snprintf(seen->problem, sizeof(seen->problem),
				 "wrong read at %u", off);
	}
	engine->ops->detach(engine, fd);
}

/* Two engines at a time, with an arena of bytes each. */
static void child(size_t bytes, enum sc_engine_kind kind)
{
	struct sc_engine *engines[2];
	uint8_t *arenas[2];

	sc_log_setup(SC_LOG_INFO, take_line, NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct sc_engine_params params = { .depth = 4, .kind = kind };

		if (posix_memalign((void **)&arenas[i], 4096, bytes))
			abort();
		params.arena = arenas[i];
		params.arena_len = bytes;
		engines[i] = sc_engine_open(&params);
		if (!engines[i]) {
			seen->sys_errno = errno;
			return;
		}
		seen->engine = engines[i]->ops->name;
		look_at_ring();
		use(engines[i], arenas[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		use(engines[i], arenas[i]);
		engines[i]->ops->destroy(engines[i]);
		free(arenas[i]);
	}
}

static void in_child(void (*restrict_it)(void), size_t bytes,
		     enum sc_engine_kind kind)
{
	pid_t pid;
	int status;

	memset(seen, 0, sizeof(*seen));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		restrict_it();
		child(bytes, kind);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status || seen->problem[0])
		fail_msg("status %d: %s", status, seen->problem);
}

static void nothing(void)
{
}

/* ---- set-up ----------------------------------------------------------------
 */

static int setup(void **state)
{
	char *bytes = malloc(65536);

	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	dir_fixture_open(&dir);
	memset(bytes, 'x', 65536);
	dir_fixture_put(dir.fd, "f", bytes, 65536);
	free(bytes);
	fd = openat(dir.fd, "f", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(fd);
	dir_fixture_close(&dir);
	return 0;
}

static void need_uring(void)
{
	in_child(nothing, 1 << 20, SC_ENGINE_URING);
	if (!seen->engine) {
		print_message("no io_uring here: %s\n",
			      strerrordesc_np(seen->sys_errno));
		skip();
	}
}

static void expect_once(const char *log, const char *text)
{
	const char *at = strstr(log, text);

	if (!at)
		fail_msg("'%s' is not in '%s'", text, log);
	if (strstr(at + 1, text))
		fail_msg("'%s' is said twice: '%s'", text, log);
}

static void expect_uring(int buffers, int files)
{
	assert_string_equal(seen->engine, "uring");
	assert_string_equal(seen->warnings, "");
	assert_int_equal(seen->buffers, buffers);
	assert_int_equal(seen->files, files);
}

static void expect_sync(const char *reason)
{
	char text[128];

	snprintf(text, sizeof(text), "io_uring is not available (%s; ", reason);
	assert_string_equal(seen->engine, "sync");
	assert_string_equal(seen->log, "");
	expect_once(seen->warnings, text);
}

/* ---- tests -----------------------------------------------------------------
 */

static void everything(void **state)
{
	(void)state;
	need_uring();
	in_child(nothing, 1 << 20, SC_ENGINE_AUTO);
	expect_uring(1, 16);
	assert_null(strstr(seen->log, "registered"));
}

/* Else others' locked memory counts with ours. */
static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root to become a user of its own\n");
		skip();
	}
}

static void memlock_none(void)
{
	limit_memlock(0);
}

static void memlock_64k(void)
{
	limit_memlock(64 << 10);
}

static void no_locked_memory(void **state)
{
	(void)state;
	need_root();
	need_uring();
	in_child(memlock_64k, 1 << 20, SC_ENGINE_AUTO);
	expect_uring(0, 16);
	expect_once(seen->log,
		    "1024 KiB of buffers per stream are not registered");
	expect_once(seen->log, "RLIMIT_MEMLOCK is 64 KiB per user");
	/* Some kernels count the ring itself. */
	in_child(memlock_none, 1 << 20, SC_ENGINE_AUTO);
	expect_once(seen->warnings[0] ? seen->warnings : seen->log,
		    "RLIMIT_MEMLOCK is 0 KiB per user");
	if (!strcmp(seen->engine, "uring"))
		expect_uring(0, 16);
	else
		expect_sync("Cannot allocate memory");
}

static void memlock_8m(void)
{
	limit_memlock(8 << 20);
}

/* The limit of most systems is enough for one stream, not for the next. */
static void little_locked_memory(void **state)
{
	(void)state;
	need_root();
	need_uring();
	in_child(memlock_8m, 2 << 20, SC_ENGINE_AUTO);
	expect_uring(1, 16);
	assert_null(strstr(seen->log, "registered"));
	in_child(memlock_8m, 6 << 20, SC_ENGINE_AUTO);
	expect_uring(0, 16);
	expect_once(seen->log,
		    "6144 KiB of buffers per stream are not registered");
	expect_once(seen->log, "RLIMIT_MEMLOCK is 8192 KiB per user");
}

static void older_kernels(void **state)
{
	static const unsigned unknown[] = {
		IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER,
		IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
	};

	(void)state;
	need_uring();
	for (size_t i = 0; i < SC_ARRAY_SIZE(unknown); i++) {
		kernel.flags = unknown[i];
		in_child(nothing, 1 << 20, SC_ENGINE_AUTO);
		expect_uring(1, 16);
		expect_once(seen->log, "no DEFER_TASKRUN (Linux 6.1)");
	}
}

static void no_table_of_files(void **state)
{
	(void)state;
	need_uring();
	kernel.files = EMFILE;
	in_child(nothing, 1 << 20, SC_ENGINE_AUTO);
	expect_uring(1, 0);
	expect_once(seen->log, "files are not registered (Too many open files");
}

static void no_flags_at_all(void **state)
{
	(void)state;
	kernel.all = true;
	in_child(nothing, 1 << 20, SC_ENGINE_AUTO);
	expect_sync("Invalid argument");
}

static void setup_eperm(void)
{
	forbid(__NR_io_uring_setup, EPERM);
}

static void setup_enosys(void)
{
	forbid(__NR_io_uring_setup, ENOSYS);
}

static void enter_eperm(void)
{
	forbid(__NR_io_uring_enter, EPERM);
}

static void register_eperm(void)
{
	forbid(__NR_io_uring_register, EPERM);
}

static void io_uring_forbidden(void **state)
{
	(void)state;
	in_child(setup_eperm, 1 << 20, SC_ENGINE_AUTO);
	expect_sync("Operation not permitted");
	in_child(setup_enosys, 1 << 20, SC_ENGINE_AUTO);
	expect_sync("Function not implemented");
}

/* A ring that may be made but not used. */
static void io_uring_half_forbidden(void **state)
{
	(void)state;
	need_uring();
	in_child(enter_eperm, 1 << 20, SC_ENGINE_AUTO);
	expect_sync("Operation not permitted");
	in_child(register_eperm, 1 << 20, SC_ENGINE_AUTO);
	expect_sync("Operation not supported");
}

static void uring_or_nothing(void **state)
{
	(void)state;
	in_child(setup_eperm, 1 << 20, SC_ENGINE_URING);
	assert_null(seen->engine);
	assert_int_equal(seen->sys_errno, EPERM);
	assert_string_equal(seen->warnings, "");
}

static void sync_when_asked_for(void **state)
{
	(void)state;
	in_child(nothing, 1 << 20, SC_ENGINE_SYNC);
	assert_string_equal(seen->engine, "sync");
	assert_string_equal(seen->warnings, "");
	assert_string_equal(seen->log, "");
}

static void setup_sync(void)
{
	sc_engine_setup(SC_ENGINE_SYNC);
}

/* The daemon's option. */
static void sync_for_all(void **state)
{
	(void)state;
	in_child(setup_sync, 1 << 20, SC_ENGINE_AUTO);
	assert_string_equal(seen->engine, "sync");
	assert_string_equal(seen->warnings, "");
	need_uring();
	in_child(setup_sync, 1 << 20, SC_ENGINE_URING);
	assert_string_equal(seen->engine, "uring");
}

static void depth_out_of_range(void **state)
{
	struct sc_engine_params params = { .depth = 0 };

	(void)state;
	assert_null(sc_engine_open(&params));
	assert_int_equal(errno, EINVAL);
	params.depth = SC_ENGINE_MAX_DEPTH + 1;
	errno = 0;
	assert_null(sc_engine_open(&params));
	assert_int_equal(errno, EINVAL);
}

static void kinds(void **state)
{
	static const char *const bad[] = { "", "URING", "uring ", "fault" };
	enum sc_engine_kind kind;

	(void)state;
	assert_int_equal(sc_engine_kind_parse("uring", &kind), 0);
	assert_int_equal(kind, SC_ENGINE_URING);
	assert_int_equal(sc_engine_kind_parse("auto", &kind), 0);
	assert_int_equal(kind, SC_ENGINE_AUTO);
	assert_int_equal(sc_engine_kind_parse("sync", &kind), 0);
	assert_int_equal(kind, SC_ENGINE_SYNC);
	for (size_t i = 0; i < SC_ARRAY_SIZE(bad); i++)
		assert_int_equal(sc_engine_kind_parse(bad[i], &kind), -1);
}

/*
 * An arena above 1 GiB is registered in parts, and requests that lie in two of
 * them work. The memory behind it is 2 MiB, again and again.
 */
static void arena_of_parts(void **state)
{
	const size_t gib = 1 << 30, len = gib + (4 << 20), part = 2 << 20;
	int mem = memfd_create("arena", MFD_CLOEXEC);
	uint8_t *arena =
		mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sc_engine_params params = { .depth = 4,
					   .kind = SC_ENGINE_URING,
					   .arena = arena,
					   .arena_len = len };
	struct sc_engine *engine;

	(void)state;
	need_uring();
	assert_true(arena != MAP_FAILED);
	assert_int_equal(ftruncate(mem, (off_t)part), 0);
	for (size_t off = 0; off < len; off += part)
		assert_true(mmap(arena + off, part, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, mem,
				 0) == arena + off);
	engine = sc_engine_open(&params);
	assert_non_null(engine);
	look_at_ring();
	if (geteuid() == 0)
		assert_int_equal(seen->buffers, 2);
	use(engine, arena);
	use(engine, arena + gib - 2048); /* some requests in both */
	use(engine, arena + len - 65536);
	engine->ops->destroy(engine);
	munmap(arena, len);
	close(mem);
}

static struct sc_io *submit(struct sc_engine *engine, struct sc_io *io,
			    enum sc_io_op op, int file, void *buf)
{
	*io = (struct sc_io){ .op = op, .fd = file, .buf = buf, .len = 1 };
	engine->ops->submit(engine, io);
	return io;
}

/* A request that was queued starts with the next wait, even when that has a
 * completion at hand. The request is a write into a pipe. */
static void wait_starts_what_is_queued(void **state)
{
	struct sc_engine_params params = { .depth = 4,
					   .kind = SC_ENGINE_URING };
	struct sc_engine *engine;
	struct sc_io ios[3];
	struct pollfd poller = { .events = POLLIN };
	char bytes[3] = "";
	int pipes[2];

	(void)state;
	need_uring();
	assert_int_equal(pipe(pipes), 0);
	poller.fd = pipes[0];
	engine = sc_engine_open(&params);
	submit(engine, &ios[0], SC_IO_READ, fd, &bytes[0]);
	submit(engine, &ios[1], SC_IO_READ, fd, &bytes[1]);
	engine->ops->wait(engine);
	submit(engine, &ios[2], SC_IO_WRITE, pipes[1], &bytes[2]);
	engine->ops->wait(engine);
	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_non_null(engine->ops->wait(engine));
	assert_null(engine->ops->wait(engine));
	assert_int_equal(ios[2].res, 1);
	engine->ops->destroy(engine);
	close(pipes[0]);
	close(pipes[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything),
		TEST(no_locked_memory),
		TEST(little_locked_memory),
		TEST(older_kernels),
		TEST(no_table_of_files),
		TEST(no_flags_at_all),
		TEST(io_uring_forbidden),
		TEST(io_uring_half_forbidden),
		TEST(uring_or_nothing),
		TEST(sync_when_asked_for),
		TEST(sync_for_all),
		TEST(depth_out_of_range),
		TEST(kinds),
		TEST(arena_of_parts),
		TEST(wait_starts_what_is_queued),
	};

	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
