/* SPDX-License-Identifier: GPL-2.0-only */
/* A job's keys: asked for, answered, unwrapped, kept. The session is a stand-in
 * whose plugin answers from a thread of its own. */
#include "daemon/keys.h"
#include "daemon/session.h"
#include "io/base/clock.h"
#include "tests/unit/encrypted_redo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sc_session {
	struct sc_keys keys;
	unsigned asked; /* messages */
	size_t n_refs;	/* names in the last one */
	bool mute, empty, wrong, broken;
	pthread_t thread;
	bool answering;
};

static void answer(struct sc_session *s)
{
	struct sc_master_key key = { .ref = { ENCRYPTED_REDO_UUID,
					      ENCRYPTED_REDO_ID } };
	struct sc_key_list list = { .keys = &key, .n = s->empty ? 0 : 1 };
	struct sc_err err = SC_ERR_INIT;
	struct sc_ctl_msg msg = { .type = SC_CTL_KEYS };
	struct sc_enc enc = { 0 };

	memcpy(key.value, encrypted_redo_master, sizeof(key.value));
	key.value[0] ^= s->wrong;
	sc_key_put_list(&enc, &list);
	msg.body = enc.data;
	msg.len = (uint32_t)enc.len;
	assert_int_equal(sc_keys_take(&s->keys, &msg, &err), 0);
	sc_enc_free(&enc);
}

static void *plugin_main(void *arg)
{
	struct sc_session *s = arg;

	sc_sleep_ms(5);
	if (s->mute)
		sc_keys_stop(&s->keys);
	else
		answer(s);
	return NULL;
}

/* In the place of daemon/session.c's. */
int sc_session_send(struct sc_session *s, uint16_t type, struct sc_enc *enc,
		    struct sc_err *err)
{
	struct sc_key_ref refs[SC_CTL_MAX_REFS];
	struct sc_dec dec = sc_dec_init(enc->data, enc->len);

	s->n_refs = SC_CTL_MAX_REFS;
	assert_int_equal(type, SC_CTL_KEYS_WANTED);
	assert_int_equal(sc_key_get_refs(&dec, refs, &s->n_refs), 0);
	sc_enc_free(enc);
	s->asked++;
	if (s->broken)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "broken pipe");
	if (s->answering)
		pthread_join(s->thread, NULL);
	s->answering = !pthread_create(&s->thread, NULL, plugin_main, s);
	return s->answering ? 0 : -1;
}

static int make(void **state)
{
	struct sc_session *s = calloc(1, sizeof(*s));

	*state = s;
	return s ? sc_keys_init(&s->keys, s) : -1;
}

static int drop(void **state)
{
	struct sc_session *s = *state;

	if (s->answering)
		pthread_join(s->thread, NULL);
	sc_keys_destroy(&s->keys);
	free(s);
	return 0;
}

static void asked_once(void **state)
{
	struct sc_session *s = *state;
	struct sc_err err = SC_ERR_INIT;
	struct sc_space_key one, two;

	assert_int_equal(
		sc_keys_unwrap(&s->keys, encrypted_redo_info, &one, &err), 1);
	assert_int_equal(s->asked, 1);
	assert_int_equal(s->n_refs, 1);
	assert_int_equal(
		sc_keys_unwrap(&s->keys, encrypted_redo_info, &two, &err), 1);
	assert_int_equal(s->asked, 1);
	assert_memory_equal(&one, &two, sizeof(one));
}

static void nothing_to_ask(void **state)
{
	uint8_t none[SC_KEY_INFO_MAX] = { 0 };
	const struct sc_space_key *found = (void *)1;
	struct sc_session *s = *state;
	struct sc_err err = SC_ERR_INIT;
	struct sc_space_key key;

	assert_int_equal(sc_keys_unwrap(&s->keys, none, &key, &err), 0);
	assert_int_equal(
		s->keys.source.page0(&s->keys.source, 5, none, &found, &err),
		0);
	assert_null(found);
	assert_int_equal(s->asked, 0);
	/* A recipient asks for all there are. */
	assert_int_equal(sc_keys_ask(&s->keys, NULL, 0, &err), 0);
	assert_int_equal(s->n_refs, 0);
	assert_int_equal(s->keys.masters.n, 1);
}

static void failures(void **state)
{
	static const struct {
		bool mute, empty, wrong, broken;
		int code;
		const char *text;
	} cases[] = {
		{ .empty = true,
		  .code = SC_ER_CLONE_ENCRYPTION,
		  .text = "the keyring does not give master key "
			  "INNODBKey-" ENCRYPTED_REDO_UUID "-1" },
		{ .wrong = true,
		  .code = SC_ER_CLONE_ENCRYPTION,
		  .text = "cannot be unwrapped with master key" },
		{ .broken = true,
		  .code = SC_ER_INTERNAL_ERROR,
		  .text = "broken pipe" },
		{ .mute = true,
		  .code = SC_ER_QUERY_INTERRUPTED,
		  .text = "cancelled" },
	};
	struct sc_space_key key;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sc_err err = SC_ERR_INIT;
		struct sc_session *s;
		void *made;

		assert_int_equal(make(&made), 0);
		s = made;
		s->mute = cases[i].mute;
		s->empty = cases[i].empty;
		s->wrong = cases[i].wrong;
		s->broken = cases[i].broken;
		assert_int_equal(sc_keys_unwrap(&s->keys, encrypted_redo_info,
						&key, &err),
				 -1);
		assert_int_equal(err.code, cases[i].code);
		if (!strstr(err.msg, cases[i].text))
			fail_msg("%s", err.msg);
		drop(&made);
	}
}

static void answer_nobody_asked_for(void **state)
{
	uint8_t none[4] = { 0 }, bad[4] = { 1 };
	struct sc_ctl_msg msg = { .body = none, .len = sizeof(none) };
	struct sc_session *s = *state;
	struct sc_err err = SC_ERR_INIT;

	assert_int_equal(sc_keys_take(&s->keys, &msg, &err), -1);
	assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
	s->keys.asked++;
	msg.body = bad;
	assert_int_equal(sc_keys_take(&s->keys, &msg, &err), -1);
	msg.body = none;
	assert_int_equal(sc_keys_take(&s->keys, &msg, &err), 0);
}

/* Kept once each, of any number of tablespaces, and where they are they stay.
 */
static void keys_of_tablespaces(void **state)
{
	const struct sc_key_ref ref = { ENCRYPTED_REDO_UUID,
					ENCRYPTED_REDO_ID };
	const struct sc_space_key *kept[900], *again;
	struct sc_session *s = *state;
	struct sc_key_source *source = &s->keys.source;
	struct sc_err err = SC_ERR_INIT;
	uint8_t info[SC_KEY_INFO_MAX];
	struct sc_aes *aes = sc_aes_new();

	for (uint32_t i = 0; i < 900; i++) {
		struct sc_space_key key = { .key = { (uint8_t)i,
						     (uint8_t)(i >> 8) } };

		sc_key_info_wrap(aes, &ref, encrypted_redo_master, &key, info);
		/* Three keys per tablespace. */
		for (int twice = 0; twice < 2; twice++) {
			assert_int_equal(sc_keys_add_space(&s->keys, i / 3,
							   info, &again, &err),
					 1);
			if (twice)
				assert_ptr_equal(again, kept[i]);
			kept[i] = again;
		}
	}
	for (uint32_t i = 0; i < 900; i++) {
		bool found = false;

		assert_int_equal(kept[i]->key[0], (uint8_t)i);
		for (unsigned n = 0; n < 3; n++)
			found |= source->known(source, i / 3, n) == kept[i];
		assert_true(found);
		assert_null(source->known(source, i / 3, 3));
	}
	assert_null(source->known(source, 300, 0));
	assert_int_equal(s->asked, 1);
	sc_aes_free(aes);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asked_once),	    TEST(nothing_to_ask),
		cmocka_unit_test(failures), TEST(answer_nobody_asked_for),
		TEST(keys_of_tablespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
