/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of CLONE INSTANCE, shared by the recipient*.c files. Everything here
 * runs on the statement's thread.
 */
#ifndef SC_PLUGIN_RECIPIENT_H
#define SC_PLUGIN_RECIPIENT_H

#include "plugin/com.h"
#include "plugin/daemon_link.h"
#include "plugin/peer.h"
#include "plugin/replace.h"
#include "plugin/roots.h"
#include "plugin/target.h"

struct sc_recipient {
	struct st_thd *thd;
	int ssl_mode;
	char donor[300]; /* host:port */
	struct sc_peer peer;
	struct sc_link link;
	bool link_open;
	struct sc_target target;
	bool target_made;
	struct sc_own_roots roots;   /* this server's directories */
	struct sc_ctl_places places; /* and what the daemon is told of them */
	struct sc_com_config own;
	char donor_uuid[SC_UUID_LEN + 1];
	struct sc_com_state state; /* of the donor, last polled */
	uint64_t polled_ms;
	bool in_place;		       /* without DATA DIRECTORY */
	struct sc_replace *replace;    /* in place, during the commit */
	bool started;		       /* the daemon has a job */
	bool donor_encrypted;	       /* it said so when asked for CONFIG */
	bool keys_wanted;	       /* the daemon asked for the keys */
	struct sc_key_list keys_added; /* to this server's keyring */
	bool staged;	  /* in place: everything is there and checked */
	bool prepared;	  /* in place: the lists are written */
	bool done;	  /* the daemon's DONE came */
	bool daemon_gone; /* its ERROR came, or its socket closed */
	struct sc_err daemon_err, donor_err;
};

/* 0, or -1 (1317) when the statement was killed. */
int sc_recipient_check_killed(struct sc_recipient *r, struct sc_err *err);

/* Ask the donor where it is, when it is time. -1: it failed or is gone, see
 * r->donor_err. */
int sc_recipient_poll(struct sc_recipient *r);

/* Wait up to 200 ms for the donor's next phase, when there is nothing to hear
 * from the daemon. -1: as sc_recipient_poll(). */
int sc_recipient_await_donor(struct sc_recipient *r);

/* Wait a moment for the daemon. -1: it failed or is gone, see
 * r->daemon_err. */
int sc_recipient_hear(struct sc_recipient *r);

/* recipient_keys.c: fetch the donor's master keys and store them in this
 * server's keyring. ret: freed by the caller also after a failure. 0 or -1. */
int sc_recipient_store_keys(struct sc_recipient *r, struct sc_key_list *ret,
			    struct sc_err *err);
/* The same for the daemon that asked, which gets them. */
int sc_recipient_answer_keys(struct sc_recipient *r, struct sc_err *err);
/* The clone has ended: one that failed takes its keys out again. */
void sc_recipient_end_keys(struct sc_recipient *r, int rc);

/* In place: InnoDB's files must all be below the data directory, and the system
 * tablespace be configured as the donor's. Before anything is touched. */
int sc_recipient_check_in_place(const struct sc_com_config *own,
				const struct sc_com_config *donor,
				struct sc_err *err);

/* In place: commit what is staged. 0: the next start swaps. -1: everything can
 * still be undone, err may be empty when daemon or donor failed. */
int sc_recipient_replace(struct sc_recipient *r, struct sc_err *err);
/* Undo a commit that failed, after the daemon was told. */
void sc_recipient_undo_replace(struct sc_recipient *r);

/*
 * The end, good (rc 0) or bad: err becomes the error that started it; donor
 * and daemon are told and left. The target stays.
 */
void sc_recipient_leave(struct sc_recipient *r, int rc, struct sc_err *err);

#endif
