/* SPDX-License-Identifier: GPL-2.0-only */
/* See play.h. */
#include "tests/fault/play_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PAGE = 16384,
	STREAMS = 2,
	/* When one side has failed, the other hears of it from its peer: from
	 * its daemon, or else from its plugin, which tells its daemon. */
	OTHER_MS = 1000,
	/* Longer takes no job, whatever fails in it. */
	JOB_MS = 20000,
};

const char *const how_names[HOWS] = { "remote", "plain", "in-place", "local" };
const char *const side_names[SIDES] = { "donor", "recipient" };

static const uint8_t job_id[SC_JOB_ID_SIZE] = { 1, 2, 3 };
static const uint8_t job_key[SC_JOB_KEY_SIZE] = { 4, 5, 6 };

/* ---- messages ------------------------------------------------------------ */

static bool ended(const struct player *pl)
{
	const struct ending *e = pl->end;

	return !e->used || e->done || e->failed || e->lost;
}

static void lose(struct player *pl)
{
	pl->end->lost = true;
}

static void say(struct player *pl, uint16_t type, struct sc_enc *enc,
		const int *fds, int n)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_enc none = { 0 };

	/* One that is gone is noticed when it is heard. */
	(void)sc_ctl_send_enc(pl->sock, type, enc ? enc : &none, fds, n, &err);
}

static void start_donor(struct player *pl)
{
	const struct play *p = pl->p;
	struct sc_ctl_donor_start m = {
		.tls = p->how != PLAIN && p->how != LOCAL,
		.local = p->how == LOCAL,
		.compress = p->how == IN_PLACE,
		.streams = STREAMS,
		.buffer_size = 2 * SC_MIB,
		.page_size = PAGE,
		.quiet_lsn = p->begin_lsn,
		.bind_address = "127.0.0.1",
		.peer = "campaign",
		.donor_uuid = "01234567-89ab-cdef-0123-456789abcdef",
		.data_file_path = "ibdata1:12M:autoextend",
		.roots = { .n = 1, .n_system = 1 },
	};
	int fds[] = { p->datadir, p->redo, p->spool, p->target, p->parent };
	struct sc_enc enc = { 0 };

	memcpy(m.job_id, job_id, sizeof(m.job_id));
	memcpy(m.key, job_key, sizeof(m.key));
	if (m.local)
		snprintf(m.target_name, sizeof(m.target_name), "%s",
			 p->target_name);
	sc_ctl_put_donor_start(&enc, &m);
	say(pl, SC_CTL_DONOR_START, &enc, fds,
	    m.local ? SC_DONOR_FDS_LOCAL : SC_DONOR_FDS_REMOTE);
	pl->started = true;
}

static void start_recipient(struct player *pl, uint16_t port)
{
	const struct play *p = pl->p;
	struct sc_ctl_recipient_start m = { .tls = p->how != PLAIN,
					    .in_place = p->how == IN_PLACE,
					    .streams = STREAMS,
					    .page_size = PAGE,
					    .port = port,
					    .address = "127.0.0.1",
					    .peer = "campaign" };
	int fds[] = { p->target, p->parent };
	struct sc_enc enc = { 0 };

	memcpy(m.job_id, job_id, sizeof(m.job_id));
	memcpy(m.key, job_key, sizeof(m.key));
	if (!m.in_place)
		snprintf(m.target_name, sizeof(m.target_name), "%s",
			 p->target_name);
	sc_ctl_put_recipient_start(&enc, &m);
	say(pl, SC_CTL_RECIPIENT_START, &enc, fds, m.in_place ? 1 : 2);
	pl->started = true;
}

/* The server is at rest: its redo is on disk up to the end. */
static void send_locked(struct player *pl)
{
	struct sc_enc enc = { 0 };

	sc_enc_u64(&enc, pl->p->end_lsn);
	say(pl, SC_CTL_LOCKED, &enc, NULL, 0);
}

static void take_copied(struct player *pl)
{
	if (pl->p->ddl && !pl->passes++)
		pl->p->ddl(pl->p->arg);
	send_locked(pl);
}

static void send_seal(struct player *pl)
{
	struct sc_ctl_seal m = { .end_lsn = pl->p->end_lsn,
				 .seal_begin_us = sc_wall_us(),
				 .binlog_position = 4,
				 .binlog_file = "binlog.000001",
				 .gtid_flushed = (char *)"",
				 .gtid_executed = (char *)"" };
	struct sc_enc enc = { 0 };

	sc_ctl_put_seal(&enc, &m);
	say(pl, SC_CTL_SEAL, &enc, NULL, 0);
}

static void take_settled(struct player *pl, struct sc_dec *dec)
{
	switch (sc_dec_u8(dec)) {
	case SC_SETTLED_DONE:
		send_seal(pl);
		break;
	case SC_SETTLED_RESTART:
		send_locked(pl);
		break;
	case SC_SETTLED_MORE: /* COPIED comes again */
		break;
	}
}

/* There are no keys. */
static void send_keys(struct player *pl)
{
	struct sc_key_list none = { 0 };
	struct sc_enc enc = { 0 };

	sc_key_put_list(&enc, &none);
	say(pl, SC_CTL_KEYS, &enc, NULL, 0);
}

static void take_ready(struct player *pl, struct sc_dec *dec)
{
	struct sc_ctl_donor_ready m;
	struct player *recipient = pl + 1;

	if (sc_ctl_get_donor_ready(dec, &m) < 0)
		lose(pl);
	else if (pl->p->how != LOCAL && !ended(recipient))
		start_recipient(recipient, m.port);
}

static void take_error(struct player *pl, struct sc_dec *dec)
{
	struct sc_ctl_error m;

	if (sc_ctl_get_error(dec, &m) < 0) {
		lose(pl);
		return;
	}
	pl->end->failed = true;
	pl->end->code = m.code;
	snprintf(pl->end->message, sizeof(m.message), "%s", m.message);
}

static void take_log(struct player *pl, struct sc_dec *dec)
{
	size_t len = strlen(pl->end->log);
	char line[2048];

	(void)sc_dec_u8(dec);
	sc_dec_str(dec, line, sizeof(line));
	if (!dec->failed && len + strlen(line) + 2 < sizeof(pl->end->log))
		sprintf(pl->end->log + len, "%s\n", line);
}

/* What the plugin answers. */
static void take(struct player *pl, const struct sc_ctl_msg *msg)
{
	struct sc_dec dec = sc_ctl_body(msg);

	switch (msg->type) {
	case SC_CTL_DONOR_READY:
		take_ready(pl, &dec);
		break;
	case SC_CTL_COPIED:
		take_copied(pl);
		break;
	case SC_CTL_SETTLED:
		take_settled(pl, &dec);
		break;
	case SC_CTL_KEYS_WANTED:
		send_keys(pl);
		break;
	case SC_CTL_STAGED:
		say(pl, SC_CTL_PREPARE, NULL, NULL, 0);
		break;
	case SC_CTL_PREPARED:
		say(pl, SC_CTL_COMMIT, NULL, NULL, 0);
		break;
	case SC_CTL_DONE:
		pl->end->done = true;
		break;
	case SC_CTL_ERROR:
		take_error(pl, &dec);
		break;
	case SC_CTL_LOG:
		take_log(pl, &dec);
		break;
	}
}

static void hear(struct player *pl)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_err err = SC_ERR_INIT;
	int rc = sc_ctl_recv(pl->sock, &msg, 0, &err);

	if (rc < 0)
		lose(pl);
	else if (rc > 0)
		take(pl, &msg);
}

/* ---- the job ------------------------------------------------------------- */

static void cancel(struct player *pl)
{
	pl->end->told = true;
	/* A daemon without a job does not answer; hanging up ends it. */
	if (pl->started)
		say(pl, SC_CTL_CANCEL, NULL, NULL, 0);
	else
		lose(pl);
}

/* A side that ended in another way than the other must make it end. */
static void heed_failure(struct player *pl, uint64_t *since)
{
	bool failed = false;

	for (int i = 0; i < SIDES; i++)
		failed |= pl[i].end->failed || pl[i].end->lost;
	if (!failed)
		return;
	if (!*since)
		*since = sc_now_ms();
	for (int i = 0; i < SIDES; i++) {
		if (!ended(&pl[i]) && !pl[i].end->told &&
		    (!pl[i].started || sc_now_ms() - *since > OTHER_MS))
			cancel(&pl[i]);
	}
}

static void lead(struct player *pl)
{
	uint64_t began = sc_now_ms(), failed_ms = 0;

	while (!ended(&pl[DONOR]) || !ended(&pl[RECIPIENT])) {
		struct pollfd p[SIDES];

		for (int i = 0; i < SIDES; i++)
			p[i] = (struct pollfd){ .fd = ended(&pl[i])
							      ? -1
							      : pl[i].sock,
						.events = POLLIN };
		(void)poll(p, SIDES, 50);
		for (int i = 0; i < SIDES; i++) {
			if (p[i].revents)
				hear(&pl[i]);
			if (p[i].revents && ended(&pl[i]))
				pl[i].end->ms = (unsigned)(sc_now_ms() - began);
		}
		heed_failure(pl, &failed_ms);
		if (sc_now_ms() - began > JOB_MS)
			break;
	}
	for (int i = 0; i < SIDES; i++)
		pl[i].end->hung = !ended(&pl[i]);
}

static int start_all(struct player *pl, struct sc_err *err)
{
	enum side last = pl->p->how == LOCAL ? DONOR : RECIPIENT;

	for (enum side i = DONOR; i <= last; i++) {
		struct sc_err said = SC_ERR_INIT;

		if (player_start(&pl[i], err) < 0)
			return -1;
		/* One that dies here fails the job, not the play. */
		if (sc_ctl_handshake(pl[i].sock, JOB_MS, &said) == 0) {
			pl[i].end->greeted = true;
			continue;
		}
		lose(&pl[i]);
		snprintf(pl[i].end->message, 512, "%s", said.msg);
	}
	if (!pl[DONOR].end->lost)
		start_donor(&pl[DONOR]);
	return 0;
}

int play(const struct play *p, struct ending ret[SIDES],
	 struct fault_board board[SIDES], struct sc_err *err)
{
	struct player pl[SIDES];
	int rc;

	for (enum side i = DONOR; i < SIDES; i++) {
		ret[i] = (struct ending){ 0 };
		memset(&board[i], 0, sizeof(board[i]));
		pl[i] = (struct player){
			.side = i, .p = p, .end = &ret[i], .sock = -1
		};
	}
	rc = start_all(pl, err);
	if (rc == 0)
		lead(pl);
	for (enum side i = DONOR; i < SIDES; i++)
		player_stop(&pl[i]);
	for (enum side i = DONOR; i < SIDES; i++) {
		if (!pl[i].board)
			continue;
		memcpy(&board[i], pl[i].board, sizeof(board[i]));
		munmap(pl[i].board, sizeof(board[i]));
	}
	return rc;
}

/* Twin of find_cause() in plugin/recipient_end.c. */
const struct ending *play_error(const struct play *p,
				const struct ending end[SIDES])
{
	const struct ending *mine = &end[p->how == LOCAL ? DONOR : RECIPIENT];
	bool remote = !mine->failed || mine->code == SC_ER_CLONE_DONOR ||
		      mine->code == SC_ER_CLONE_PROTOCOL ||
		      mine->code == SC_ER_QUERY_INTERRUPTED;

	if (mine->done || mine->lost)
		return NULL;
	if (p->how != LOCAL && remote && end[DONOR].failed && !end[DONOR].told)
		return &end[DONOR];
	return mine->failed ? mine : NULL;
}

/* 0 when CLEANED came. */
static int await_cleaned(struct player *pl, struct sc_err *err)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_dec dec;
	int rc;

	if (sc_ctl_handshake(pl->sock, JOB_MS, err) < 0)
		return -1;
	say(pl, SC_CTL_CLEAN, NULL, &pl->p->target, 1);
	do
		rc = sc_ctl_recv(pl->sock, &msg, JOB_MS, err);
	while (rc == 1 && msg.type == SC_CTL_LOG);
	if (rc == 1 && msg.type == SC_CTL_CLEANED)
		return 0;
	dec = sc_ctl_body(&msg);
	if (rc == 1)
		take_error(pl, &dec);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "not CLEANED: %s",
			  pl->end->message);
}

int play_clean(const struct play *p, struct sc_err *err)
{
	struct ending end = { 0 };
	struct player pl = { .p = p, .end = &end, .sock = -1 };
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "socket");
	pl.sock = pair[0];
	rc = player_spawn(&pl, NULL, "", pair[1]);
	close(pair[1]);
	rc = rc ? sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc, "%s", p->daemon)
		: await_cleaned(&pl, err);
	player_stop(&pl);
	return rc;
}
