/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The recipient's end of the COM_CLONE connection: connecting with the
 * clone_ssl_* settings, and one call per command of com.h. Statement thread.
 */
#ifndef SC_PLUGIN_PEER_H
#define SC_PLUGIN_PEER_H

#include "io/base/err.h"
#include "plugin/abi.h"
#include "plugin/com.h"

#include <stdbool.h>

struct sc_peer {
	struct st_thd *thd;
	struct st_mysql *conn;	  /* NULL: not connected */
	int fd;			  /* its socket, for addresses only */
	bool tls;		  /* the connection is encrypted */
	bool broken;		  /* no answer can be expected any more */
	struct st_net_server net; /* lent to the connection when compressed */
};

/* Connect and log in; mysqld raises the stock plugin's error (3862). Returns
 * 0 or -1. */
int sc_peer_connect(struct sc_peer *peer, struct st_thd *thd, const char *host,
		    unsigned port, const char *user, const char *password,
		    int ssl_mode, struct sc_err *err);

/* Disconnect. Clears whatever error the connection raised in the statement:
 * the caller raises the one that counts. Legal when not connected. */
void sc_peer_disconnect(struct sc_peer *peer);

/* The commands; 0 or -1. An ERROR of the donor becomes 3862 with its number
 * and text, as stock does. */
int sc_peer_hello(struct sc_peer *peer, struct sc_err *err);
int sc_peer_config(struct sc_peer *peer, struct sc_com_config *ret,
		   struct sc_err *err);
int sc_peer_start(struct sc_peer *peer, const struct sc_com_start *start,
		  struct sc_err *err);
/* ret: the last answer (all zero at first), for the next one; it comes when the
 * phase changed, or after wait_ms, 0 to SC_COM_POLL_MS. */
int sc_peer_poll(struct sc_peer *peer, unsigned wait_ms,
		 struct sc_com_state *ret, struct sc_err *err);
/* ret: freed by the caller also after a failure. */
int sc_peer_keys(struct sc_peer *peer, struct sc_key_list *ret,
		 struct sc_err *err);
int sc_peer_end(struct sc_peer *peer, uint32_t error_no, struct sc_err *err);

#endif
