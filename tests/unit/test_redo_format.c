/* SPDX-License-Identifier: GPL-2.0-only */
/* Redo headers, slots and blocks: encoding, judging, cutting. */
#include "io/redo/files.h"
#include "io/redo/format.h"
#include "tests/unit/redo_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct redo_fixture no_files = { .seed = 7 };

static void header_round_trip(void **state)
{
	struct sc_redo_header in = { .format = 6,
				     .uuid = 0x12345678,
				     .start_lsn = 0x1122334455667800,
				     .creator = "MySQL 9.7.4",
				     .flags = SC_REDO_FILE_FULL };
	struct sc_redo_header out;
	uint8_t block[512];

	(void)state;
	sc_redo_header_encode(&in, block);
	assert_int_equal(sc_redo_header_parse(block, &out), 0);
	assert_int_equal(out.format, in.format);
	assert_int_equal(out.uuid, in.uuid);
	assert_int_equal(out.start_lsn, in.start_lsn);
	assert_string_equal(out.creator, in.creator);
	assert_int_equal(out.flags, in.flags);
	/* The places named in log0constants.h. */
	assert_int_equal(sc_load_be32(block), 6);
	assert_int_equal(sc_load_be32(block + 4), 0x12345678);
	assert_int_equal(sc_load_be64(block + 8), 0x1122334455667800);
	assert_string_equal((char *)block + 16, "MySQL 9.7.4");
	assert_int_equal(sc_load_be32(block + 48), 8);
	for (int bit = 0; bit < 512 * 8; bit++) {
		block[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(sc_redo_header_parse(block, &out), -EBADMSG);
		block[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* A creator of full length has no NUL on disk. */
static void creator_without_nul(void **state)
{
	struct sc_redo_header in = { .format = 6 }, out;
	uint8_t block[512];

	(void)state;
	memset(in.creator, 'x', 31);
	sc_redo_header_encode(&in, block);
	assert_int_equal(block[47], 0);
	block[47] = 'y'; /* what lies behind does not belong to it */
	sc_redo_header_parse(block, &out);
	assert_int_equal(strlen(out.creator), 31);
}

static void slot_round_trip(void **state)
{
	uint8_t block[512];
	uint64_t lsn;

	(void)state;
	sc_redo_slot_encode(184610079, block);
	assert_int_equal(sc_redo_slot_parse(block, &lsn), 0);
	assert_int_equal(lsn, 184610079);
	block[300] ^= 1;
	assert_int_equal(sc_redo_slot_parse(block, &lsn), -EBADMSG);
	memset(block, 0, sizeof(block));
	assert_false(sc_redo_encryption_present(block));
	block[511] = 1;
	assert_true(sc_redo_encryption_present(block));
}

static void numbers_and_epochs(void **state)
{
	static const struct {
		uint64_t lsn;
		uint32_t number, epoch;
	} cases[] = {
		{ 0, 1, 1 },
		{ 511, 1, 1 },
		{ 512, 2, 1 },
		{ 8192, 17, 1 },
		{ (1ull << 39) - 512, 1 << 30, 1 },
		{ 1ull << 39, 1, 2 },
		{ (5ull << 39) + 1024, 3, 6 },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		assert_int_equal(sc_redo_block_number(cases[i].lsn),
				 cases[i].number);
		assert_int_equal(sc_redo_block_epoch(cases[i].lsn),
				 cases[i].epoch);
	}
}

static void verdicts(void **state)
{
	struct redo_fixture fx = no_files;
	struct sc_redo_block b;
	uint8_t block[512];

	(void)state;
	redo_fixture_block(&fx, 51200, 60000, block);
	assert_int_equal(sc_redo_block_judge(block, 51200, &b), SC_REDO_FULL);
	assert_int_equal(b.data_len, 512);
	assert_int_equal(sc_redo_block_judge(block, 51712, NULL),
			 SC_REDO_FOREIGN);
	/* The same number one epoch later. */
	assert_int_equal(sc_redo_block_judge(block, 51200 + (1ull << 39), NULL),
			 SC_REDO_FOREIGN);
	redo_fixture_block(&fx, 51200, 51300, block);
	assert_int_equal(sc_redo_block_judge(block, 51200, &b),
			 SC_REDO_PARTIAL);
	assert_int_equal(b.data_len, 100);
	block[508] ^= 1;
	assert_int_equal(sc_redo_block_judge(block, 51200, NULL), SC_REDO_TORN);
	sc_store_be32(block + 508, 0xdeadbeef);
	assert_int_equal(sc_redo_block_judge(block, 51200, NULL),
			 SC_REDO_UNSUMMED);
	fx.encrypt = true;
	redo_fixture_block(&fx, 51200, 51300, block);
	assert_int_equal(sc_redo_block_judge(block, 51200, &b),
			 SC_REDO_ENCRYPTED);
	assert_true(b.encrypted);
	assert_int_equal(b.data_len, 100);
	memset(block, 0, sizeof(block));
	assert_int_equal(sc_redo_block_judge(block, 51200, NULL),
			 SC_REDO_FOREIGN);
	sc_redo_block_seal(block, 51200, 11, 0);
	assert_int_equal(sc_redo_block_judge(block, 51200, NULL), SC_REDO_TORN);
	sc_redo_block_seal(block, 51200, 513, 0);
	assert_int_equal(sc_redo_block_judge(block, 51200, NULL), SC_REDO_TORN);
}

static void every_flipped_bit(void **state)
{
	uint8_t block[512];

	(void)state;
	redo_fixture_block(&no_files, 51200, 60000, block);
	for (int bit = 0; bit < 512 * 8; bit++) {
		bool flush_bit = bit == 7; /* top bit of the number: ignored */
		enum sc_redo_verdict v;

		block[bit / 8] ^= (uint8_t)(1 << bit % 8);
		v = sc_redo_block_judge(block, 51200, NULL);
		assert_int_not_equal(v, SC_REDO_FULL);
		assert_int_not_equal(v, SC_REDO_PARTIAL);
		if (flush_bit)
			assert_int_equal(v, SC_REDO_TORN);
		block[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* A full block cut at every end is what the server would have written then. */
static void cut_everywhere(void **state)
{
	const uint64_t lsn = 512 * 1031; /* first record group at 12 + 217 */
	uint8_t block[512], want[512];

	(void)state;
	for (uint64_t end = lsn + 12; end <= lsn + 512; end++) {
		redo_fixture_block(&no_files, lsn, lsn + 512, block);
		redo_fixture_block(&no_files, lsn, end, want);
		assert_int_equal(sc_redo_block_cut(block, lsn, end), 0);
		if (end % 512 < 509)
			assert_memory_equal(block, want, 512);
		assert_int_equal(sc_redo_block_judge(block, lsn, NULL),
				 end % 512 ? SC_REDO_PARTIAL : SC_REDO_FULL);
	}
}

static void cut_refused(void **state)
{
	const uint64_t lsn = 51200;
	uint8_t block[512];

	(void)state;
	redo_fixture_block(&no_files, lsn, lsn + 100, block);
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn + 11), -ERANGE);
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn), -ERANGE);
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn - 512), -ERANGE);
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn + 513), -ERANGE);
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn + 101), -ERANGE);
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn + 100), 0);
	assert_int_equal(sc_redo_block_cut(block, lsn + 512, lsn + 600),
			 -EINVAL);
	block[40] ^= 1;
	assert_int_equal(sc_redo_block_cut(block, lsn, lsn + 50), -EINVAL);
}

static void empty_block(void **state)
{
	uint8_t block[512];
	struct sc_redo_block b;

	(void)state;
	sc_redo_block_empty(block, 51200);
	assert_int_equal(sc_redo_block_judge(block, 51200, &b),
			 SC_REDO_PARTIAL);
	assert_int_equal(b.data_len, 12);
	assert_int_equal(b.first_rec_group, 12);
}

static void lsns(void **state)
{
	(void)state;
	assert_true(sc_redo_lsn_valid(51200));
	assert_false(sc_redo_lsn_valid(51201));
	assert_false(sc_redo_lsn_valid(51211));
	assert_true(sc_redo_lsn_valid(51212));
	assert_true(sc_redo_lsn_valid(51711));
	assert_false(sc_redo_lsn_valid(0));
	assert_int_equal(sc_redo_normal_lsn(51200), 51212);
	assert_int_equal(sc_redo_normal_lsn(51213), 51213);
}

static void file_names(void **state)
{
	static const struct {
		const char *name;
		int want;
		uint64_t id;
	} cases[] = {
		{ "#ib_redo0", 0, 0 },
		{ "#ib_redo1234567", 0, 1234567 },
		{ "#ib_redo18446744073709551615", 0, UINT64_MAX },
		{ "#ib_redo7_tmp", 1, 7 },
		{ "#ib_redo", -1, 0 },
		{ "#ib_redo_tmp", -1, 0 },
		{ "#ib_redo7x", -1, 0 },
		{ "#ib_redo-1", -1, 0 },
		{ "#ib_redo 1", -1, 0 },
		{ "#ib_redo18446744073709551616", -1, 0 },
		{ "ib_logfile0", -1, 0 },
		{ "", -1, 0 },
	};
	char name[SC_REDO_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		uint64_t id = 0;

		assert_int_equal(sc_redo_file_name_parse(cases[i].name, &id),
				 cases[i].want);
		if (cases[i].want < 0)
			continue;
		assert_int_equal(id, cases[i].id);
	}
	sc_redo_file_name(UINT64_MAX, name);
	assert_string_equal(name, "#ib_redo18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_round_trip),
		cmocka_unit_test(creator_without_nul),
		cmocka_unit_test(slot_round_trip),
		cmocka_unit_test(numbers_and_epochs),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(every_flipped_bit),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(cut_refused),
		cmocka_unit_test(empty_block),
		cmocka_unit_test(lsns),
		cmocka_unit_test(file_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
