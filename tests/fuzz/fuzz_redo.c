/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A redo directory: found, followed, and what was followed is built anew and
 * checked. Input: u8 options, u8 number of files - 1, then the files, all of
 * the same length.
 */
#include "tests/fuzz/fuzz.h"

#include "io/crc32c.h"
#include "io/redo/build.h"
#include "io/redo/check.h"
#include "io/redo/files.h"
#include "io/redo/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEAL_HEADERS = 1, SEAL_BLOCKS = 2, WHOLE = 4, KEY = 8 };
enum { MAX_FILES = 4, PAGE = 16384, MAX_READ = 1 << 20 };

static const struct sc_space_key key = { { 1, 2, 3 }, { 4, 5, 6 } };

static int get_key(void *ctx, struct sc_space_key *ret, struct sc_err *err)
{
	if (!(*(uint8_t *)ctx & KEY))
		return sc_err_set(err, SC_ER_CLONE_ENCRYPTION, "no key");
	*ret = key;
	return 0;
}

/* The last four bytes of a block are the checksum of those before. */
static void seal(uint8_t *file, size_t len, uint8_t options)
{
	for (size_t at = 0; at + SC_REDO_BLOCK <= len; at += SC_REDO_BLOCK) {
		uint8_t which =
			at < SC_REDO_FILE_HEADER ? SEAL_HEADERS : SEAL_BLOCKS;

		if (options & which)
			sc_store_be32(file + at + 508,
				      sc_crc32c(0, file + at, 508));
	}
}

static void put_files(int dir, struct fuzz_in *in, uint8_t options, unsigned n)
{
	size_t len = in->left / n;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *file = fuzz_take(in, len);
		char name[SC_REDO_NAME_SIZE];
		int fd;

		seal(file, len, options);
		sc_redo_file_name(10 + i, name);
		fuzz_put(dir, name, file, len);
		if (options & WHOLE) {
			fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
			FUZZ_CHECK(ftruncate(fd, SC_REDO_FILE_MIN) == 0);
			close(fd);
		}
		free(file);
	}
}

/* What was read, for the builder. */
struct followed {
	uint8_t *blocks;
	size_t len;
	uint64_t begin, end; /* LSN of the first block; where redo ends */
};

/* 0, or -1 when the log cannot be followed to an end. */
static int follow(int dir, uint64_t lsn, uint8_t *options, struct followed *ret,
		  struct sc_err *err)
{
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = NULL;
	uint64_t partial;
	struct sc_redo_run run;
	int rc;

	if (sc_redo_follow_open(dir, lsn, &f, err) < 0)
		return -1;
	sc_redo_follow_set_key(f, get_key, options);
	ret->begin = sc_redo_align(lsn);
	while ((rc = sc_redo_follow_read(f, ret->blocks + ret->len,
					 MAX_READ - ret->len, &run, err)) > 0) {
		FUZZ_CHECK(run.lsn == ret->begin + ret->len);
		ret->len += run.len;
		if (MAX_READ - ret->len < 2 * SC_REDO_BLOCK)
			break;
	}
	if (rc < 0)
		return -1;
	/* A key that has just come: what follows may be read now. */
	if (sc_redo_follow_cipher(f))
		return -1;
	if (sc_redo_follow_partial(f, ret->blocks + ret->len, &partial)) {
		FUZZ_CHECK(partial == ret->begin + ret->len);
		ret->len += SC_REDO_BLOCK;
	}
	ret->end = sc_redo_follow_lsn(f);
	return 0;
}

/* A log that could be followed to its end makes one a server starts on. */
static void build(const struct sc_redo_checkpoint *c,
		  const struct followed *got)
{
	struct sc_redo_build_params params = { .uuid = c->uuid,
					       .creator = "MySQL 9.7.4",
					       .checkpoint_lsn = c->lsn,
					       .page_size = PAGE,
					       .max_file_size = 2 * 65536,
					       .uid = (uid_t)-1 };
	CLEANUP_REDO_BUILD struct sc_redo_build *b = NULL;
	struct sc_err err = SC_ERR_INIT;
	uint64_t end = got->end;
	int dir;

	FUZZ_CHECK(mkdirat(fuzz_parent(), "built", 0700) == 0);
	dir = openat(fuzz_parent(), "built",
		     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_CHECK(dir >= 0);
	if (sc_redo_build_open(dir, &params, &b, &err) == 0 &&
	    sc_redo_build_append(b, got->begin, got->blocks, got->len, &err) ==
		    0 &&
	    sc_redo_build_finish(b, end, &err) == 0)
		FUZZ_CHECK(sc_redo_check(dir, c->lsn, end, NULL, &err) == 0);
	else
		FUZZ_CHECK(sc_err_is_set(&err));
	close(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t options = fuzz_u8(&in);
	unsigned n = fuzz_u8(&in) % MAX_FILES + 1;
	struct sc_redo_checkpoint c;
	struct followed got = { .blocks = malloc(MAX_READ) };
	struct sc_err err = SC_ERR_INIT;
	int dir = fuzz_dir();

	FUZZ_CHECK(got.blocks);
	put_files(dir, &in, options, n);
	if (sc_redo_newest_checkpoint(dir, &c, &err) == 0) {
		if (follow(dir, c.lsn, &options, &got, &err) == 0 && got.len)
			build(&c, &got);
		(void)sc_redo_check(dir, c.lsn, got.end, NULL, &err);
	} else {
		FUZZ_CHECK(sc_err_is_set(&err));
	}
	free(got.blocks);
	return 0;
}
