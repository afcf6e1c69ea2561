/* SPDX-License-Identifier: GPL-2.0-only */
/* Two ends of a connection over loopback, and a man in the middle. */
#ifndef SC_CONN_FIXTURE_H
#define SC_CONN_FIXTURE_H

#include "daemon/conn.h"

#include <pthread.h>

/* No read or write of a test takes longer, whatever is broken; what shall end
 * sooner ends within FX_SOON_MS, however slow the machine is. */
enum { FX_LIMIT_MS = 20000, FX_SOON_MS = 10000 };

extern const uint8_t fx_job_id[SC_JOB_ID_SIZE];

struct fx_end {
	pthread_t thread;
	int fd;
	uint8_t id[SC_JOB_ID_SIZE], key[SC_JOB_KEY_SIZE];
	bool server;
	struct sc_tls_options options;
	struct sc_conn *conn;
	struct sc_err err;
};

extern struct fx_end fx_server, fx_client;

/* Connected sockets with FX_LIMIT_MS. */
void fx_tcp_pair(int *ret_server, int *ret_client);

/* cmocka's setup and teardown: both ends with sockets and the same key; fails
 * when a descriptor is left. */
int fx_conn_setup(void **state);
int fx_conn_teardown(void **state);

/* Close one end, whoever owns its descriptor. */
void fx_hang_up(struct fx_end *e);

/* The handshake of one end in its thread; it hangs up when it failed. */
void fx_start(struct fx_end *e);
void fx_join(struct fx_end *e);
void fx_shake_hands(void);
/* The same, and fail the test when it failed. */
void fx_connected(void);

/* ---- a man in the middle ---------------------------------------------------
 */

struct fx_relay {
	pthread_t thread;
	int fd[2];	    /* towards the server, towards the client */
	_Atomic uint64_t n; /* bytes from the server so far */
	/* Counted from the server's first byte; UINT64_MAX: never. */
	_Atomic uint64_t flip_at; /* change this byte ... */
	uint8_t flip;		  /* ... by this pattern */
	_Atomic uint64_t cut_at;  /* hang up on both before this byte */
};

/* Put it between the ends, before their handshake. It ends with them. */
void fx_relay_start(struct fx_relay *r);
void fx_relay_join(struct fx_relay *r);

#endif
