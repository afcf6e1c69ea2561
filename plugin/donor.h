/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's side of one clone, used by remote and by local clones: locks and
 * marks on this server, and the daemon that copies. It runs in threads of its
 * own; the statement (or COM_CLONE) thread that made it polls it, cancels it
 * and frees it.
 */
#ifndef SC_PLUGIN_DONOR_H
#define SC_PLUGIN_DONOR_H

#include "io/base/ctl.h"
#include "io/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sc_donor_request {
	bool local;
	bool tls;
	bool compress;
	bool block_ddl; /* hold the backup lock from the beginning */
	uint32_t streams;
	uint32_t data_bandwidth, network_bandwidth; /* MiB/s, 0 = no limit */
	uint32_t ddl_timeout; /* s to wait for DDL that runs at the beginning */
	char bind_address[64];	  /* numeric; remote only */
	char peer[256];		  /* who asked, for logs */
	int target_fd, parent_fd; /* local only; borrowed until freed */
	char target_name[256];
};

enum sc_donor_phase {
	SC_DONOR_PREPARING = 0,
	SC_DONOR_READY,	 /* the daemon listens, or copies when local */
	SC_DONOR_SEALED, /* E is fixed, locks are gone */
	SC_DONOR_DONE,
	SC_DONOR_FAILED,
	SC_DONOR_PHASE_COUNT,
};

struct sc_donor_state {
	enum sc_donor_phase phase;
	uint8_t job_id[SC_JOB_ID_SIZE];
	uint8_t key[SC_JOB_KEY_SIZE];
	struct sc_ctl_donor_ready ready; /* from READY on */
	struct sc_err err;		 /* when FAILED */
};

struct sc_donor;

/*
 * Begin. Returns at once; NULL with err set when this server is being replaced
 * by a clone (3634), or not even a thread can be had. The request is copied.
 */
struct sc_donor *sc_donor_start(const struct sc_donor_request *request,
				struct sc_err *err);

/* Where it is. Never blocks for long. */
void sc_donor_get_state(struct sc_donor *donor, struct sc_donor_state *ret);

/* Wait until the phase differs from `seen` or timeout_ms passed. */
void sc_donor_wait(struct sc_donor *donor, enum sc_donor_phase seen,
		   unsigned timeout_ms);

/* Other limits from now on, MiB/s, 0 = no limit. For every poll: the daemon is
 * told what changed, once it copies. */
void sc_donor_limit(struct sc_donor *donor, uint32_t data_bandwidth,
		    uint32_t network_bandwidth);

/* The master keys that the clone needs, as far as known: all from SEALED on.
 * Adds copies to ret; 0, or -1 (out of memory). */
int sc_donor_keys(struct sc_donor *donor, struct sc_key_list *ret);

/* The seal, valid when DONE; borrowed until freed. */
const struct sc_ctl_seal *sc_donor_seal(const struct sc_donor *donor);

/* Ask it to end; it fails with 1317. Legal in every phase, returns at once. */
void sc_donor_cancel(struct sc_donor *donor);

/* Cancel it if it runs, wait for its end (under 1 s plus the daemon's end)
 * and free it. NULL is legal. */
void sc_donor_free(struct sc_donor *donor);

#endif
