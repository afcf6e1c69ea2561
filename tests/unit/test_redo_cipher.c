/* SPDX-License-Identifier: GPL-2.0-only */
/* Encrypted redo: blocks of a real server, a log that switches, its end, the
 * check of what was built, and the keys named in it. */
#include "io/redo/build.h"
#include "io/redo/check.h"
#include "io/redo/cipher.h"
#include "io/redo/follow.h"
#include "io/redo/keyscan.h"
#include "tests/unit/encrypted_redo.h"
#include "tests/unit/redo_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_SIZE = 64 << 10, C = FX_START + 300 };

static const struct sc_space_key key = {
	.key = "thirty-two bytes of a redo key!",
	.iv = "sixteen bytes iv, rest not used"
};
static uint8_t buf[1 << 20];

static struct sc_redo_cipher *server_cipher(void)
{
	struct sc_aes *aes = sc_aes_new();
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_cipher *c;
	struct sc_key_info info;
	struct sc_space_key unwrapped;

	assert_int_equal(sc_key_info_parse(encrypted_redo_info, &info, &err),
			 1);
	assert_int_equal(sc_key_info_unwrap(aes, &info, encrypted_redo_master,
					    &unwrapped),
			 0);
	c = sc_redo_cipher_new(&unwrapped);
	assert_non_null(c);
	sc_aes_free(aes);
	return c;
}

static void blocks_of_a_server(void **state)
{
	CLEANUP_CIPHER struct sc_redo_cipher *c = server_cipher();
	uint8_t plain[512], again[512];
	struct sc_redo_block b;

	(void)state;
	assert_int_equal(sc_redo_cipher_judge(NULL, encrypted_redo_full,
					      ENCRYPTED_REDO_LSN, &b, NULL),
			 SC_REDO_ENCRYPTED);
	assert_int_equal(sc_redo_cipher_judge(c, encrypted_redo_full,
					      ENCRYPTED_REDO_LSN, &b, plain),
			 SC_REDO_FULL);
	assert_true(b.encrypted);
	assert_int_equal(sc_redo_block_judge(plain, ENCRYPTED_REDO_LSN, NULL),
			 SC_REDO_FULL);
	assert_int_equal(sc_redo_cipher_seal(c, plain, again), 0);
	assert_memory_equal(again, encrypted_redo_full, 512);
	assert_int_equal(sc_redo_cipher_judge(c, encrypted_redo_partial,
					      ENCRYPTED_REDO_PARTIAL_LSN, &b,
					      NULL),
			 SC_REDO_PARTIAL);
}

/* Each bit of the cipher text counts, and so does the key. */
static void damage_shows(void **state)
{
	CLEANUP_CIPHER struct sc_redo_cipher *c = server_cipher();
	CLEANUP_CIPHER struct sc_redo_cipher *wrong = sc_redo_cipher_new(&key);
	uint8_t block[512];

	(void)state;
	for (unsigned bit = 12 * 8; bit < 512 * 8; bit += 3) {
		memcpy(block, encrypted_redo_full, 512);
		block[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(sc_redo_cipher_judge(c, block,
						      ENCRYPTED_REDO_LSN, NULL,
						      NULL),
				 SC_REDO_TORN);
	}
	assert_int_equal(sc_redo_cipher_judge(wrong, encrypted_redo_full,
					      ENCRYPTED_REDO_LSN, NULL, NULL),
			 SC_REDO_TORN);
}

static void cut_everywhere(void **state)
{
	CLEANUP_CIPHER struct sc_redo_cipher *c = server_cipher();
	uint8_t block[512], plain[512], clear[512];

	(void)state;
	for (unsigned keep = 12; keep <= 512; keep++) {
		struct sc_redo_block b;

		memcpy(block, encrypted_redo_full, 512);
		assert_int_equal(sc_redo_cipher_cut(c, block,
						    ENCRYPTED_REDO_LSN,
						    ENCRYPTED_REDO_LSN + keep),
				 0);
		assert_int_equal(sc_redo_cipher_judge(c, block,
						      ENCRYPTED_REDO_LSN, &b,
						      plain),
				 keep < 512 ? SC_REDO_PARTIAL : SC_REDO_FULL);
		assert_true(b.encrypted);
		assert_int_equal(b.data_len, keep);
		assert_int_equal(
			sc_redo_cipher_open(c, encrypted_redo_full, clear), 0);
		assert_memory_equal(plain + 12, clear + 12,
				    SC_MIN(keep, 508u) - 12);
	}
	memcpy(block, encrypted_redo_full, 512);
	assert_int_equal(sc_redo_cipher_cut(NULL, block, ENCRYPTED_REDO_LSN,
					    ENCRYPTED_REDO_LSN + 100),
			 -ENOKEY);
	assert_int_equal(sc_redo_cipher_cut(c, block, ENCRYPTED_REDO_LSN,
					    ENCRYPTED_REDO_LSN + 513),
			 -ERANGE);
	memcpy(block, encrypted_redo_partial, 512);
	assert_int_equal(sc_redo_cipher_cut(c, block,
					    ENCRYPTED_REDO_PARTIAL_LSN,
					    ENCRYPTED_REDO_PARTIAL_LSN + 511),
			 -ERANGE);
}

/* ---- a log that is encrypted in parts ------------------------------------ */

/* Every eighth to fifteenth of sixteen blocks. */
static bool is_encrypted(uint64_t lsn)
{
	return lsn / 512 % 16 >= 8;
}

/* Encrypt blocks of [from, end) on disk, as a server that switches would. */
static void encrypt_log(struct redo_fixture *fx, uint64_t from, uint64_t end)
{
	CLEANUP_CIPHER struct sc_redo_cipher *c = sc_redo_cipher_new(&key);
	uint8_t plain[512], block[512];

	for (uint64_t lsn = sc_redo_align(from); lsn < end; lsn += 512) {
		if (!is_encrypted(lsn) || lsn < fx->start)
			continue;
		redo_fixture_block(fx, lsn, end, plain);
		assert_int_equal(sc_redo_cipher_seal(c, plain, block), 0);
		redo_fixture_poke(fx, lsn, block, 512);
	}
}

static int give_key(void *ctx, struct sc_space_key *ret, struct sc_err *err)
{
	(void)err;
	++*(int *)ctx;
	*ret = key;
	return 0;
}

static int no_key(void *ctx, struct sc_space_key *ret, struct sc_err *err)
{
	(void)ctx;
	(void)ret;
	return sc_err_set(err, SC_ER_CLONE_ENCRYPTION, "the keyring is gone");
}

static void follows_switches(void **state)
{
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = NULL;
	struct sc_err err = SC_ERR_INIT;
	uint64_t at = FX_START, end = FX_START + 100 * 512 + 77, lsn;
	uint8_t want[512], got[512];
	struct redo_fixture fx;
	struct sc_redo_run run;
	int asked = 0, rc = 1;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	redo_fixture_write_to(&fx, end);
	encrypt_log(&fx, FX_START, end);
	assert_int_equal(sc_redo_follow_open(fx.dirfd, FX_START, &f, &err), 0);
	sc_redo_follow_set_key(f, give_key, &asked);
	/* Nothing new is there only at the end, not where a key is needed. */
	while (rc) {
		rc = sc_redo_follow_read(f, buf, sizeof(buf), &run, &err);
		if (rc < 0)
			fail_msg("%s", err.msg);
		for (size_t i = 0; rc && i < run.len; i += 512, at += 512) {
			redo_fixture_block(&fx, at, end, want);
			assert_int_equal(
				sc_redo_cipher_judge(sc_redo_follow_cipher(f),
						     buf + i, at, NULL, got),
				SC_REDO_FULL);
			assert_memory_equal(got, want, 512);
			/* Handed on as it lies on disk. */
			assert_int_equal(buf[i + 4] >> 7, is_encrypted(at));
		}
	}
	assert_int_equal(at, sc_redo_align(end));
	assert_int_equal(sc_redo_follow_lsn(f), end);
	assert_int_equal(sc_redo_follow_partial(f, got, &lsn), 1);
	assert_int_equal(lsn, at);
	assert_int_equal(asked, 1);
	redo_fixture_close(&fx);
}

static void without_a_key(void **state)
{
	struct sc_redo_run run;
	struct redo_fixture fx;

	(void)state;
	redo_fixture_open(&fx, FILE_SIZE);
	redo_fixture_write_to(&fx, FX_START + 20 * 512);
	encrypt_log(&fx, FX_START, FX_START + 20 * 512);
	for (int ask = 0; ask < 2; ask++) {
		CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = NULL;
		struct sc_err err = SC_ERR_INIT;
		int rc = 0;

		assert_int_equal(
			sc_redo_follow_open(fx.dirfd, FX_START, &f, &err), 0);
		if (ask)
			sc_redo_follow_set_key(f, no_key, NULL);
		for (int i = 0; i < 4 && rc >= 0; i++)
			rc = sc_redo_follow_read(f, buf, sizeof(buf), &run,
						 &err);
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, SC_ER_CLONE_ENCRYPTION);
		assert_non_null(strstr(err.msg, ask ? "the keyring is gone"
						    : "is not known"));
	}
	redo_fixture_close(&fx);
}

/* ---- building and checking ----------------------------------------------- */

struct built {
	char dir[64];
	int dirfd;
	struct sc_redo_check_key check;
	uint8_t block[512];
	struct sc_err err;
};

/* 0, or -1 with b->err. */
static int build(struct built *b, uint64_t end, bool with_key)
{
	struct sc_redo_build_params params = { .uuid = FX_UUID,
					       .creator = "MySQL 9.7.4",
					       .checkpoint_lsn = C,
					       .page_size = 16384,
					       .max_file_size = FILE_SIZE,
					       .uid = (uid_t)-1,
					       .gid = (gid_t)-1 };
	CLEANUP_CIPHER struct sc_redo_cipher *c = sc_redo_cipher_new(&key);
	CLEANUP_REDO_BUILD struct sc_redo_build *rb = NULL;
	static const struct redo_fixture bytes;
	uint8_t plain[512], block[512];

	*b = (struct built){ .check = { .key = key } };
	memcpy(b->block + SC_KEY_INFO_REDO, encrypted_redo_info,
	       sizeof(encrypted_redo_info));
	b->check.block = b->block;
	b->dirfd = redo_fixture_mkdir(b->dir);
	if (sc_redo_build_open(b->dirfd, &params, &rb, &b->err))
		return -1;
	/* The donor had written more than E. */
	for (uint64_t lsn = FX_START; lsn < end; lsn += 512) {
		redo_fixture_block(&bytes, lsn, end + 40, plain);
		memcpy(block, plain, 512);
		if (is_encrypted(lsn))
			assert_int_equal(sc_redo_cipher_seal(c, plain, block),
					 0);
		if (sc_redo_build_append(rb, lsn, block, 512, &b->err))
			return -1;
	}
	if (with_key && sc_redo_build_set_key(rb, &key, &b->err))
		return -1;
	sc_redo_build_set_encryption(rb, b->block);
	return sc_redo_build_finish(rb, end, &b->err);
}

static void drop(struct built *b)
{
	redo_fixture_rmdir(b->dir, b->dirfd);
}

static void builds_and_checks(void **state)
{
	struct built b;

	(void)state;
	/* The last block plain, encrypted, full, and in the second file. */
	for (unsigned blocks = 12; blocks < 200; blocks += 41) {
		for (unsigned used = 0; used <= 507; used += 169) {
			uint64_t end =
				FX_START + blocks * 512 + SC_MAX(used, 12u);

			if (build(&b, end, true) ||
			    sc_redo_check(b.dirfd, C, end, &b.check, &b.err))
				fail_msg("%s", b.err.msg);
			drop(&b);
		}
	}
}

static void built_without_a_key(void **state)
{
	uint64_t encrypted_end = FX_START + 8 * 512 + 100;
	struct built b;

	(void)state;
	assert_true(is_encrypted(encrypted_end));
	assert_int_equal(build(&b, encrypted_end, false), -1);
	assert_non_null(strstr(b.err.msg, "the key of the log is not known"));
	drop(&b);
	/* Ends in a plain block: built, but it cannot be checked. */
	assert_int_equal(build(&b, FX_START + 20 * 512 + 100, false), 0);
	assert_int_equal(sc_redo_check(b.dirfd, C, FX_START + 20 * 512 + 100,
				       NULL, &b.err),
			 -1);
	assert_non_null(strstr(b.err.msg, "its key is not known"));
	drop(&b);
}

static void flip(const struct built *b, off_t off)
{
	int fd = openat(b->dirfd, "#ib_redo0", O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0 && pread(fd, &byte, 1, off) == 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, off), 1);
	close(fd);
}

/* What the server would refuse, the check refuses. */
static void damage_is_found(void **state)
{
	static const struct {
		off_t off;
		const char *text;
	} cases[] = {
		{ SC_REDO_ENCRYPTION + 60, "lacks the key of the log" },
		{ 2048 + 9 * 512 + 200, "instead of" },
		{ 2048 + 9 * 512 + 511, "instead of" },
		{ 2048 + 9 * 512 + 4, "instead of" }, /* the bit */
	};
	uint64_t end = FX_START + 30 * 512 + 200;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct built b;

		assert_int_equal(build(&b, end, true), 0);
		flip(&b, cases[i].off);
		assert_int_equal(
			sc_redo_check(b.dirfd, C, end, &b.check, &b.err), -1);
		if (!strstr(b.err.msg, cases[i].text))
			fail_msg("case %zu: %s", i, b.err.msg);
		drop(&b);
	}
}

static void wrong_key_is_found(void **state)
{
	uint64_t end = FX_START + 30 * 512 + 200;
	struct built b;

	(void)state;
	assert_int_equal(build(&b, end, true), 0);
	b.check.key.key[5] ^= 1;
	assert_int_equal(sc_redo_check(b.dirfd, C, end, &b.check, &b.err), -1);
	drop(&b);
}

/* ---- keys named in the redo ---------------------------------------------- */

struct seen {
	unsigned n;
	uint32_t space;
	uint8_t info[SC_KEY_INFO_MAX];
};

static int note(void *ctx, uint32_t space, const uint8_t *info,
		struct sc_err *err)
{
	struct seen *s = ctx;

	(void)err;
	s->n++;
	s->space = space;
	memcpy(s->info, info, SC_KEY_INFO_MAX);
	return 0;
}

/* A stream of payload with the record at byte `at`, in blocks. */
static void scan(const uint8_t *record, size_t len, size_t at,
		 struct seen *seen)
{
	struct sc_redo_keyscan s = { 0 };
	struct sc_err err = SC_ERR_INIT;
	uint8_t stream[3 * 496], block[512];

	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i % 7 ? 'l' : 'C');
	memcpy(stream + at, record, len);
	*seen = (struct seen){ 0 };
	for (size_t i = 0; i < 3; i++) {
		memcpy(block + 12, stream + i * 496, 496);
		sc_redo_block_seal(block, 8192 + 512 * i, 512, 12);
		assert_int_equal(
			sc_redo_keyscan_block(&s, block, note, seen, &err), 0);
	}
}

static void keys_in_the_redo(void **state)
{
	/* Compressed space ids as the server writes them, by hand from
	 * mach_write_compressed(); the last is an undo tablespace's. */
	static const struct {
		uint32_t id;
		uint8_t bytes[5], len;
	} spaces[] = {
		{ 5, { 5 }, 1 },
		{ 0x1234, { 0x92, 0x34 }, 2 },
		{ 0x12345, { 0xc1, 0x23, 0x45 }, 3 },
		{ 0x1234567, { 0xe1, 0x23, 0x45, 0x67 }, 4 },
		{ 0x12345678, { 0xf0, 0x12, 0x34, 0x56, 0x78 }, 5 },
		{ 0xfffe1234, { 0xfc, 0x12, 0x34 }, 3 },
		{ 0xff123456, { 0xfe, 0x12, 0x34, 0x56 }, 4 },
		{ 0xffffffef, { 0xfb, 0xef }, 2 },
	};
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(spaces); i++) {
		uint8_t record[200] = { 30 }, *p = record + 1;
		size_t len;

		memcpy(p, spaces[i].bytes, spaces[i].len);
		p += spaces[i].len;
		*p++ = 0;
		sc_store_be16(p, 10390);
		sc_store_be16(p + 2, SC_KEY_INFO_SIZE);
		memcpy(p + 4, encrypted_redo_info, SC_KEY_INFO_SIZE);
		len = (size_t)(p + 4 + SC_KEY_INFO_SIZE - record);
		/* In one block, and over the border between two. */
		for (size_t at = 0; at + len <= 2 * 496; at += 13) {
			scan(record, len, at + 11, &seen);
			assert_int_equal(seen.n, 1);
			assert_int_equal(seen.space, spaces[i].id);
			assert_memory_equal(seen.info, encrypted_redo_info,
					    SC_KEY_INFO_SIZE);
		}
		record[0] |= 0x80; /* alone in its mini-transaction */
		scan(record, len, 300, &seen);
		assert_int_equal(seen.n, 1);
	}
}

static void no_keys_in_the_redo(void **state)
{
	uint8_t record[200] = { 30, 5, 0, 0x28, 0x96, 0, SC_KEY_INFO_SIZE };
	const size_t len = 7 + SC_KEY_INFO_SIZE;
	struct seen seen;

	(void)state;
	memcpy(record + 7, encrypted_redo_info, SC_KEY_INFO_SIZE);
	scan(record, len, 100, &seen);
	assert_int_equal(seen.n, 1);
	for (size_t i = 0; i < 10; i++) {
		if (i == 1 || i == 3 || i == 4)
			continue; /* space id and offset may be anything */
		record[i] ^= 0x10;
		scan(record, len, 100, &seen);
		assert_int_equal(seen.n, 0);
		record[i] ^= 0x10;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_of_a_server),
		cmocka_unit_test(damage_shows),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(follows_switches),
		cmocka_unit_test(without_a_key),
		cmocka_unit_test(builds_and_checks),
		cmocka_unit_test(built_without_a_key),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(wrong_key_is_found),
		cmocka_unit_test(keys_in_the_redo),
		cmocka_unit_test(no_keys_in_the_redo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
