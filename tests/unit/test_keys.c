/* SPDX-License-Identifier: GPL-2.0-only */
/* Encryption information of a real server, of older formats, and damaged. */
#include "io/keys.h"
#include "io/base/num.h"
#include "tests/unit/encrypted_redo.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct sc_key_ref ref = { "0aab89ce-fa2b-11e8-b568-0800200c9a66",
				       7 };

static void fill(struct sc_space_key *key, uint8_t master[32])
{
	for (unsigned i = 0; i < 32; i++) {
		key->key[i] = (uint8_t)(i * 3);
		key->iv[i] = (uint8_t)(200 - i);
		master[i] = (uint8_t)(i ^ 0x5a);
	}
}

static int make(void **state)
{
	*state = sc_aes_new();
	return *state ? 0 : -1;
}

static int drop(void **state)
{
	sc_aes_free(*state);
	return 0;
}

static void a_server_s(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_key_info info;
	struct sc_space_key key;
	uint8_t again[SC_KEY_INFO_MAX];

	assert_int_equal(sc_key_info_parse(encrypted_redo_info, &info, &err),
			 1);
	assert_string_equal(info.master.uuid, ENCRYPTED_REDO_UUID);
	assert_int_equal(info.master.id, ENCRYPTED_REDO_ID);
	assert_int_equal(
		sc_key_info_unwrap(*state, &info, encrypted_redo_master, &key),
		0);
	assert_int_equal(sc_key_info_wrap(*state, &info.master,
					  encrypted_redo_master, &key, again),
			 0);
	assert_memory_equal(again, encrypted_redo_info, SC_KEY_INFO_SIZE);
}

static void another_master_key(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_key_info info;
	struct sc_space_key key;
	uint8_t wrong[32];

	sc_key_info_parse(encrypted_redo_info, &info, &err);
	for (unsigned bit = 0; bit < 256; bit++) {
		memcpy(wrong, encrypted_redo_master, 32);
		wrong[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(sc_key_info_unwrap(*state, &info, wrong, &key),
				 -EKEYREJECTED);
	}
}

static void built_in_key(void **state)
{
	static const struct sc_key_ref none = { "", 0 };
	struct sc_space_key key, got;
	uint8_t master[32], bytes[SC_KEY_INFO_MAX];
	struct sc_err err = SC_ERR_INIT;
	struct sc_key_info info;

	fill(&key, master);
	assert_int_equal(sc_key_info_wrap(*state, &none, NULL, &key, bytes), 0);
	assert_int_equal(sc_key_info_parse(bytes, &info, &err), 1);
	assert_int_equal(info.master.id, 0);
	assert_int_equal(sc_key_info_unwrap(*state, &info, NULL, &got), 0);
	assert_memory_equal(&got, &key, sizeof(key));
}

/* 5.7: "lCB", the id in four bytes or in eight. */
static void version_2(void **state)
{
	struct sc_space_key key, got;
	uint8_t master[32], bytes[SC_KEY_INFO_MAX];
	struct sc_err err = SC_ERR_INIT;
	struct sc_key_info info;

	fill(&key, master);
	assert_int_equal(sc_key_info_wrap(*state, &ref, master, &key, bytes),
			 0);
	bytes[2] = 'B';
	for (int wide = 0; wide < 2; wide++) {
		if (wide) {
			memmove(bytes + 11, bytes + 7, SC_KEY_INFO_MAX - 11);
			memset(bytes + 7, 0, 4);
		}
		assert_int_equal(sc_key_info_parse(bytes, &info, &err), 1);
		assert_true(sc_key_ref_equal(&info.master, &ref));
		assert_int_equal(
			sc_key_info_unwrap(*state, &info, master, &got), 0);
		assert_memory_equal(&got, &key, sizeof(key));
	}
}

static void nothing_there(void **state)
{
	uint8_t bytes[SC_KEY_INFO_MAX] = { 0 };
	struct sc_err err = SC_ERR_INIT;
	struct sc_key_info info;

	(void)state;
	assert_int_equal(sc_key_info_parse(bytes, &info, &err), 0);
	/* Erased: the server leaves the magic. */
	memcpy(bytes, "lCC", 3);
	assert_int_equal(sc_key_info_parse(bytes, &info, &err), 0);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(sc_key_info_parse(bytes, &info, &err), 0);
	assert_false(sc_err_is_set(&err));
}

static void refused(void **state)
{
	uint8_t bytes[SC_KEY_INFO_MAX];
	struct sc_err err = SC_ERR_INIT;
	struct sc_key_info info;

	(void)state;
	memcpy(bytes, encrypted_redo_info, sizeof(bytes));
	bytes[2] = 'A';
	assert_int_equal(sc_key_info_parse(bytes, &info, &err), -1);
	assert_int_equal(err.code, SC_ER_CLONE_ENCRYPTION);
	assert_non_null(strstr(err.msg, "ROTATE INNODB MASTER KEY"));
	err = (struct sc_err)SC_ERR_INIT;
	bytes[2] = 'C';
	bytes[7 + 8] = 'x';
	assert_int_equal(sc_key_info_parse(bytes, &info, &err), -1);
	assert_non_null(strstr(err.msg, "server uuid"));
}

/* Source of the numbers: the formula in fsp0fsp.cc, by hand; the one of 16 KiB
 * pages was seen on disk. */
static void offsets(void **state)
{
	(void)state;
	assert_int_equal(sc_key_info_offset(16384, 16384), 10390);
	assert_int_equal(sc_key_info_offset(4096, 4096), 150 + 88 * 16);
	assert_int_equal(sc_key_info_offset(8192, 8192), 150 + 56 * 64);
	assert_int_equal(sc_key_info_offset(32768, 32768), 150 + 40 * 512);
	assert_int_equal(sc_key_info_offset(65536, 65536), 150 + 40 * 1024);
	assert_int_equal(sc_key_info_offset(16384, 8192), 150 + 40 * 128);
	assert_int_equal(sc_key_info_offset(16384, 1024), 150 + 40 * 16);
	for (uint32_t size = 4096; size <= 65536; size *= 2) {
		for (uint32_t on_disk = 1024; on_disk <= size; on_disk *= 2)
			assert_true(sc_key_info_offset(size, on_disk) <
				    on_disk - SC_KEY_INFO_MAX);
	}
}

/* ---- lists --------------------------------------------------------------- */

static void lists(void **state)
{
	CLEANUP_KEYS struct sc_key_list list = { 0 }, got = { 0 };
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_master_key key = { .ref = ref };
	char name[SC_KEY_NAME_SIZE];
	struct sc_dec dec;

	(void)state;
	for (uint32_t i = 1; i <= 100; i++) {
		key.ref.id = i;
		memset(key.value, (int)i, sizeof(key.value));
		assert_int_equal(sc_key_list_add(&list, &key), 0);
	}
	sc_key_put_list(&enc, &list);
	assert_int_equal(enc.len, 4 + 100 * SC_KEY_BODY_SIZE);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_key_get_list(&dec, &got), 0);
	assert_int_equal(got.n, 100);
	key.ref.id = 42;
	assert_int_equal(sc_key_list_find(&got, &key.ref)->value[31], 42);
	key.ref.uuid[0] = 'f';
	assert_null(sc_key_list_find(&got, &key.ref));
	sc_key_name(&ref, name);
	assert_string_equal(name,
			    "INNODBKey-0aab89ce-fa2b-11e8-b568-0800200c9a66-7");
}

static void malformed_lists(void **state)
{
	struct sc_master_key key = { .ref = ref };
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_key_list one = { .keys = &key, .n = 1 };

	(void)state;
	sc_key_put_list(&enc, &one);
	for (size_t len = 0; len <= enc.len; len++) {
		CLEANUP_KEYS struct sc_key_list got = { 0 };
		struct sc_dec dec = sc_dec_init(enc.data, len);

		assert_int_equal(sc_key_get_list(&dec, &got),
				 len == enc.len ? 0 : -1);
	}
	enc.data[0] = 2;
	for (int i = 0; i < 3; i++) {
		CLEANUP_KEYS struct sc_key_list got = { 0 };
		struct sc_dec dec = sc_dec_init(enc.data, enc.len);

		assert_int_equal(sc_key_get_list(&dec, &got), -1);
		enc.data[0] = 1;
		enc.data[8 + i] = '/'; /* no uuid */
	}
}

static void references(void **state)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_key_ref got[2];
	struct sc_dec dec;
	size_t n = 2;

	(void)state;
	sc_key_put_refs(&enc, &ref, 1);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_key_get_refs(&dec, got, &n), 0);
	assert_int_equal(n, 1);
	assert_true(sc_key_ref_equal(&got[0], &ref));
	n = 0;
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_key_get_refs(&dec, got, &n), -1);
	memset(enc.data + enc.len - 4, 0, 4); /* id 0 */
	n = 2;
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_key_get_refs(&dec, got, &n), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_server_s, make, drop),
		cmocka_unit_test_setup_teardown(another_master_key, make, drop),
		cmocka_unit_test_setup_teardown(built_in_key, make, drop),
		cmocka_unit_test_setup_teardown(version_2, make, drop),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(refused),
		cmocka_unit_test(offsets),
		cmocka_unit_test(lists),
		cmocka_unit_test(malformed_lists),
		cmocka_unit_test(references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
