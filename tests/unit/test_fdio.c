/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads, writes and directories by descriptor; what must not be followed. */
#include "io/base/fdio.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534 };

static struct dir_fixture dir;

static int setup(void **state)
{
	(void)state;
	umask(022);
	dir_fixture_open(&dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dir_fixture_close(&dir);
	return 0;
}

/* ---- reads and writes ------------------------------------------------------
 */

static void read_stops_at_the_end(void **state)
{
	char buf[10];
	int fd;

	(void)state;
	dir_fixture_put(dir.fd, "f", "12345", 5);
	fd = openat(dir.fd, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sc_pread_full(fd, buf, 10, 0), 5);
	assert_memory_equal(buf, "12345", 5);
	assert_int_equal(sc_pread_full(fd, buf, 2, 1), 2);
	assert_memory_equal(buf, "23", 2);
	assert_int_equal(sc_pread_full(fd, buf, 10, 5), 0);
	assert_int_equal(sc_pread_full(fd, buf, 10, 1000), 0);
	assert_int_equal(sc_pread_full(fd, buf, 0, 0), 0);
	close(fd);
	assert_int_equal(sc_pread_full(-1, buf, 1, 0), -EBADF);
	assert_int_equal(sc_pread_full(dir.fd, buf, 1, 0), -EISDIR);
}

static void write_all_or_an_error(void **state)
{
	uint8_t *got;
	size_t len;
	int fd = openat(dir.fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(sc_pwrite_full(fd, "abc", 3, 2), 0);
	assert_int_equal(sc_pwrite_full(fd, NULL, 0, 0), 0);
	close(fd);
	assert_int_equal(dir_fixture_get(dir.fd, "f", &got, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(got, "\0\0abc", 5);
	free(got);
	assert_int_equal(sc_pwrite_full(-1, "a", 1, 0), -EBADF);
	assert_int_equal(sc_pwrite_full(full, "a", 1, 0), -ENOSPC);
	close(full);
}

/* ---- open beneath ----------------------------------------------------------
 */

/* `walk`: the answer of the walk for kernels without openat2, 0 = the same. */
static const struct open_case {
	const char *path;
	int flags, want, walk;
} open_cases[] = {
	{ "a/b/file", O_RDONLY, 0, 0 },
	{ "a/./b/file", O_RDONLY, 0, 0 },
	{ "top", O_RDWR, 0, 0 },
	{ "a/b", O_RDONLY | O_DIRECTORY, 0, 0 },
	{ "a/b", O_PATH | O_DIRECTORY, 0, 0 },
	{ "..hidden", O_RDONLY, 0, 0 },
	{ "new", O_WRONLY | O_CREAT | O_EXCL, 0, 0 },
	{ "a/new", O_WRONLY | O_CREAT | O_EXCL, 0, 0 },
	{ "top", O_WRONLY | O_CREAT | O_EXCL, -EEXIST, 0 },
	{ "", O_RDONLY, -EINVAL, 0 },
	{ "/etc/passwd", O_RDONLY, -EINVAL, 0 },
	{ "..", O_RDONLY, -EINVAL, 0 },
	{ "../x", O_RDONLY, -EINVAL, 0 },
	{ "a/../top", O_RDONLY, -EINVAL, 0 },
	{ "a/b/..", O_RDONLY, -EINVAL, 0 },
	{ "a//b/file", O_RDONLY, -EINVAL, 0 },
	{ "a/b/", O_RDONLY, -EINVAL, 0 },
	{ "missing", O_RDONLY, -ENOENT, 0 },
	{ "missing/x", O_RDONLY, -ENOENT, 0 },
	{ "top/x", O_RDONLY, -ENOTDIR, 0 },
	{ "link_file", O_RDONLY, -ELOOP, 0 },
	{ "link_file", O_PATH, -ELOOP, 0 },
	{ "link_out", O_RDONLY, -ELOOP, 0 },
	{ "link_none", O_WRONLY | O_CREAT, -ELOOP, 0 },
	{ "link_none", O_WRONLY | O_CREAT | O_EXCL, -EEXIST, 0 },
	{ "link_dir", O_RDONLY | O_DIRECTORY, -ELOOP, -ENOTDIR },
	{ "link_dir/file", O_RDONLY, -ELOOP, -ENOTDIR },
	{ "link_up/top", O_RDONLY, -ELOOP, -ENOTDIR },
};

static void make_tree(void)
{
	dir_fixture_put(dir.fd, "a/b/file", "x", 1);
	dir_fixture_put(dir.fd, "top", "x", 1);
	dir_fixture_put(dir.fd, "..hidden", "x", 1);
	assert_int_equal(symlinkat("top", dir.fd, "link_file"), 0);
	assert_int_equal(symlinkat("/etc/passwd", dir.fd, "link_out"), 0);
	assert_int_equal(symlinkat("not_there", dir.fd, "link_none"), 0);
	assert_int_equal(symlinkat("a/b", dir.fd, "link_dir"), 0);
	assert_int_equal(symlinkat("..", dir.fd, "link_up"), 0);
}

/* Number of the first case that is wrong, printed; else 0. */
static int wrong_open(bool walk)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(open_cases); i++) {
		const struct open_case *c = &open_cases[i];
		int want = walk && c->walk ? c->walk : c->want;
		int fd = sc_open_beneath(dir.fd, c->path, c->flags, 0640);
		int got = fd < 0 ? fd : 0;

		if (fd >= 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			got = -9999;
		if (fd >= 0)
			close(fd);
		if (got != want) {
			print_error("%s, flags %o: %d, expected %d\n", c->path,
				    c->flags, got, want);
			return (int)i + 1;
		}
	}
	return 0;
}

static void open_beneath(void **state)
{
	unsigned fds = fx_count_fds();

	(void)state;
	make_tree();
	assert_int_equal(wrong_open(false), 0);
	assert_int_equal(fx_count_fds(), fds);
}

/* Make openat2() fail with sys_errno in this thread, for good. */
static int forbid_openat2(int sys_errno)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | (unsigned)sys_errno),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { SC_ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
			       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog,
				     0, 0)
		       ? -1
		       : 0;
}

static void *walk_main(void *arg)
{
	int *sys_errno = arg;

	*sys_errno = forbid_openat2(*sys_errno) < 0 ? -1 : wrong_open(true);
	return NULL;
}

static void check_walk(int sys_errno)
{
	unsigned fds = fx_count_fds();
	pthread_t thread;
	int result = sys_errno;

	make_tree();
	assert_int_equal(pthread_create(&thread, NULL, walk_main, &result), 0);
	pthread_join(thread, NULL);
	if (result < 0)
		skip();
	assert_int_equal(result, 0);
	assert_int_equal(fx_count_fds(), fds);
}

static void open_beneath_without_openat2(void **state)
{
	(void)state;
	check_walk(ENOSYS);
}

static void open_beneath_with_openat2_filtered(void **state)
{
	(void)state;
	check_walk(EPERM);
}

static void open_beneath_modes(void **state)
{
	int fd = sc_open_beneath(dir.fd, "f", O_WRONLY | O_CREAT, 0640);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	close(fd);
	/* A mode that creates nothing is ignored as open(2) does. */
	fd = sc_open_beneath(dir.fd, ".", O_RDONLY | O_DIRECTORY, 0640);
	assert_true(fd >= 0);
	close(fd);
}

static void open_beneath_long_names(void **state)
{
	char name[300] = { 0 };

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	assert_int_equal(sc_open_beneath(dir.fd, name, O_RDONLY, 0),
			 -ENAMETOOLONG);
}

/* ---- directories -----------------------------------------------------------
 */

static void mkdirs_creates_parents(void **state)
{
	struct stat st;

	(void)state;
	for (int i = 0; i < 2; i++) /* there already is fine */
		assert_int_equal(
			sc_mkdirs_for(dir.fd, "a/b/c/file", getuid(), getgid()),
			0);
	assert_int_equal(fstatat(dir.fd, "a/b/c", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_false(dir_fixture_has(dir.fd, "a/b/c/file"));
	assert_int_equal(sc_mkdirs_for(dir.fd, "file", 0, 0), 0);
}

static void mkdirs_gives_them_away(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root to change owners\n");
		skip();
	}
	assert_int_equal(sc_mkdirs_for(dir.fd, "a/b/f", NOBODY, NOBODY), 0);
	assert_int_equal(fstatat(dir.fd, "a/b", &st, 0), 0);
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(fstatat(dir.fd, "a", &st, 0), 0);
	assert_int_equal(st.st_gid, NOBODY);
}

static void mkdirs_refuses(void **state)
{
	static const struct {
		const char *path;
		int want;
	} cases[] = {
		{ "../x/f", -EINVAL },	   { "/x/f", -EINVAL },
		{ "a/../x/f", -EINVAL },   { "", -EINVAL },
		{ "top/x/f", -ENOTDIR },   { "link_dir/x/f", -ELOOP },
		{ "link_up/x/f", -ELOOP },
	};

	(void)state;
	make_tree();
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++)
		assert_int_equal(sc_mkdirs_for(dir.fd, cases[i].path, 0, 0),
				 cases[i].want);
	assert_false(dir_fixture_has(dir.fd, "a/b/x"));
}

static void remove_tree(void **state)
{
	struct dir_fixture other;
	struct sc_err err = SC_ERR_INIT;
	unsigned fds = fx_count_fds();
	char name[64];

	(void)state;
	dir_fixture_open(&other);
	dir_fixture_put(other.fd, "keep/me", "x", 1);
	make_tree();
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "many/%d/%d", i % 7, i);
		dir_fixture_put(dir.fd, name, "", 0);
	}
	assert_int_equal(symlinkat(other.path, dir.fd, "a/b/other"), 0);
	assert_int_equal(mkfifoat(dir.fd, "fifo", 0600), 0);
	assert_int_equal(sc_tree_remove(dir.fd, &err), 0);
	assert_int_equal(rmdir(dir.path), 0);
	assert_true(dir_fixture_has(other.fd, "keep/me"));
	dir_fixture_close(&other);
	assert_int_equal(fx_count_fds(), fds);
}

static void remove_empty_tree(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	assert_int_equal(sc_tree_remove(dir.fd, &err), 0);
	assert_int_equal(sc_tree_remove(-1, &err), -1);
	assert_int_equal(err.sys_errno, EBADF);
}

/* As a user who may not write in "locked". */
static void *remove_as_nobody(void *arg)
{
	if (geteuid() == 0)
		syscall(SYS_setfsuid, NOBODY);
	sc_tree_remove(dir.fd, arg);
	return NULL;
}

static void remove_goes_on_after_a_failure(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	pthread_t thread;

	(void)state;
	dir_fixture_put(dir.fd, "a", "", 0);
	dir_fixture_put(dir.fd, "locked/file", "", 0);
	dir_fixture_put(dir.fd, "z/b", "", 0);
	assert_int_equal(fchmodat(dir.fd, "locked", 0555, 0), 0);
	assert_int_equal(fchmodat(dir.fd, "z", 0777, 0), 0);
	assert_int_equal(fchmod(dir.fd, 0777), 0);
	assert_int_equal(pthread_create(&thread, NULL, remove_as_nobody, &err),
			 0);
	pthread_join(thread, NULL);
	assert_true(sc_err_is_set(&err));
	assert_non_null(strstr(err.msg, "cannot remove file"));
	assert_int_equal(err.sys_errno, EACCES);
	assert_true(dir_fixture_has(dir.fd, "locked/file"));
	assert_false(dir_fixture_has(dir.fd, "a"));
	assert_false(dir_fixture_has(dir.fd, "z"));
	fchmodat(dir.fd, "locked", 0755, 0);
}

/* ---- small files -----------------------------------------------------------
 */

static void expect_text(const char *name, const char *text)
{
	uint8_t *got;
	size_t len;

	assert_int_equal(dir_fixture_get(dir.fd, name, &got, &len), 0);
	assert_string_equal((char *)got, text);
	free(got);
}

static int write_text(const char *name, const char *text, struct sc_err *err)
{
	return sc_write_file(dir.fd, name, text, strlen(text), getuid(),
			     getgid(), err);
}

static void write_file_creates_and_replaces(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	struct stat st;

	(void)state;
	assert_int_equal(write_text("f", "first", &err), 0);
	assert_int_equal(fstatat(dir.fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(write_text("f", "2", &err), 0);
	expect_text("f", "2");
	assert_int_equal(write_text("empty", "", &err), 0);
	expect_text("empty", "");
	assert_false(dir_fixture_has(dir.fd, "f.tmp"));
}

static void write_file_replaces_a_link(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	dir_fixture_put(dir.fd, "target", "old", 3);
	assert_int_equal(symlinkat("target", dir.fd, "f"), 0);
	assert_int_equal(write_text("f", "new", &err), 0);
	expect_text("target", "old");
	expect_text("f", "new");
	/* A link in the place of the temporary file is not followed. */
	assert_int_equal(symlinkat("target", dir.fd, "f.tmp"), 0);
	assert_int_equal(write_text("f", "x", &err), -1);
	expect_text("target", "old");
}

static void write_file_fails_cleanly(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	unsigned fds = fx_count_fds();

	(void)state;
	dir_fixture_put(dir.fd, "d/x", "", 0);
	assert_int_equal(write_text("d", "x", &err), -1);
	assert_string_equal(err.msg, "cannot write d: Is a directory");
	assert_false(dir_fixture_has(dir.fd, "d.tmp"));
	assert_int_equal(fx_count_fds(), fds);
}

static int write_both(const char *second, struct sc_err *err)
{
	const struct sc_small_file files[] = { { "a", "one", 3 },
					       { second, "two", 3 },
					       { "empty", "", 0 } };

	return sc_write_files(dir.fd, files, 3, getuid(), getgid(), err);
}

static void write_files_replaces_all(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	unsigned fds = fx_count_fds();

	(void)state;
	dir_fixture_put(dir.fd, "b", "longer than it will be", 22);
	assert_int_equal(write_both("b", &err), 0);
	expect_text("a", "one");
	expect_text("b", "two");
	expect_text("empty", "");
	assert_false(dir_fixture_has(dir.fd, "a.tmp"));
	assert_false(dir_fixture_has(dir.fd, "b.tmp"));
	assert_int_equal(fx_count_fds(), fds);
}

/* A second file that cannot be made, or not be put in its place. */
static void write_files_fails_cleanly(void **state)
{
	static const char *const seconds[] = { "no/b", "d" };
	unsigned fds = fx_count_fds();

	(void)state;
	dir_fixture_put(dir.fd, "d/x", "", 0);
	for (size_t i = 0; i < 2; i++) {
		struct sc_err err = SC_ERR_INIT;

		assert_int_equal(write_both(seconds[i], &err), -1);
		assert_non_null(strstr(err.msg, seconds[i]));
		assert_false(dir_fixture_has(dir.fd, "a.tmp"));
		assert_false(dir_fixture_has(dir.fd, "d.tmp"));
		assert_false(dir_fixture_has(dir.fd, "empty.tmp"));
		assert_false(dir_fixture_has(dir.fd, "empty"));
		assert_int_equal(fx_count_fds(), fds);
		/* Not one file before all of them are durable. */
		assert_int_equal(dir_fixture_has(dir.fd, "a"), i == 1);
	}
}

static void sync_directories(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	unsigned fds = fx_count_fds();
	int path_only = open(dir.path, O_PATH | O_CLOEXEC);

	(void)state;
	make_tree();
	assert_int_equal(mkfifoat(dir.fd, "fifo", 0600), 0);
	assert_int_equal(sc_tree_sync_dirs(dir.fd, &err), 0);
	assert_int_equal(sc_tree_sync_dirs(path_only, &err), 0);
	close(path_only);
	assert_int_equal(fx_count_fds(), fds);
	assert_int_equal(sc_tree_sync_dirs(-1, &err), -1);
	assert_int_equal(err.sys_errno, EBADF);
}

/* lost+found, as a server without root's rights finds it. */
static void sync_skips_what_may_not_be_read(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	bool root = geteuid() == 0;
	int rc;

	(void)state;
	make_tree();
	assert_int_equal(mkdirat(dir.fd, "lost+found", 0), 0);
	if (root) {
		assert_int_equal(fchmod(dir.fd, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	rc = sc_tree_sync_dirs(dir.fd, &err);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, 0);
}

/* ---- directories that cannot be read to their end -------------------------
 */

static unsigned entries_left = UINT_MAX;

struct dirent *__real_readdir(DIR *stream);
struct dirent *__wrap_readdir(DIR *stream);
struct dirent *__wrap_readdir(DIR *stream)
{
	if (entries_left) {
		entries_left--;
		return __real_readdir(stream);
	}
	errno = EIO;
	return NULL;
}

/* A directory of which a part was read looks like a small one. */
static void half_a_directory_is_an_error(void **state)
{
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	make_tree();
	for (unsigned n = 0; n < 3; n++) {
		err = (struct sc_err)SC_ERR_INIT;
		entries_left = n;
		assert_int_equal(sc_tree_sync_dirs(dir.fd, &err), -1);
		assert_int_equal(err.sys_errno, EIO);
		err = (struct sc_err)SC_ERR_INIT;
		entries_left = n;
		assert_int_equal(sc_tree_remove(dir.fd, &err), -1);
		assert_int_equal(err.sys_errno, EIO);
	}
	entries_left = UINT_MAX;
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_tree_remove(dir.fd, &err), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(read_stops_at_the_end),
		TEST(write_all_or_an_error),
		TEST(open_beneath),
		TEST(open_beneath_without_openat2),
		TEST(open_beneath_with_openat2_filtered),
		TEST(open_beneath_modes),
		TEST(open_beneath_long_names),
		TEST(mkdirs_creates_parents),
		TEST(mkdirs_gives_them_away),
		TEST(mkdirs_refuses),
		TEST(remove_tree),
		TEST(remove_empty_tree),
		TEST(remove_goes_on_after_a_failure),
		TEST(write_file_creates_and_replaces),
		TEST(write_file_replaces_a_link),
		TEST(write_file_fails_cleanly),
		TEST(write_files_replaces_all),
		TEST(write_files_fails_cleanly),
		TEST(sync_directories),
		TEST(sync_skips_what_may_not_be_read),
		TEST(half_a_directory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
