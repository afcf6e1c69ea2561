/* SPDX-License-Identifier: GPL-2.0-only */
/* Talking to the donor's plugin; see peer.h. */
#include "plugin/peer.h"

#include "io/base/clock.h"
#include "plugin/raise.h"
#include "plugin/services.h"
#include "plugin/sysvars.h"

#include <stdio.h>
#include <string.h>

#define CONFIG_TIMEOUT_S 300 /* the donor reads its dictionary */
#define KILLER_MS 300	     /* more than a thread waits for a CPU */

/* ---- connection ---------------------------------------------------------- */

static const char *read_path(const char *name, char *buf, size_t cap)
{
	if (sc_server_variable(name, buf, cap) < 0 || !*buf)
		return NULL;
	return buf;
}

int sc_peer_connect(struct sc_peer *peer, struct st_thd *thd, const char *host,
		    unsigned port, const char *user, const char *password,
		    int ssl_mode, struct sc_err *err)
{
	char key[1024], cert[1024], ca[1024];
	struct st_socket socket = { -1, NULL };
	struct st_clone_ssl ssl = {
		.mode = ssl_mode,
		.key = read_path("clone_ssl_key", key, sizeof(key)),
		.cert = read_path("clone_ssl_cert", cert, sizeof(cert)),
		.ca = read_path("clone_ssl_ca", ca, sizeof(ca)),
		.compress = sc_settings.enable_compression,
	};

	*peer = (struct sc_peer){ .thd = thd, .fd = -1 };
	ssl.net_server = ssl.compress ? &peer->net : NULL;
	peer->conn = sc_server.protocol->connect(thd, host, port, user,
						 password, &ssl, &socket);
	if (!peer->conn) {
		if (!sc_raised(thd, err))
			sc_err_set(err, SC_ER_CLONE_DONOR, "Connect failed");
		return -1;
	}
	peer->fd = socket.fd;
	peer->tls = sc_server.ssl_cipher(peer->conn) != NULL;
	return 0;
}

void sc_peer_disconnect(struct sc_peer *peer)
{
	if (peer->conn)
		sc_server.protocol->disconnect(peer->thd, peer->conn,
					       peer->broken, true);
	peer->conn = NULL;
}

/* ---- commands ------------------------------------------------------------ */

struct reply {
	uint8_t code;
	const uint8_t *body; /* valid until the next command */
	size_t len;
	uint32_t error_no; /* code ERROR */
	char error_text[400];
};

/*
 * A KILL shuts the connection down, waits for this thread to leave its poll,
 * and marks the statement only when it is done with the connection, which
 * disconnect frees: left to itself it would spin for ever, with the session's
 * lock held. Source: THD::awake() in sql/sql_class.cc, vio_shutdown() in
 * vio/viosocket.cc, mysql_clone_disconnect().
 */
static void let_killer_finish(struct sc_peer *peer)
{
	uint64_t deadline = sc_now_ms() + KILLER_MS;

	while (!thd_killed(peer->thd) && sc_now_ms() < deadline)
		sc_sleep_ms(1);
}

/* The service raised why, mostly a number between 1153 and 1161. */
static int broken(struct sc_peer *peer, int nr, struct sc_err *err)
{
	struct sc_err why = SC_ERR_INIT;

	peer->broken = true;
	let_killer_finish(peer);
	if (!sc_raised(peer->thd, &why))
		sc_err_set(&why, nr, "no reason given");
	if (why.code == SC_ER_QUERY_INTERRUPTED)
		return sc_err_set(err, why.code, "%s", why.msg);
	return sc_err_set(err, SC_ER_CLONE_DONOR,
			  "connection to the donor lost (%d : %.300s)",
			  why.code, why.msg);
}

static int malformed(struct sc_peer *peer, const char *what, struct sc_err *err)
{
	peer->broken = true;
	return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "malformed answer to %s",
			  what);
}

static int exchange(struct sc_peer *peer, uint8_t command, struct sc_enc *body,
		    struct reply *ret, struct sc_err *err)
{
	const struct st_clone_protocol *protocol = sc_server.protocol;
	/* END must go out even when the statement was killed. */
	bool active = command != SC_COM_END;
	uint32_t timeout = command == SC_COM_CONFIG ? CONFIG_TIMEOUT_S : 0;
	unsigned char *packet;
	size_t len, net_len;
	int rc;

	if (body->failed)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	rc = protocol->send_command(peer->thd, peer->conn, active, command,
				    body->data, body->len);
	if (rc == 0)
		rc = protocol->get_response(peer->thd, peer->conn, active,
					    timeout, &packet, &len, &net_len);
	if (rc)
		return broken(peer, rc, err);
	*ret = (struct reply){ packet[0], packet + 1, len - 1, 0, "" };
	if (ret->code == SC_COM_ERROR &&
	    sc_com_get_error(ret->body, ret->len, &ret->error_no,
			     ret->error_text, sizeof(ret->error_text)) < 0)
		return malformed(peer, "a command", err);
	return 0;
}

/* As the stock plugin: the donor's error inside of ours. */
static int donor_error(const struct reply *reply, struct sc_err *err)
{
	return sc_err_set(err, SC_ER_CLONE_DONOR, SC_DONOR_ERROR_FORMAT,
			  reply->error_no, reply->error_text);
}

/* Send a command and expect `code`; frees the body. */
static int command(struct sc_peer *peer, uint8_t nr, const char *what,
		   struct sc_enc *body, uint8_t code, struct sc_dec *ret,
		   struct sc_err *err)
{
	struct reply reply;
	int rc = exchange(peer, nr, body, &reply, err);

	sc_enc_free(body);
	if (rc < 0)
		return -1;
	if (reply.code == SC_COM_ERROR)
		return donor_error(&reply, err);
	if (reply.code != code)
		return malformed(peer, what, err);
	*ret = sc_dec_init(reply.body, reply.len);
	return 0;
}

/* The stock plugin hangs up on a command it does not know (or, if it cared to,
 * would answer 3863). */
static int stock_donor(struct sc_peer *peer, struct sc_err *err)
{
	peer->broken = true;
	if (thd_killed(peer->thd))
		return -1;
	*err = (struct sc_err)SC_ERR_INIT;
	return sc_err_set(
		err, SC_ER_CLONE_DONOR,
		"the donor does not answer as snapclone does; if it runs MySQL's own clone plugin, UNINSTALL PLUGIN clone and install snapclone's mysql_clone.so there");
}

int sc_peer_hello(struct sc_peer *peer, struct sc_err *err)
{
	struct sc_com_hello mine = { SC_COM_VERSION, SC_VERSION }, theirs;
	struct sc_enc enc = { 0 };
	struct reply reply;
	struct sc_dec dec;
	int rc;

	sc_com_put_hello(&enc, &mine);
	rc = exchange(peer, SC_COM_HELLO, &enc, &reply, err);
	sc_enc_free(&enc);
	if (rc < 0)
		return stock_donor(peer, err);
	if (reply.code == SC_COM_ERROR)
		return reply.error_no == SC_ER_CLONE_PROTOCOL
			       ? stock_donor(peer, err)
			       : donor_error(&reply, err);
	dec = sc_dec_init(reply.body, reply.len);
	if (reply.code != SC_COM_DATA || sc_com_get_hello(&dec, &theirs) < 0)
		return malformed(peer, "HELLO", err);
	if (theirs.version == SC_COM_VERSION)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_PROTOCOL,
		"the donor's snapclone %s speaks version %u, this server's %s version %u; install the same release on both",
		theirs.software, theirs.version, SC_VERSION, SC_COM_VERSION);
}

int sc_peer_config(struct sc_peer *peer, struct sc_com_config *ret,
		   struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	struct sc_dec dec;

	*ret = (struct sc_com_config){ 0 };
	if (command(peer, SC_COM_CONFIG, "CONFIG", &enc, SC_COM_DATA, &dec,
		    err) < 0)
		return -1;
	if (sc_com_get_config(&dec, ret) < 0)
		return malformed(peer, "CONFIG", err);
	return 0;
}

int sc_peer_start(struct sc_peer *peer, const struct sc_com_start *start,
		  struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	struct sc_dec dec;

	sc_com_put_start(&enc, start);
	return command(peer, SC_COM_START, "START", &enc, SC_COM_COMPLETE, &dec,
		       err);
}

int sc_peer_poll(struct sc_peer *peer, unsigned wait_ms,
		 struct sc_com_state *ret, struct sc_err *err)
{
	struct sc_com_poll poll = {
		.seen = ret->phase,
		.wait_ms = (uint16_t)wait_ms,
		.data_bandwidth = sc_settings.max_data_bandwidth,
		.network_bandwidth = sc_settings.max_network_bandwidth,
	};
	struct sc_enc enc = { 0 };
	struct sc_dec dec;

	sc_com_put_poll(&enc, &poll);
	if (command(peer, SC_COM_POLL, "POLL", &enc, SC_COM_DATA, &dec, err) <
	    0)
		return -1;
	if (sc_com_get_state(&dec, ret) < 0)
		return malformed(peer, "POLL", err);
	return 0;
}

int sc_peer_keys(struct sc_peer *peer, struct sc_key_list *ret,
		 struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	struct sc_dec dec;

	*ret = (struct sc_key_list){ 0 };
	if (command(peer, SC_COM_KEYS, "KEYS", &enc, SC_COM_DATA, &dec, err) <
	    0)
		return -1;
	if (sc_key_get_list(&dec, ret) < 0)
		return malformed(peer, "KEYS", err);
	return 0;
}

int sc_peer_end(struct sc_peer *peer, uint32_t error_no, struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	struct sc_dec dec;

	sc_enc_u32(&enc, error_no);
	return command(peer, SC_COM_END, "END", &enc, SC_COM_COMPLETE, &dec,
		       err);
}
