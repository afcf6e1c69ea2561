/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's end of the COM_CLONE dialogue (com.h), on the thread of the
 * recipient's connection. A recipient that says nothing for a while is gone.
 */
#include "plugin/clone.h"

#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/base/step.h"
#include "plugin/com.h"
#include "plugin/config.h"
#include "plugin/donor.h"
#include "plugin/net.h"
#include "plugin/raise.h"
#include "plugin/services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS 60000 /* a recipient polls every 200 ms */
/* Before START it may drop its data, which takes as long as it takes, and wait
 * for an hour (clone_drop_data_first, clone_delay_after_data_drop). */
#define AGREED_MS (24 * 3600 * 1000)
#define POLL_MS 500 /* how often KILL is looked for */

struct session {
	struct st_thd *thd;
	int fd;
	bool greeted;  /* versions are equal */
	bool finished; /* the dialogue is over */
	bool tls;
	struct sc_donor *donor;
};

/* ---- answers ------------------------------------------------------------- */

static int answer(struct session *s, uint8_t code, bool secure,
		  struct sc_enc *body, struct sc_err *err)
{
	struct sc_enc packet = { 0 };
	int rc = -1;

	sc_enc_u8(&packet, code);
	if (body)
		sc_enc_raw(&packet, body->data, body->len);
	if (packet.failed || (body && body->failed))
		sc_err_set(err, SC_ER_INTERNAL_ERROR,
			   "out of memory for an answer");
	else
		rc = sc_server.protocol->send_response(s->thd, secure,
						       packet.data, packet.len);
	if (rc)
		sc_err_set(err, SC_ER_INTERNAL_ERROR,
			   "cannot answer the recipient (%d)", rc);
	if (packet.data)
		explicit_bzero(packet.data, packet.len);
	sc_enc_free(&packet);
	if (body)
		sc_enc_free(body);
	return rc ? -1 : 0;
}

static int complete(struct session *s, struct sc_err *err)
{
	return answer(s, SC_COM_COMPLETE, false, NULL, err);
}

static int data(struct session *s, bool secure, struct sc_enc *body,
		struct sc_err *err)
{
	return answer(s, SC_COM_DATA, secure, body, err);
}

/* ---- commands ------------------------------------------------------------ */

static int on_hello(struct session *s, struct sc_dec *dec, struct sc_err *err)
{
	struct sc_com_hello mine = { SC_COM_VERSION, SC_VERSION }, theirs;
	struct sc_enc enc = { 0 };

	if (sc_com_get_hello(dec, &theirs) < 0)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "malformed HELLO");
	s->greeted = theirs.version == SC_COM_VERSION;
	sc_com_put_hello(&enc, &mine);
	return data(s, false, &enc, err);
}

static int on_config(struct session *s, struct sc_dec *dec, struct sc_err *err)
{
	CLEANUP_CONFIG struct sc_com_config config = { 0 };
	struct sc_enc enc = { 0 };

	if (sc_dec_end(dec) < 0)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed CONFIG");
	if (sc_config_collect(&config, err) < 0)
		return -1;
	sc_com_put_config(&enc, &config);
	return data(s, false, &enc, err);
}

static int fill_request(struct session *s, const struct sc_com_start *start,
			struct sc_donor_request *request, struct sc_err *err)
{
	*request = (struct sc_donor_request){
		.tls = start->tls,
		.compress = start->compress,
		.block_ddl = start->block_ddl,
		.streams = start->streams,
		.data_bandwidth = start->data_bandwidth,
		.network_bandwidth = start->network_bandwidth,
		.ddl_timeout = start->ddl_timeout,
		.target_fd = -1,
		.parent_fd = -1,
	};
	if (sc_net_address(s->fd, true, request->peer, sizeof(request->peer),
			   err) < 0)
		return -1;
	return sc_net_address(s->fd, false, request->bind_address,
			      sizeof(request->bind_address), err);
}

static int on_start(struct session *s, struct sc_dec *dec, struct sc_err *err)
{
	struct sc_donor_request request;
	struct sc_com_start start;

	if (sc_com_get_start(dec, &start) < 0 || s->donor)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed or repeated START");
	if (fill_request(s, &start, &request, err) < 0)
		return -1;
	s->tls = start.tls;
	if (!s->tls)
		sc_server_log(
			ST_LOG_WARNING,
			"clone to %s sends its data unencrypted: its connection has no TLS",
			request.peer);
	s->donor = sc_donor_start(&request, err);
	if (!s->donor)
		return -1;
	sc_server_log(ST_LOG_INFO, "clone donor for %s started", request.peer);
	return complete(s, err);
}

static void fill_state(const struct sc_donor_state *from,
		       struct sc_com_state *to)
{
	*to = (struct sc_com_state){
		.phase = (uint8_t)from->phase,
		.port = from->ready.port,
		.files = from->ready.files,
		.bytes = from->ready.bytes,
		.error_no = (uint32_t)from->err.code,
	};
	memcpy(to->job_id, from->job_id, sizeof(to->job_id));
	memcpy(to->key, from->key, sizeof(to->key));
	snprintf(to->error_text, sizeof(to->error_text), "%s", from->err.msg);
}

/* The one message with the key: the server refuses to send it in clear. */
static int on_poll(struct session *s, struct sc_dec *dec, struct sc_err *err)
{
	struct sc_donor_state state;
	struct sc_com_state body;
	struct sc_com_poll poll;
	struct sc_enc enc = { 0 };

	if (sc_com_get_poll(dec, &poll) < 0 || !s->donor)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed POLL, or POLL before START");
	sc_donor_limit(s->donor, poll.data_bandwidth, poll.network_bandwidth);
	if (poll.wait_ms)
		sc_donor_wait(s->donor, (enum sc_donor_phase)poll.seen,
			      poll.wait_ms);
	sc_donor_get_state(s->donor, &state);
	fill_state(&state, &body);
	sc_com_put_state(&enc, &body);
	explicit_bzero(state.key, sizeof(state.key));
	explicit_bzero(body.key, sizeof(body.key));
	return data(s, s->tls && body.phase == SC_DONOR_READY, &enc, err);
}

/* Master keys: the server refuses to send them in clear, too. */
static int on_keys(struct session *s, struct sc_dec *dec, struct sc_err *err)
{
	CLEANUP_KEYS struct sc_key_list keys = { 0 };
	struct sc_enc enc = { 0 };

	if (sc_dec_end(dec) < 0 || !s->donor)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "KEYS before START");
	if (sc_donor_keys(s->donor, &keys) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	sc_key_put_list(&enc, &keys);
	return data(s, keys.n > 0, &enc, err);
}

static int on_end(struct session *s, struct sc_dec *dec, struct sc_err *err)
{
	uint32_t error_no = sc_dec_u32(dec);

	if (sc_dec_end(dec) < 0)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL, "malformed END");
	if (error_no)
		sc_server_log(ST_LOG_INFO,
			      "clone recipient ended with error %u", error_no);
	s->finished = true;
	sc_donor_free(s->donor);
	s->donor = NULL;
	return complete(s, err);
}

static const struct {
	uint8_t command;
	bool before_hello;
	int (*handle)(struct session *s, struct sc_dec *dec,
		      struct sc_err *err);
} commands[] = {
	{ SC_COM_HELLO, true, on_hello },  { SC_COM_CONFIG, false, on_config },
	{ SC_COM_START, false, on_start }, { SC_COM_POLL, false, on_poll },
	{ SC_COM_KEYS, false, on_keys },   { SC_COM_END, true, on_end },
};

static int handle(struct session *s, uint8_t command, struct sc_dec *dec,
		  struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(commands); i++) {
		if (commands[i].command == command &&
		    (s->greeted || commands[i].before_hello))
			return commands[i].handle(s, dec, err);
	}
	if (command == SC_COM_STOCK_EXIT) {
		s->finished = true;
		return complete(s, err);
	}
	return sc_err_set(
		err, SC_ER_CLONE_PROTOCOL,
		command == SC_COM_STOCK_INIT
			? "the donor has the snapclone plugin; the recipient must have it too, of the same version (UNINSTALL PLUGIN clone and install snapclone's mysql_clone.so there)"
			: "unknown clone command");
}

/* Send the error instead of an answer; the dialogue goes on. */
static int report(struct session *s, struct sc_err *err)
{
	struct sc_err raised = SC_ERR_INIT;

	if (!sc_raised(s->thd, &raised))
		sc_raise(err);
	return sc_server.protocol->send_error(s->thd, SC_COM_ERROR, false);
}

/* ---- the loop ------------------------------------------------------------ */

static uint64_t idle_ms(const struct session *s)
{
	if (s->greeted && !s->donor)
		return AGREED_MS;
	return (uint64_t)sc_test_ms("SNAPCLONE_IDLE_MS", IDLE_MS);
}

/* 0 there is a command, -1 the recipient is silent or we are killed. Every
 * command is answered before the next one is sent, so nothing waits unseen in
 * a TLS or compression buffer. */
static int wait_command(struct session *s, struct sc_err *err)
{
	uint64_t deadline = sc_now_ms() + idle_ms(s);

	for (;;) {
		int rc = sc_net_wait_readable(s->fd, POLL_MS);

		if (rc > 0)
			return 0;
		if (thd_killed(s->thd))
			return sc_err_interrupted(err);
		if (rc < 0 || sc_now_ms() > deadline)
			return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
					  "the clone recipient is silent");
	}
}

static int serve_one(struct session *s, struct sc_err *err)
{
	struct sc_err failure = SC_ERR_INIT;
	unsigned char command, *body;
	struct sc_dec dec;
	size_t len;

	if (wait_command(s, err) < 0)
		return -1;
	if (sc_server.protocol->get_command(s->thd, &command, &body, &len))
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "the clone recipient is gone");
	dec = sc_dec_init(body, len);
	if (handle(s, command, &dec, &failure) == 0)
		return 0;
	if (report(s, &failure))
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "the clone recipient is gone");
	return 0;
}

int sc_clone_serve(struct st_thd *thd, struct st_socket socket)
{
	struct session s = { .thd = thd, .fd = socket.fd };
	struct sc_err err = SC_ERR_INIT;
	int rc = 0;

	while (rc == 0 && !s.finished)
		rc = serve_one(&s, &err);
	if (rc < 0)
		sc_server_log(ST_LOG_WARNING, "clone donor: %s", err.msg);
	sc_donor_free(s.donor);
	return rc < 0 ? sc_raise_result(thd, &err) : 0;
}
