/* SPDX-License-Identifier: GPL-2.0-only */
/* See play.h. */
#include "tests/fault/play_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	/* When one side has failed, the other hears of it from its peer: from
	 * its daemon, or else from its plugin, which tells its daemon. */
	OTHER_MS = 1000,
	/* Longer takes no job, whatever fails in it. */
	JOB_MS = 20000,
};

const char *const side_names[SIDES] = { "donor", "recipient" };

static void cancel(struct player *pl)
{
	pl->end->told = true;
	/* A daemon without a job does not answer; hanging up ends it. */
	if (pl->started)
		player_say(pl, SC_CTL_CANCEL, NULL, NULL, 0);
	else
		player_lose(pl);
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
		if (!player_ended(&pl[i]) && !pl[i].end->told &&
		    (!pl[i].started || sc_now_ms() - *since > OTHER_MS))
			cancel(&pl[i]);
	}
}

static void lead(struct player *pl)
{
	uint64_t began = sc_now_ms(), failed_ms = 0;

	while (!player_ended(&pl[DONOR]) || !player_ended(&pl[RECIPIENT])) {
		struct pollfd p[SIDES];

		for (int i = 0; i < SIDES; i++)
			p[i] = (struct pollfd){ .fd = player_ended(&pl[i])
							      ? -1
							      : pl[i].sock,
						.events = POLLIN };
		(void)poll(p, SIDES, 50);
		for (int i = 0; i < SIDES; i++) {
			if (p[i].revents)
				player_hear(&pl[i]);
			if (p[i].revents && player_ended(&pl[i]))
				pl[i].end->ms = (unsigned)(sc_now_ms() - began);
		}
		heed_failure(pl, &failed_ms);
		if (sc_now_ms() - began > JOB_MS)
			break;
	}
	for (int i = 0; i < SIDES; i++)
		pl[i].end->hung = !player_ended(&pl[i]);
}

static int start_all(struct player *pl, struct sc_err *err)
{
	enum side last = how_traits[pl->p->how].local ? DONOR : RECIPIENT;

	for (enum side i = DONOR; i <= last; i++) {
		struct sc_err said = SC_ERR_INIT;

		if (player_start(&pl[i], err) < 0)
			return -1;
		/* One that dies here fails the job, not the play. */
		if (sc_ctl_handshake(pl[i].sock, JOB_MS, &said) == 0) {
			pl[i].end->greeted = true;
			continue;
		}
		player_lose(&pl[i]);
		snprintf(pl[i].end->message, 512, "%s", said.msg);
	}
	if (!pl[DONOR].end->lost)
		player_start_donor(&pl[DONOR]);
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
	const struct ending *mine =
		&end[how_traits[p->how].local ? DONOR : RECIPIENT];
	bool remote = !mine->failed || mine->code == SC_ER_CLONE_DONOR ||
		      mine->code == SC_ER_CLONE_PROTOCOL ||
		      mine->code == SC_ER_QUERY_INTERRUPTED;

	if (mine->done || mine->lost)
		return NULL;
	if (!how_traits[p->how].local && remote && end[DONOR].failed &&
	    !end[DONOR].told)
		return &end[DONOR];
	return mine->failed ? mine : NULL;
}

/* 0 when CLEANED came. */
static int await_cleaned(struct player *pl, struct sc_err *err)
{
	const struct sc_ctl_places places = { .roots = { .n = 1 } };
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	struct sc_enc enc = { 0 };
	struct sc_dec dec;
	int rc;

	if (sc_ctl_handshake(pl->sock, JOB_MS, err) < 0)
		return -1;
	sc_ctl_put_places(&enc, &places);
	player_say(pl, SC_CTL_CLEAN, &enc, &pl->p->target, 1);
	do
		rc = sc_ctl_recv(pl->sock, &msg, JOB_MS, err);
	while (rc == 1 && msg.type == SC_CTL_LOG);
	if (rc == 1 && msg.type == SC_CTL_CLEANED)
		return 0;
	dec = sc_ctl_body(&msg);
	if (rc == 1)
		player_take_error(pl, &dec);
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
