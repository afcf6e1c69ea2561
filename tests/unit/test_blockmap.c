/* SPDX-License-Identifier: GPL-2.0-only */
/* Which blocks of a chunk travel, and that they end where they were. */
#include "io/blockmap.h"

#include "io/base/num.h"
#include "io/squeeze.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t chunk[SC_CHUNK_SIZE], before[SC_CHUNK_SIZE];
static unsigned seed = 1;

static unsigned next_random(void)
{
	/* Marsaglia's xorshift: no short periods that zstd would find. */
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* Each block present with that chance, in percent; a present one has a single
 * byte that is not zero, anywhere. */
static void fill(uint32_t len, unsigned percent)
{
	memset(chunk, 0, sizeof(chunk));
	for (uint32_t at = 0; at < len; at += SC_BLOCK_SIZE) {
		uint32_t n = SC_MIN(len - at, SC_BLOCK_SIZE);

		if (next_random() % 100 < percent)
			chunk[at + next_random() % n] = 1;
	}
	memcpy(before, chunk, sizeof(chunk));
}

static const uint32_t lengths[] = {
	1,     4095,	4096,	4097,	8192,	       65536,
	65537, 1 << 19, 999999, 920000, (1 << 20) - 1, 1 << 20,
};

/* Pack it, spoil what is behind, unpack it. */
static void travel(uint32_t len, uint32_t group)
{
	struct sc_blockmap map;
	uint32_t packed;

	sc_blockmap_find(&map, chunk, len, group);
	assert_true(sc_blockmap_ok(&map, len));
	packed = sc_blockmap_pack(&map, chunk, len);
	assert_int_equal(packed, sc_blockmap_bytes(&map, len));
	memset(chunk + packed, 0xee, len - packed);
	sc_blockmap_unpack(&map, chunk, len);
	assert_memory_equal(chunk, before, len);
}

static void packed_and_unpacked(void **state)
{
	static const unsigned percents[] = { 0, 3, 50, 97, 100 };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(lengths); i++) {
		for (size_t j = 0; j < SC_ARRAY_SIZE(percents); j++) {
			for (uint32_t group = 1; group <= 16; group *= 16) {
				fill(lengths[i], percents[j]);
				travel(lengths[i], group);
			}
		}
	}
}

static void all_or_nothing(void **state)
{
	struct sc_blockmap map;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(lengths); i++) {
		fill(lengths[i], 0);
		sc_blockmap_find(&map, chunk, lengths[i], 1);
		assert_int_equal(sc_blockmap_bytes(&map, lengths[i]), 0);
		fill(lengths[i], 100);
		sc_blockmap_find(&map, chunk, lengths[i], 1);
		assert_int_equal(sc_blockmap_bytes(&map, lengths[i]),
				 lengths[i]);
	}
}

/* One byte keeps its whole group. */
static void groups_stay_together(void **state)
{
	struct sc_blockmap map;
	uint32_t at = 0, len;

	(void)state;
	fill(SC_CHUNK_SIZE, 0);
	chunk[100000] = 1;
	sc_blockmap_find(&map, chunk, SC_CHUNK_SIZE, 16);
	assert_true(sc_blockmap_next(&map, SC_CHUNK_SIZE, &at, &len));
	assert_int_equal(at, 65536);
	assert_int_equal(len, 65536);
	at += len;
	assert_false(sc_blockmap_next(&map, SC_CHUNK_SIZE, &at, &len));
	at = 0;
	sc_blockmap_find(&map, chunk, 100001, 16);
	assert_true(sc_blockmap_next(&map, 100001, &at, &len));
	assert_int_equal(at + len, 100001);
}

static void map_beyond_the_end(void **state)
{
	struct sc_blockmap map = { { 0xff, 1 } };

	(void)state;
	assert_true(sc_blockmap_ok(&map, 8 * SC_BLOCK_SIZE + 1));
	assert_false(sc_blockmap_ok(&map, 8 * SC_BLOCK_SIZE));
}

/* ---- compression -----------------------------------------------------------
 */

static void squeezed_and_back(void **state)
{
	struct sc_squeeze *from = sc_squeeze_new(), *to = sc_squeeze_new();
	struct sc_err err = SC_ERR_INIT;
	const void *out;
	size_t n;

	(void)state;
	for (size_t i = 3; i < SC_ARRAY_SIZE(lengths); i++) {
		fill(lengths[i], 90);
		n = sc_squeeze(from, chunk, lengths[i], &out);
		assert_in_range(n, 1, lengths[i] / 8 * 7);
		memcpy(sc_unsqueeze_buffer(to), out, n);
		memset(chunk, 0xee, lengths[i]);
		assert_int_equal(sc_unsqueeze(to, n, chunk, lengths[i], &err),
				 0);
		assert_memory_equal(chunk, before, lengths[i]);
	}
	sc_squeeze_free(from);
	sc_squeeze_free(to);
}

/* Random bytes: tried less and less often, and taken up again. */
static void it_does_not_pay(void **state)
{
	struct sc_squeeze *sq = sc_squeeze_new();
	const void *out;
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)next_random();
	for (int i = 0; i < 100; i++)
		assert_int_equal(sc_squeeze(sq, chunk, sizeof(chunk), &out), 0);
	memset(chunk, 7, sizeof(chunk));
	while (!sc_squeeze(sq, chunk, sizeof(chunk), &out))
		assert_true(++tried <= 16);
	assert_true(tried > 0);
	assert_true(sc_squeeze(sq, chunk, sizeof(chunk), &out) > 0);
	sc_squeeze_free(sq);
}

/* Every length too short or too long, and damage. */
static void malformed_frames(void **state)
{
	struct sc_squeeze *from = sc_squeeze_new(), *to = sc_squeeze_new();
	const void *out;
	size_t n;

	(void)state;
	fill(100000, 100);
	n = sc_squeeze(from, chunk, 100000, &out);
	for (int i = 0; i < 4000; i++) {
		struct sc_err err = SC_ERR_INIT;
		uint8_t *in = sc_unsqueeze_buffer(to);
		size_t len = next_random() % 2 ? n : next_random() % n;
		size_t want =
			next_random() % 2 ? 100000 : next_random() % 200000;

		memcpy(in, out, n);
		if (len == n && want == 100000)
			in[next_random() % n] ^= (uint8_t)(1 << i % 8);
		/* Damage may go unnoticed here: the digest finds it. */
		if (sc_unsqueeze(to, len, chunk, want, &err) < 0)
			assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
		else
			assert_int_equal(want, 100000);
	}
	sc_squeeze_free(from);
	sc_squeeze_free(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packed_and_unpacked),
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test(groups_stay_together),
		cmocka_unit_test(map_beyond_the_end),
		cmocka_unit_test(squeezed_and_back),
		cmocka_unit_test(it_does_not_pay),
		cmocka_unit_test(malformed_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
