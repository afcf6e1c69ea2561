/* SPDX-License-Identifier: GPL-2.0-only */
/* The first message each way on a control socket, and what it tells; see ctl.h.
 */
#include "io/base/ctl_impl.h"

#include <errno.h>

/* The daemon said why it will not talk to us. */
static int refused(struct sc_dec *dec, struct sc_err *err)
{
	struct sc_ctl_error e;

	if (sc_ctl_get_error(dec, &e) < 0)
		return sc_ctl_broken(err, "malformed ERROR");
	return sc_err_set(err, (int)e.code, "snapcloned refused: %s",
			  e.message);
}

int sc_ctl_hear_hello(int sock, int timeout_ms, struct sc_err *err)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_ctl_hello hello;
	struct sc_dec dec;
	int rc = sc_ctl_recv(sock, &msg, timeout_ms, err);

	if (rc < 0)
		return -1;
	if (rc == 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, ETIMEDOUT,
				  "no answer on the control socket");
	dec = sc_ctl_body(&msg);
	if (msg.type == SC_CTL_ERROR)
		return refused(&dec, err);
	if (msg.type != SC_CTL_HELLO || sc_ctl_get_hello(&dec, &hello) < 0)
		return sc_ctl_broken(err, "expected HELLO");
	if (hello.version != SC_CTL_VERSION)
		return sc_err_set(
			err, SC_ER_CLONE_PROTOCOL,
			"snapcloned %s speaks control version %u, this program (%s) version %u; HINT: install plugin and daemon of one release and restart the snapcloned service",
			hello.software, hello.version, SC_VERSION,
			SC_CTL_VERSION);
	return 0;
}

int sc_ctl_say_hello(int sock, struct sc_err *err)
{
	struct sc_ctl_hello mine = { SC_CTL_VERSION, SC_VERSION };
	struct sc_enc enc = { 0 };

	sc_ctl_put_hello(&enc, &mine);
	return sc_ctl_send_enc(sock, SC_CTL_HELLO, &enc, NULL, 0, err);
}

int sc_ctl_handshake(int sock, int timeout_ms, struct sc_err *err)
{
	if (sc_ctl_say_hello(sock, err) < 0)
		return -1;
	return sc_ctl_hear_hello(sock, timeout_ms, err);
}
