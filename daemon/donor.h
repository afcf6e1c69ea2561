/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of a donor job, shared by donor.c, donor_redo.c and donor_steps.c. */
#ifndef SC_DAEMON_DONOR_H
#define SC_DAEMON_DONOR_H

#include "daemon/data_server.h"
#include "daemon/job.h"
#include "daemon/keys.h"
#include "daemon/provider.h"
#include "daemon/sinks.h"
#include "io/copy.h"
#include "io/redo/follow.h"
#include "io/redo/keyscan.h"
#include "io/redo/notes.h"
#include "io/redo/spool.h"

struct donor {
	struct sc_job job;
	struct sc_ctl_donor_start start;
	const struct sc_config *config;
	int fds[SC_DONOR_FDS_MAX]; /* by SC_DONOR_FD_*, -1 = none */
	struct sc_roots roots;	   /* directories of tablespaces */

	struct sc_image *image;
	struct sc_image *running;  /* the files as they are now; may be image */
	bool given_back;	   /* the image, as far as that went */
	struct sc_dblwr *dblwr;	   /* of an atomic image */
	bool share;		   /* local: files share extents with those of
				      the server */
	struct sc_reflink sharing; /* what that has cost */
	struct sc_filelist list;
	struct sc_redo_checkpoint followed_from; /* where the follower began */
	struct sc_redo_checkpoint checkpoint;	 /* C */
	struct sc_redo_follow *follow;
	struct sc_keys keys;
	struct sc_redo_keyscan keyscan; /* the follower's */
	struct sc_redo_notes *notes;	/* what DDL did */
	struct sc_filelist known;	/* the running files, as last listed */
	atomic_uchar *aside; /* one per file of the list, see copy.h */
	unsigned passes, restarts;
	size_t added_from; /* by the last pass: index into the list */
	bool passing;	   /* what it added is not copied yet */
	struct sc_redo_spool *spool;
	struct sc_staged *stage;       /* local */
	bool committed;		       /* local: the target counts */
	struct sc_data_server *server; /* remote */
	struct sc_sink *sink;
	struct sc_copy copy;
	atomic_uint n_streams; /* opened so far */
	/* Bytes of all files, for other threads: a pass changes the list. */
	atomic_uint_fast64_t planned;
	struct sc_rate data_rate, network_rate;

	pthread_t follower, sender;
	bool following, sending;
	atomic_uint_fast64_t followed_lsn;
	atomic_uint pokes;	      /* ask the follower to look at once */
	atomic_bool redo_lost;	      /* recycled before it was read */
	struct sc_err lost;	      /* before redo_lost is set: why */
	atomic_bool copy_cut;	      /* likewise: the streams ended for it */
	atomic_bool one_moment;	      /* the image is atomic, with its redo */
	atomic_bool list_changed;     /* by a pass */
	bool at_image;		      /* redo was lost: E is S */
	bool played_lost;	      /* redo, by a test */
	atomic_uint_fast64_t end_lsn; /* E, 0 until it is known */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* by CLOCK_MONOTONIC */
	unsigned streams_running;
	bool copied;		     /* the first copy is over */
	struct sc_ctl_locked locked; /* lsn 0: it did not come */
	bool have_seal;
	struct sc_seal seal;
	unsigned streams_ended; /* local */
};

/*
 * donor_image.c: make the image; C and, of an atomic one, its doublewrite files
 * are known then. The follower runs.
 */
int donor_open_image(struct donor *d, struct sc_err *err);
/* S: read the redo of an atomic image to its end; nothing of others. */
int donor_find_image_end(struct donor *d, struct sc_err *err);
/* Something failed: when the image is lost, that is why (reads fail then, and
 * pages are damaged), and what err becomes. Any stream's thread. */
void donor_blame_image(struct donor *d, struct sc_err *err);
/* All streams have ended: the last check, and give the image back. What is
 * copied from here on comes from the running files. */
int donor_drop_image(struct donor *d, struct sc_err *err);
/* Whatever is left of it; nobody reads it any more. More than once is legal. */
void donor_close_image(struct donor *d);

/* donor_share.c: may a local clone's files share extents with the server's? */
bool donor_may_share(struct donor *d, const struct sc_image_request *request);
/* Share those of the list from that one on, all that can be; the stage has made
 * them. What was not shared is copied after it. locked: none of them may be
 * amiss, else they are set aside. */
int donor_share_files(struct donor *d, size_t from, bool locked,
		      struct sc_err *err);

/* donor_redo.c: the threads that read the redo and pass it on. */
int donor_start_follower(struct donor *d, struct sc_err *err);
int donor_start_sender(struct donor *d, struct sc_err *err);
/* The follower of lost redo has ended: go on in the redo of the image, up to S.
 * What is not there leaves all as it was. 0 or -1. */
int donor_follow_image(struct donor *d, struct sc_err *err);
/* The delta ends with S, which is what was followed at least. 0 or -1. */
int donor_end_redo(struct donor *d, struct sc_err *err);
/* Join both, whose redo was lost, and forget what there is of it. */
void donor_forget_redo(struct donor *d);
/* The follower looks at once. */
void donor_poke_follower(struct donor *d);
/* E is known: the follower looks at once. */
void donor_set_end(struct donor *d, uint64_t end_lsn);
/* Join the follower, which ends at E. */
void donor_join_follower(struct donor *d);
/* Join the sender, which ends when it has passed on everything. */
void donor_join_sender(struct donor *d);

/* donor_keys.c: the key of the redo log, for the follower. */
int donor_redo_key(void *ctx, struct sc_space_key *ret, struct sc_err *err);
/* Keep the keys that these blocks bring and note DDL; the follower's thread.
 * 0 or -1. */
int donor_scan_redo(struct donor *d, const uint8_t *blocks, size_t len,
		    uint64_t lsn, struct sc_err *err);
/* Note DDL in the last block, which is not complete yet. */
int donor_scan_partial(struct donor *d, struct sc_err *err);
/* The redo log's encryption block for the seal. E has been followed. */
int donor_seal_redo_key(struct donor *d, struct sc_err *err);

/* donor_pass.c: list the running files; needs look only at what was written
 * since the last time. */
int donor_list_running(struct donor *d, struct sc_err *err);
/* What differs from what was copied, by files and notes up to that LSN; or the
 * redo is lost. changes: zeroed. */
int donor_find_changes(struct donor *d, uint64_t lsn,
		       struct sc_file_changes *changes, struct sc_err *err);
/* struct sc_copy's: DDL may be why a page is not sound. */
bool donor_excused(void *ctx, const struct sc_file *file);

/* donor_notes.c: forget notes that were none. Reads a page for each. */
int donor_weed_notes(struct donor *d, struct sc_err *err);

/*
 * donor_lost.c: redo was recycled before it was read. The follower's thread,
 * when that happens: an image of one moment is still copied, all else is not.
 */
void donor_lose_redo(struct donor *d, const struct sc_err *err);
/* All streams have ended, the image is still there: is redo lost that it has?
 * 0 or -1. */
int donor_save_redo(struct donor *d, struct sc_err *err);
/* Redo was lost and the plugin holds DDL off: end with S, 1, or ask it to hold
 * redo files anew for another beginning, 0 (LOCKED comes again), or -1. */
int donor_settle_lost(struct donor *d, const struct sc_ctl_locked *locked,
		      struct sc_err *err);
/* Begin anew, from a new C: what changes then. 0 or -1. */
int donor_restart(struct donor *d, uint64_t lsn,
		  struct sc_file_changes *changes, struct sc_err *err);

/* donor_play.c, for tests: is redo to be lost now, before the follower's next
 * look or after it? Then err is set. The follower's thread. */
bool donor_plays_lost(struct donor *d, bool has_looked, struct sc_err *err);
/* The list was changed: wait until redo is lost, if it is to be lost then. */
void donor_play_change(struct donor *d);

/* donor_settle.c: what that look has found. 0 or -1. */
int donor_send_settled(struct donor *d, const struct sc_ctl_settled *settled,
		       struct sc_err *err);
/* Change the list, and the sink's; what is added is next to be copied. */
int donor_change_list(struct donor *d, const struct sc_file_changes *changes,
		      struct sc_err *err);
/* After the first copy, until the files are those that the
 * server has now, and the plugin holds DDL off. */
int donor_settle(struct donor *d, struct sc_err *err);
/* Nothing is set aside yet; the list is made. */
int donor_prepare_aside(struct donor *d, struct sc_err *err);

/* donor_local.c: the first copy of a local clone; more streams as long as that
 * helps. */
int donor_copy_local(struct donor *d, struct sc_err *err);

/* donor_seal.c: wait for the plugin's SEAL, take the sizes, follow and pass on
 * the redo to E. 0 or -1. */
int donor_seal(struct donor *d, struct sc_err *err);

/* donor_steps.c. Tell the sink which redo comes. */
int donor_begin_redo(struct donor *d, struct sc_err *err);
/* Copy what is in the queue as that stream. */
int donor_copy_stream(struct donor *d, unsigned stream, struct sc_err *err);
/* A stream of the first copy, in a thread of its own. */
int donor_run_stream(struct sc_job *job, unsigned stream, struct sc_err *err);
/* 0, or -1 (1317) when the job was cancelled. */
int donor_stopped(struct donor *d, struct sc_err *err);
/* The whole job, step by step. */
int donor_run_steps(struct donor *d, struct sc_err *err);

#endif
