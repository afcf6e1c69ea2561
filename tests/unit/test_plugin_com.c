/* SPDX-License-Identifier: GPL-2.0-only */
/* The COM_CLONE dialogue: what is encoded comes back, what is malformed does
 * not pass. */
#include "plugin/com.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void hello_comes_back(void **state)
{
	struct sc_com_hello in = { 7, "0.1.0" }, out;
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_com_put_hello(&enc, &in);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_com_get_hello(&dec, &out), 0);
	assert_int_equal(out.version, 7);
	assert_string_equal(out.software, "0.1.0");
}

static void config_comes_back(void **state)
{
	CLEANUP_CONFIG struct sc_com_config in = { 0 }, out = { 0 };
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_list_add(&in.variables, "version");
	sc_list_add(&in.variables, "9.7.4");
	sc_list_add(&in.plugins, "clone");
	sc_list_add(&in.plugins, "");
	sc_list_add(&in.collations, "utf8mb4_bin");
	sc_com_put_config(&enc, &in);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_com_get_config(&dec, &out), 0);
	assert_int_equal(out.variables.count, 2);
	assert_string_equal(out.variables.items[1], "9.7.4");
	assert_string_equal(out.plugins.items[1], "");
	assert_string_equal(out.collations.items[0], "utf8mb4_bin");
}

static void odd_pairs_are_refused(void **state)
{
	CLEANUP_CONFIG struct sc_com_config in = { 0 }, out = { 0 };
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_list_add(&in.variables, "version");
	sc_com_put_config(&enc, &in);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_com_get_config(&dec, &out), -1);
}

/* Every body cut short at every length is refused without reading on. */
static void cut_config_is_refused(void **state)
{
	CLEANUP_CONFIG struct sc_com_config in = { 0 };
	CLEANUP_ENC struct sc_enc enc = { 0 };

	(void)state;
	sc_list_add(&in.collations, "latin1_bin");
	sc_com_put_config(&enc, &in);
	for (size_t len = 0; len < enc.len; len++) {
		CLEANUP_CONFIG struct sc_com_config out = { 0 };
		struct sc_dec dec = sc_dec_init(enc.data, len);

		assert_int_equal(sc_com_get_config(&dec, &out), -1);
	}
}

static void huge_count_is_refused(void **state)
{
	CLEANUP_CONFIG struct sc_com_config out = { 0 };
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_enc_u32(&enc, UINT32_MAX);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_com_get_config(&dec, &out), -1);
}

static int start_passes(const struct sc_com_start *in)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_com_start out;
	struct sc_dec dec;

	sc_com_put_start(&enc, in);
	dec = sc_dec_init(enc.data, enc.len);
	return sc_com_get_start(&dec, &out);
}

static void start_is_validated(void **state)
{
	struct sc_com_start in = { .tls = true, .streams = 16 };

	(void)state;
	assert_int_equal(start_passes(&in), 0);
	in.streams = 0;
	assert_int_equal(start_passes(&in), -1);
	in.streams = SC_MAX_STREAMS + 1;
	assert_int_equal(start_passes(&in), -1);
}

static void start_flags_are_booleans(void **state)
{
	struct sc_com_start in = { .streams = 1 }, out;
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_com_put_start(&enc, &in);
	enc.data[0] = 2;
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_com_get_start(&dec, &out), -1);
}

static int poll_passes(uint8_t seen, uint16_t wait_ms)
{
	struct sc_com_poll in = { seen, wait_ms, 7, 8 }, out = { 0 };
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;
	int rc;

	sc_com_put_poll(&enc, &in);
	dec = sc_dec_init(enc.data, enc.len);
	rc = sc_com_get_poll(&dec, &out);
	if (rc == 0 && (out.seen != seen || out.wait_ms != wait_ms))
		fail_msg("%u %u came back as %u %u", seen, wait_ms, out.seen,
			 out.wait_ms);
	if (rc == 0) {
		assert_int_equal(out.data_bandwidth, 7);
		assert_int_equal(out.network_bandwidth, 8);
	}
	return rc;
}

/* No recipient may hold the donor's connection thread for long. */
static void poll_waits_are_limited(void **state)
{
	(void)state;
	assert_int_equal(poll_passes(SC_DONOR_PREPARING, 0), 0);
	assert_int_equal(poll_passes(SC_DONOR_FAILED, SC_COM_POLL_MS), 0);
	assert_int_equal(poll_passes(SC_DONOR_READY, SC_COM_POLL_MS + 1), -1);
	assert_int_equal(poll_passes(SC_DONOR_READY, UINT16_MAX), -1);
	assert_int_equal(poll_passes(SC_DONOR_PHASE_COUNT, 0), -1);
}

static void state_carries_what_its_phase_needs(void **state)
{
	struct sc_com_state in = { .phase = SC_DONOR_READY,
				   .port = 4711,
				   .key = { 1, 2, 3 },
				   .bytes = 99 };
	struct sc_com_state out;
	CLEANUP_ENC struct sc_enc ready = { 0 }, copying = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_com_put_state(&ready, &in);
	dec = sc_dec_init(ready.data, ready.len);
	assert_int_equal(sc_com_get_state(&dec, &out), 0);
	assert_int_equal(out.port, 4711);
	assert_memory_equal(out.key, in.key, sizeof(in.key));
	in.phase = SC_DONOR_SEALED;
	sc_com_put_state(&copying, &in);
	assert_int_equal(copying.len, 1); /* no key after READY */
}

static void failed_state_has_its_error(void **state)
{
	struct sc_com_state in = { .phase = SC_DONOR_FAILED,
				   .error_no = 1205,
				   .error_text = "Lock wait" };
	struct sc_com_state out;
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	sc_com_put_state(&enc, &in);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_com_get_state(&dec, &out), 0);
	assert_int_equal(out.error_no, 1205);
	assert_string_equal(out.error_text, "Lock wait");
}

static void unknown_phase_is_refused(void **state)
{
	uint8_t body = SC_DONOR_PHASE_COUNT;
	struct sc_dec dec = sc_dec_init(&body, 1);
	struct sc_com_state out;

	(void)state;
	assert_int_equal(sc_com_get_state(&dec, &out), -1);
}

static void error_is_stock_format(void **state)
{
	static const uint8_t body[] = { 0x17, 0x0f, 0, 0, 'o', 'o', 'p', 's' };
	uint32_t nr;
	char text[4];

	(void)state;
	assert_int_equal(
		sc_com_get_error(body, sizeof(body), &nr, text, sizeof(text)),
		0);
	assert_int_equal(nr, 3863);
	assert_string_equal(text, "oop");
	assert_int_equal(sc_com_get_error(body, 3, &nr, text, sizeof(text)),
			 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_comes_back),
		cmocka_unit_test(config_comes_back),
		cmocka_unit_test(odd_pairs_are_refused),
		cmocka_unit_test(cut_config_is_refused),
		cmocka_unit_test(huge_count_is_refused),
		cmocka_unit_test(start_is_validated),
		cmocka_unit_test(start_flags_are_booleans),
		cmocka_unit_test(poll_waits_are_limited),
		cmocka_unit_test(state_carries_what_its_phase_needs),
		cmocka_unit_test(failed_state_has_its_error),
		cmocka_unit_test(unknown_phase_is_refused),
		cmocka_unit_test(error_is_stock_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
