/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control messages. First byte below 128: the type of the body that follows,
 * which is decoded, and encoded again when it is sound: the same bytes.
 * Others: what follows is the stream of a socket.
 */
#include "tests/fuzz/fuzz.h"

#include "io/base/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union message {
	struct sc_ctl_hello hello;
	struct sc_ctl_donor_start donor_start;
	struct sc_ctl_donor_ready donor_ready;
	struct sc_ctl_recipient_start recipient_start;
	struct sc_ctl_places places;
	struct sc_ctl_progress progress;
	struct sc_ctl_locked locked;
	struct sc_ctl_limits limits;
	struct sc_ctl_settled settled;
	struct sc_ctl_error error;
	struct sc_ctl_job_status job_status;
};

static void same(const struct sc_dec *body, struct sc_enc *enc)
{
	FUZZ_CHECK(!enc->failed && enc->len == body->left);
	FUZZ_CHECK(!enc->len || !memcmp(enc->data, body->p, enc->len));
	sc_enc_free(enc);
}

#define SIMPLE(name)                                                           \
	static void try_##name(struct sc_dec dec, const struct sc_dec *body)   \
	{                                                                      \
		struct sc_enc enc = { 0 };                                     \
		union message m = { 0 };                                       \
                                                                               \
		if (sc_ctl_get_##name(&dec, &m.name) < 0 || dec.left)          \
			return;                                                \
		sc_ctl_put_##name(&enc, &m.name);                              \
		same(body, &enc);                                              \
	}

SIMPLE(hello)
SIMPLE(donor_start)
SIMPLE(donor_ready)
SIMPLE(recipient_start)
SIMPLE(places)
SIMPLE(progress)
SIMPLE(locked)
SIMPLE(limits)
SIMPLE(settled)
SIMPLE(error)
SIMPLE(job_status)

static void try_seal(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_enc enc = { 0 };
	struct sc_ctl_seal m;

	if (sc_ctl_get_seal(&dec, &m) == 0) {
		sc_ctl_put_seal(&enc, &m);
		same(body, &enc);
	}
	sc_ctl_seal_free(&m);
}

static void try_done(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_enc enc = { 0 };
	struct sc_ctl_done m;

	if (sc_ctl_get_done(&dec, &m) == 0) {
		sc_ctl_put_done(&enc, &m);
		same(body, &enc);
	}
	sc_ctl_seal_free(&m.seal);
}

static void try_refs(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_key_ref refs[SC_CTL_MAX_REFS];
	size_t n = SC_CTL_MAX_REFS;
	struct sc_enc enc = { 0 };

	if (sc_key_get_refs(&dec, refs, &n) < 0 || sc_dec_end(&dec) < 0)
		return;
	FUZZ_CHECK(n <= SC_CTL_MAX_REFS);
	sc_key_put_refs(&enc, refs, n);
	same(body, &enc);
}

static void try_keys(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_key_list list = { 0 };
	struct sc_enc enc = { 0 };

	if (sc_key_get_list(&dec, &list) == 0 && sc_dec_end(&dec) == 0) {
		for (size_t i = 0; i < list.n; i++)
			FUZZ_CHECK(sc_key_uuid_ok(list.keys[i].ref.uuid));
		sc_key_put_list(&enc, &list);
		same(body, &enc);
	}
	sc_key_list_free(&list);
}

static void (*const bodies[])(struct sc_dec, const struct sc_dec *) = {
	[SC_CTL_HELLO] = try_hello,
	[SC_CTL_DONOR_START] = try_donor_start,
	[SC_CTL_DONOR_READY] = try_donor_ready,
	[SC_CTL_SEAL] = try_seal,
	[SC_CTL_RECIPIENT_START] = try_recipient_start,
	[SC_CTL_PROGRESS] = try_progress,
	[SC_CTL_DONE] = try_done,
	[SC_CTL_ERROR] = try_error,
	[SC_CTL_STATUS_REPLY] = try_job_status,
	[SC_CTL_KEYS_WANTED] = try_refs,
	[SC_CTL_KEYS] = try_keys,
	[SC_CTL_CLEAN] = try_places,
	[SC_CTL_LOCKED] = try_locked,
	[SC_CTL_LIMITS] = try_limits,
	[SC_CTL_SETTLED] = try_settled,
};

static void try_stream(struct fuzz_in in)
{
	struct sc_ctl_msg msg = { 0 };
	struct sc_err err = SC_ERR_INIT;
	int sv[2], rc;

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	/* What the socket does not take at once is not looked at. */
	(void)!send(sv[0], in.p, in.left, MSG_DONTWAIT);
	close(sv[0]);
	while ((rc = sc_ctl_recv(sv[1], &msg, 0, &err)) == 1) {
		FUZZ_CHECK(msg.type && msg.type <= SC_CTL_TYPE_MAX);
		FUZZ_CHECK(msg.len <= SC_CTL_MAX_BODY && !msg.nfds);
	}
	FUZZ_CHECK(rc < 0 && sc_err_is_set(&err));
	sc_ctl_msg_clear(&msg);
	close(sv[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t type = fuzz_u8(&in);
	struct sc_dec body = sc_dec_init(in.p, in.left);

	if (type >= 128)
		try_stream(in);
	else if (type < sizeof(bodies) / sizeof(bodies[0]) && bodies[type])
		bodies[type](body, &body);
	return 0;
}
