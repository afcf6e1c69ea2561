/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Images of devices, as far as they can be tested without device-mapper: which
 * tables may be doubled, what status texts mean, how large an area is taken,
 * and what lies under what, in a sysfs of our own. The rest is in tests/dm.
 */
#include "daemon/dm_cow.h"
#include "daemon/dm_origin.h"
#include "daemon/dm_sysfs.h"
#include "daemon/dm_table.h"
#include "daemon/dm_watch.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

static struct sc_dm_table one(const char *type, const char *params)
{
	struct sc_dm_table table = { 0 };
	struct sc_err err = SC_ERR_INIT;

	assert_int_equal(
		sc_dm_table_one(&table, 2048, type, &err, "%s", params), 0);
	return table;
}

static void test_only_stateless_targets_are_doubled(void **state)
{
	static const struct {
		const char *type, *params, *why; /* NULL: may be doubled */
	} cases[] = {
		{ "linear", "8:1 0", NULL },
		{ "striped", "2 128 8:1 0 8:2 0", NULL },
		{ "crypt", "aes-xts-plain64 00ff 0 8:1 0", NULL },
		{ "crypt", "aes-xts-plain64 :64:logon:x 0 8:1 0",
		  "--disable-keyring" },
		{ "crypt", "aes 00 0 8:1 0 1 integrity:28:aead", "integrity" },
		{ "thin", "253:1 1", "pool" },
		{ "thin-pool", "253:1 253:2 128 0", "pool" },
		{ "cache", "", "cache" },
		{ "writecache", "", "cache" },
		{ "raid", "", "array" },
		{ "snapshot-origin", "253:1", "snapshot already" },
		{ "snapshot", "253:1 253:2 P 8", "snapshot itself" },
		{ "multipath", "", "logical volume" },
		{ "zero", "", "not known" },
		{ "flakey", "8:1 0 1 1", "not known" }, /* tests only */
		{ "line", "", "not known" },
		{ "linear2", "", "not known" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		CLEANUP_DM_TABLE struct sc_dm_table table =
			one(cases[i].type, cases[i].params);
		struct sc_err err = SC_ERR_INIT;
		int rc = sc_dm_table_copyable(&table, "vol", &err);

		if (rc != (cases[i].why ? -1 : 0) ||
		    (cases[i].why && !strstr(err.msg, cases[i].why)))
			fail_msg("%s %s: %d, %s", cases[i].type,
				 cases[i].params, rc, err.msg);
		if (rc < 0)
			assert_non_null(strstr(err.msg, "vol"));
	}
}

static void test_every_target_of_a_table_counts(void **state)
{
	CLEANUP_DM_TABLE struct sc_dm_table table = one("linear", "8:1 0");
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	assert_int_equal(
		sc_dm_table_add(&table, 2048, 100, "thin", "253:0 1", &err), 0);
	assert_int_equal(sc_dm_table_copyable(&table, "vol", &err), -1);
	assert_int_equal(sc_dm_table_sectors(&table), 2148);
	sc_dm_table_free(&table);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_dm_table_copyable(&table, "vol", &err), -1);
}

static void test_tables_are_recognised(void **state)
{
	CLEANUP_DM_TABLE struct sc_dm_table a = one("snapshot-origin", "254:1"),
					    b = one("snapshot-origin",
						    "254:12"),
					    c = one("snapshot",
						    "254:1 254:2 N 64"),
					    d = one("linear", "254:1 0");

	(void)state;
	assert_true(sc_dm_table_is_origin(&a, makedev(254, 1)));
	assert_false(sc_dm_table_is_origin(&b, makedev(254, 1)));
	assert_false(sc_dm_table_is_origin(&c, makedev(254, 1)));
	assert_false(sc_dm_table_is_origin(&d, makedev(254, 1)));
	assert_false(sc_dm_table_is_origin(&a, 0));
	assert_true(sc_dm_table_uses(&c, "snapshot", makedev(254, 1)));
	assert_false(sc_dm_table_uses(&c, "snapshot", makedev(254, 2)));
	assert_true(sc_dm_table_equal(&a, &a));
	assert_false(sc_dm_table_equal(&a, &b));
	assert_false(sc_dm_table_equal(&a, &d));
}

static void test_fill(void **state)
{
	struct sc_dm_fill fill;

	(void)state;
	assert_int_equal(sc_dm_fill_parse("16/2048 16", &fill), 0);
	assert_true(fill.valid && fill.used == 8192 && fill.total == 1 << 20);
	assert_int_equal(sc_dm_fill_parse("Invalid", &fill), 0);
	assert_false(fill.valid);
	assert_int_equal(sc_dm_fill_parse("Overflow", &fill), 0);
	assert_false(fill.valid);
	assert_int_equal(sc_dm_fill_parse("", &fill), -1);
	assert_int_equal(sc_dm_fill_parse("2049/2048 16", &fill), -1);
	assert_int_equal(sc_dm_fill_parse("0/0 0", &fill), -1);
	assert_int_equal(sc_dm_fill_parse("nonsense", &fill), -1);
}

/* The cipher and key size of the origin, a key of its own each time. */
static void test_random_crypt(void **state)
{
	CLEANUP_DM_TABLE struct sc_dm_table like = one(
		"crypt",
		"aes-cbc-essiv:sha256 00112233445566778899aabbccddeeff 0 8:1 0");
	struct sc_dm_table a, b, c;
	struct sc_err err = SC_ERR_INIT;
	dev_t lower = makedev(7, 3);

	(void)state;
	assert_int_equal(
		sc_dm_table_random_crypt(&a, &like, lower, 2048, 100, &err), 0);
	assert_int_equal(
		sc_dm_table_random_crypt(&b, &like, lower, 2048, 100, &err), 0);
	assert_int_equal(
		sc_dm_table_random_crypt(&c, NULL, lower, 0, 100, &err), 0);
	assert_int_equal(strlen(a.targets[0].params),
			 strlen("aes-cbc-essiv:sha256 ") + 32 +
				 strlen(" 0 7:3 2048"));
	assert_non_null(strstr(a.targets[0].params, " 0 7:3 2048"));
	assert_false(sc_dm_table_equal(&a, &b));
	assert_null(strstr(a.targets[0].params, "0011223344"));
	assert_int_equal(strlen(c.targets[0].params),
			 strlen("aes-xts-plain64 ") + 128 + strlen(" 0 7:3 0"));
	sc_dm_table_free(&a);
	sc_dm_table_free(&b);
	sc_dm_table_free(&c);
}

static void test_area_size(void **state)
{
	const uint32_t chunk = 64 * SC_KIB;

	(void)state;
	/* Never more than every chunk once. */
	assert_int_equal(
		sc_dm_cow_want(100 * SC_MIB, SC_MIB, UINT64_MAX / 4, chunk),
		sc_dm_cow_most(100 * SC_MIB, chunk));
	assert_int_equal(sc_dm_cow_want(100 * SC_MIB, SC_MIB, 0, chunk),
			 sc_dm_cow_most(100 * SC_MIB, chunk));
	/* An idle donor of 1 TiB: the least. */
	assert_int_equal(sc_dm_cow_want(1024 * SC_GIB, SC_GIB, 0, chunk),
			 SC_GIB);
	/* 100 GiB take 1024 s and 60; at 10 MiB/s, twice. */
	assert_int_equal(
		sc_dm_cow_want(1024 * SC_GIB, 100 * SC_GIB, 10 * SC_MIB, chunk),
		2 * 10 * SC_MIB * (1024 + 60));
}

/* 1 MiB per 100 ms from 10 MiB on, of 100 MiB. */
static void test_forecast(void **state)
{
	struct sc_dm_forecast f = { .n = 0 };
	struct sc_dm_fill fill = { .valid = true,
				   .used = 10 * SC_MIB,
				   .total = 100 * SC_MIB };
	uint64_t ms = 1000, seconds = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		seconds = sc_dm_forecast_add(&f, ms, &fill);
		/* A moment is no forecast. */
		assert_int_equal(seconds == UINT64_MAX,
				 i * SC_DM_WATCH_MS < SC_DM_FORECAST_MS);
		fill.used += SC_MIB;
		ms += SC_DM_WATCH_MS;
	}
	assert_in_range(seconds, 3, 4); /* 41 MiB left */
	for (int i = 0; i < SC_DM_SAMPLES + 1; i++) {
		seconds = sc_dm_forecast_add(&f, ms, &fill);
		ms += SC_DM_WATCH_MS;
	}
	assert_int_equal(seconds, UINT64_MAX); /* at rest */
}

static void test_devices_besides_the_main_one(void **state)
{
	char buf[64];

	(void)state;
	assert_null(sc_dm_second_device("rw,attr2,inode64,noquota\n", buf,
					sizeof(buf)));
	assert_null(sc_dm_second_device("", buf, sizeof(buf)));
	assert_null(sc_dm_second_device("\n", buf, sizeof(buf)));
	assert_string_equal(sc_dm_second_device("rw,logdev=/dev/sdb1,noquota\n",
						buf, sizeof(buf)),
			    "/dev/sdb1");
	assert_string_equal(
		sc_dm_second_device("rw,rtdev=/dev/sdc\n", buf, sizeof(buf)),
		"/dev/sdc");
	assert_null(
		sc_dm_second_device("rw,nologdev=/dev/x\n", buf, sizeof(buf)));
}

static void test_ext4_journal(void **state)
{
	uint8_t head[SC_EXT4_HEAD_SIZE] = { 0 };

	(void)state;
	assert_false(sc_ext4_journal_elsewhere(head)); /* ext2: none */
	sc_store_le32(head + 1024 + 0x5c, 0x4);
	assert_true(sc_ext4_journal_elsewhere(head));
	sc_store_le32(head + 1024 + 0xe0, 8);
	assert_false(sc_ext4_journal_elsewhere(head));
	assert_false(sc_ext4_needs_recovery(head));
	sc_store_le32(head + 1024 + 0x60, 0x4);
	assert_true(sc_ext4_needs_recovery(head));
	sc_store_le32(head + 1024 + 0x18, 2);
	assert_int_equal(sc_dm_fs_block("ext4", head), 4096);
	sc_store_be16(head + 102, 512);
	assert_int_equal(sc_dm_fs_block("xfs", head), 512);
}

/* ---- sysfs ----------------------------------------------------------------
 */

static struct dir_fixture sys;

static void put(const char *path, const char *text)
{
	dir_fixture_put(sys.fd, path, text, strlen(text));
}

/* 253:0 stands on 253:1 and md 9:0; 253:1 on the partition 8:1 of 8:0;
 * 9:0 on 8:16. 253:9 stands on itself. */
static int make_sys(void **state)
{
	(void)state;
	dir_fixture_open(&sys);
	put("253:0/slaves/dm-1/dev", "253:1\n");
	put("253:0/slaves/md0/dev", "9:0\n");
	put("253:0/dm/name", "vg-data\n");
	put("253:0/dm/uuid", "LVM-abc\n");
	put("253:0/uevent", "MAJOR=253\nDEVNAME=dm-0\nDEVTYPE=disk\n");
	put("253:0/stat", "  1 2 3 4 5 6 2048 8 9 10 11\n");
	put("253:1/dm/uuid", "CRYPT-LUKS2-x\n");
	put("253:1/slaves/sda1/dev", "8:1\n");
	put("9:0/slaves/sdb/dev", "8:16\n");
	put("8:16/size", "1\n");
	put("sda/dev", "8:0\n");
	put("sda/sda1/partition", "1\n");
	put("8:0/size", "1\n");
	put("253:9/slaves/dm-9/dev", "253:9\n");
	put("253:8/slaves/loop/dev", "0:44\n");
	return symlinkat("sda/sda1", sys.fd, "8:1");
}

static int drop_sys(void **state)
{
	(void)state;
	dir_fixture_close(&sys);
	return 0;
}

static void test_layers(void **state)
{
	const dev_t top = makedev(253, 0);
	struct sc_err err = SC_ERR_INIT;

	(void)state;
	assert_int_equal(sc_sys_stands_on(sys.fd, top, top, &err), 1);
	assert_int_equal(sc_sys_stands_on(sys.fd, top, makedev(8, 0), &err), 1);
	assert_int_equal(sc_sys_stands_on(sys.fd, top, makedev(8, 16), &err),
			 1);
	assert_int_equal(sc_sys_stands_on(sys.fd, top, makedev(8, 32), &err),
			 0);
	assert_int_equal(sc_sys_stands_on(sys.fd, makedev(8, 16), top, &err),
			 0);
	assert_int_equal(sc_sys_encrypted(sys.fd, top, &err), 1);
	assert_int_equal(sc_sys_encrypted(sys.fd, makedev(9, 0), &err), 0);
	assert_false(sc_err_is_set(&err));
	/* Rings end, and what cannot be seen through is an error. */
	assert_int_equal(sc_sys_stands_on(sys.fd, makedev(253, 9), top, &err),
			 -1);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_sys_stands_on(sys.fd, makedev(253, 8), top, &err),
			 -1);
}

static void test_attributes(void **state)
{
	const dev_t top = makedev(253, 0);
	char buf[64];

	(void)state;
	assert_int_equal(sc_sys_get(sys.fd, top, "dm/name", buf, sizeof(buf)),
			 7);
	assert_string_equal(buf, "vg-data");
	assert_true(sc_sys_get(sys.fd, top, "dm/name", buf, 7) < 0);
	assert_true(sc_sys_get(sys.fd, top, "dm/none", buf, sizeof(buf)) < 0);
	assert_int_equal(sc_sys_written(sys.fd, top), 2048 * 512);
	assert_int_equal(sc_sys_written(sys.fd, makedev(8, 16)), 0);
	assert_string_equal(sc_sys_name(sys.fd, top, buf, sizeof(buf)),
			    "dm-0 (vg-data)");
	assert_string_equal(
		sc_sys_name(sys.fd, makedev(8, 16), buf, sizeof(buf)), "8:16");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_stateless_targets_are_doubled),
		cmocka_unit_test(test_every_target_of_a_table_counts),
		cmocka_unit_test(test_tables_are_recognised),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_random_crypt),
		cmocka_unit_test(test_area_size),
		cmocka_unit_test(test_forecast),
		cmocka_unit_test(test_devices_besides_the_main_one),
		cmocka_unit_test(test_ext4_journal),
		cmocka_unit_test_setup_teardown(test_layers, make_sys,
						drop_sys),
		cmocka_unit_test_setup_teardown(test_attributes, make_sys,
						drop_sys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
