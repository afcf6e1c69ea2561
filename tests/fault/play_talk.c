/* SPDX-License-Identifier: GPL-2.0-only */
/* What plugins and daemons say to each other; see play_impl.h. */
#include "tests/fault/play_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"

#include <stdio.h>
#include <string.h>

enum {
	PAGE = 16384,
	STREAMS = 2,
};

static const uint8_t job_id[SC_JOB_ID_SIZE] = { 1, 2, 3 };
static const uint8_t job_key[SC_JOB_KEY_SIZE] = { 4, 5, 6 };

bool player_ended(const struct player *pl)
{
	const struct ending *e = pl->end;

	return !e->used || e->done || e->failed || e->lost;
}

void player_lose(struct player *pl)
{
	pl->end->lost = true;
}

void player_say(struct player *pl, uint16_t type, struct sc_enc *enc,
		const int *fds, int n)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_enc none = { 0 };

	/* One that is gone is noticed when it is heard. */
	(void)sc_ctl_send_enc(pl->sock, type, enc ? enc : &none, fds, n, &err);
}

void player_start_donor(struct player *pl)
{
	const struct play *p = pl->p;
	struct sc_ctl_donor_start m = {
		.tls = how_traits[p->how].tls,
		.local = how_traits[p->how].local,
		.compress = how_traits[p->how].compress,
		.provider = (uint8_t)how_traits[p->how].provider,
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
	player_say(pl, SC_CTL_DONOR_START, &enc, fds,
		   m.local ? SC_DONOR_FDS_LOCAL : SC_DONOR_FDS_REMOTE);
	pl->started = true;
}

static void start_recipient(struct player *pl, uint16_t port)
{
	const struct play *p = pl->p;
	struct sc_ctl_recipient_start m = { .tls = how_traits[p->how].tls,
					    .in_place =
						    how_traits[p->how].in_place,
					    .streams = STREAMS,
					    .page_size = PAGE,
					    .port = port,
					    .address = "127.0.0.1",
					    .peer = "campaign",
					    .places = { .roots = { .n = 1 } } };
	int fds[] = { p->target, p->parent };
	struct sc_enc enc = { 0 };

	memcpy(m.job_id, job_id, sizeof(m.job_id));
	memcpy(m.key, job_key, sizeof(m.key));
	if (!m.in_place)
		snprintf(m.target_name, sizeof(m.target_name), "%s",
			 p->target_name);
	sc_ctl_put_recipient_start(&enc, &m);
	player_say(pl, SC_CTL_RECIPIENT_START, &enc, fds, m.in_place ? 1 : 2);
	pl->started = true;
}

/* The server is at rest: its redo is on disk up to the end. */
static void send_locked(struct player *pl)
{
	const struct sc_ctl_locked m = { .lsn = pl->p->end_lsn,
					 .quiet_image = true };
	struct sc_enc enc = { 0 };

	sc_ctl_put_locked(&enc, &m);
	player_say(pl, SC_CTL_LOCKED, &enc, NULL, 0);
}

static void take_copied(struct player *pl)
{
	if (!pl->end->passes++ && pl->p->ddl)
		pl->p->ddl(pl->p->arg);
	send_locked(pl);
}

/* At S there is no position. */
static void send_seal(struct player *pl, const struct sc_ctl_settled *settled)
{
	struct sc_ctl_seal m = { .end_lsn = settled->image_lsn,
				 .seal_begin_us = sc_wall_us(),
				 .gtid_flushed = (char *)"",
				 .gtid_executed = (char *)"" };
	struct sc_enc enc = { 0 };

	if (settled->what == SC_SETTLED_IMAGE) {
		snprintf(m.redo_lost, sizeof(m.redo_lost), "%s", settled->why);
	} else {
		m.end_lsn = pl->p->end_lsn;
		m.binlog_position = 4;
		strcpy(m.binlog_file, "binlog.000001");
	}
	sc_ctl_put_seal(&enc, &m);
	player_say(pl, SC_CTL_SEAL, &enc, NULL, 0);
}

static void take_settled(struct player *pl, struct sc_dec *dec)
{
	struct sc_ctl_settled settled;

	if (sc_ctl_get_settled(dec, &settled) < 0) {
		player_lose(pl);
		return;
	}
	switch (settled.what) {
	case SC_SETTLED_DONE:
	case SC_SETTLED_IMAGE:
		send_seal(pl, &settled);
		break;
	case SC_SETTLED_RESTART:
		send_locked(pl);
		break;
	case SC_SETTLED_MORE: /* COPIED comes again */
		break;
	}
}

/* To a donor those it asks for, to a recipient, which names none, all. */
static void send_keys(struct player *pl, struct sc_dec *dec)
{
	const struct sc_key_list *all = pl->p->keys;
	CLEANUP_KEYS struct sc_key_list asked = { 0 };
	struct sc_key_ref refs[SC_CTL_MAX_REFS];
	struct sc_enc enc = { 0 };
	size_t n = SC_CTL_MAX_REFS;

	if (sc_key_get_refs(dec, refs, &n) < 0)
		player_lose(pl);
	for (size_t i = 0; i < n; i++) {
		const struct sc_master_key *key =
			sc_key_list_find(all, &refs[i]);

		if (key)
			(void)sc_key_list_add(&asked, key);
	}
	sc_key_put_list(&enc, n ? &asked : all);
	player_say(pl, SC_CTL_KEYS, &enc, NULL, 0);
}

static void take_ready(struct player *pl, struct sc_dec *dec)
{
	struct sc_ctl_donor_ready m;
	struct player *recipient = pl + 1;

	if (sc_ctl_get_donor_ready(dec, &m) < 0)
		player_lose(pl);
	else if (!how_traits[pl->p->how].local && !player_ended(recipient))
		start_recipient(recipient, m.port);
}

void player_take_error(struct player *pl, struct sc_dec *dec)
{
	struct sc_ctl_error m;

	if (sc_ctl_get_error(dec, &m) < 0) {
		player_lose(pl);
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
		send_keys(pl, &dec);
		break;
	case SC_CTL_STAGED:
		player_say(pl, SC_CTL_PREPARE, NULL, NULL, 0);
		break;
	case SC_CTL_PREPARED:
		player_say(pl, SC_CTL_COMMIT, NULL, NULL, 0);
		break;
	case SC_CTL_DONE:
		pl->end->done = true;
		break;
	case SC_CTL_ERROR:
		player_take_error(pl, &dec);
		break;
	case SC_CTL_LOG:
		take_log(pl, &dec);
		break;
	}
}

void player_hear(struct player *pl)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_err err = SC_ERR_INIT;
	int rc = sc_ctl_recv(pl->sock, &msg, 0, &err);

	if (rc < 0)
		player_lose(pl);
	else if (rc > 0)
		take(pl, &msg);
}
