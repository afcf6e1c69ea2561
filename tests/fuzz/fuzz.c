/* SPDX-License-Identifier: GPL-2.0-only */
/* See fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void fuzz_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

/* AddressSanitizer asks for it. Inputs invent sizes, and that there is no
 * memory for them is an error as any other. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/* ---- input --------------------------------------------------------------- */

static void take(struct fuzz_in *in, void *to, size_t len)
{
	size_t n = SC_MIN(len, in->left);

	memset(to, 0, len);
	if (n)
		memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
}

uint8_t fuzz_u8(struct fuzz_in *in)
{
	uint8_t v;

	take(in, &v, 1);
	return v;
}

uint32_t fuzz_u32(struct fuzz_in *in)
{
	uint8_t v[4];

	take(in, v, sizeof(v));
	return sc_load_le32(v);
}

uint64_t fuzz_u64(struct fuzz_in *in)
{
	uint8_t v[8];

	take(in, v, sizeof(v));
	return sc_load_le64(v);
}

static void *room(size_t len)
{
	void *p = malloc(len ? len : 1);

	FUZZ_CHECK(p);
	return p;
}

char *fuzz_text(const struct fuzz_in *in)
{
	char *text = room(in->left + 1);

	if (in->left)
		memcpy(text, in->p, in->left);
	text[in->left] = '\0';
	return text;
}

uint8_t *fuzz_take(struct fuzz_in *in, size_t len)
{
	uint8_t *p = room(len);

	take(in, p, len);
	return p;
}

/* ---- connection ---------------------------------------------------------- */

static int conn_read(struct sc_conn *conn, void *buf, size_t len,
		     struct sc_err *err)
{
	struct fuzz_conn *c = (struct fuzz_conn *)conn;

	if (c->in.left < len)
		return sc_err_sys(err, SC_ER_CLONE_PROTOCOL, ECONNRESET,
				  "data connection");
	take(&c->in, buf, len);
	return 0;
}

static int conn_writev(struct sc_conn *conn, struct iovec *parts, int n,
		       struct sc_err *err)
{
	(void)conn;
	(void)parts;
	(void)n;
	(void)err;
	return 0;
}

static void conn_shutdown(struct sc_conn *conn, bool read_only)
{
	(void)conn;
	(void)read_only;
}

static void conn_free(struct sc_conn *conn)
{
	(void)conn;
}

void fuzz_conn_init(struct fuzz_conn *conn, const uint8_t *data, size_t size)
{
	static const struct sc_conn_ops ops = { .read = conn_read,
						.writev = conn_writev,
						.shutdown = conn_shutdown,
						.free = conn_free };

	*conn = (struct fuzz_conn){ .base.ops = &ops, .in = { data, size } };
}

/* ---- files --------------------------------------------------------------- */

const char fuzz_dir_name[] = "files";
static char parent_path[64];
static int parent = -1, dir = -1;

int fuzz_file(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && sc_pwrite_full(fd, data, size, 0) == 0);
	return fd;
}

static void remove_all(void)
{
	struct sc_err err = SC_ERR_INIT;

	if (sc_tree_remove(parent, &err) < 0 || rmdir(parent_path) < 0)
		fprintf(stderr, "%s stays: %s\n", parent_path, err.msg);
}

int fuzz_parent(void)
{
	if (parent >= 0)
		return parent;
	snprintf(parent_path, sizeof(parent_path), "%s/snapclone-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_CHECK(mkdtemp(parent_path));
	parent = open(parent_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(parent >= 0);
	atexit(remove_all);
	return parent;
}

int fuzz_dir(void)
{
	struct sc_err err = SC_ERR_INIT;

	FUZZ_CHECK(sc_tree_remove(fuzz_parent(), &err) == 0);
	if (dir >= 0)
		close(dir);
	FUZZ_CHECK(mkdirat(parent, fuzz_dir_name, 0700) == 0);
	dir = openat(parent, fuzz_dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(dir >= 0);
	return dir;
}

void fuzz_put(int at, const char *name, const void *data, size_t size)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	FUZZ_CHECK(fd >= 0 && sc_pwrite_full(fd, data, size, 0) == 0);
	close(fd);
}

/* ---- time ---------------------------------------------------------------- */

static uint64_t slept_ns;

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)left;
	slept_ns +=
		(uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	int rc = __real_clock_gettime(clock, ret);
	uint64_t ns = (uint64_t)ret->tv_nsec + slept_ns;

	ret->tv_sec += (time_t)(ns / 1000000000);
	ret->tv_nsec = (long)(ns % 1000000000);
	return rc;
}
