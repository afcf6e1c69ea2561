/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What recipient and donor plugin say to each other over MySQL's COM_CLONE
 * connection. The recipient sends a command byte and a body; the donor answers
 * each with exactly one packet: a code byte and a body. Pure functions.
 *
 *   recipient                         donor
 *   HELLO {u32 version, str software}   -> DATA, the same of the donor
 *   CONFIG                              -> DATA {struct sc_com_config}
 *   START {struct sc_com_start}         -> COMPLETE
 *   POLL {struct sc_com_poll}           -> DATA {struct sc_com_state}
 *   KEYS                                -> DATA {struct sc_key_list}, TLS only
 *   END {u32 error number, 0 = done}    -> COMPLETE
 *
 * Any command may be answered by ERROR {u32 number, text to the end}, in the
 * stock plugin's format; command and code bytes are chosen so that a stock
 * peer is recognised. Version rule: equal on both sides, any change of a body
 * bumps it.
 */
#ifndef SC_PLUGIN_COM_H
#define SC_PLUGIN_COM_H

#include "io/base/codec.h"
#include "io/base/ctl.h"
#include "plugin/donor.h"

#include <stdbool.h>
#include <stdint.h>

#define SC_COM_VERSION 5

enum sc_com_command {
	SC_COM_STOCK_INIT = 1, /* 1..6 are the stock plugin's */
	SC_COM_STOCK_EXIT = 6,
	SC_COM_HELLO = 201,
	SC_COM_CONFIG = 202,
	SC_COM_START = 203,
	SC_COM_POLL = 204,
	SC_COM_END = 205,
	SC_COM_KEYS = 206,
};

enum sc_com_code {
	SC_COM_DATA = 1,
	SC_COM_COMPLETE = 99,
	SC_COM_ERROR = 100,
};

/* Strings, owned. */
struct sc_list {
	char **items;
	size_t count;
	bool failed; /* out of memory */
};

#define SC_LIST_MAX 65536
#define SC_LIST_STRING_MAX 4096

void sc_list_add(struct sc_list *list, const char *s);
void sc_list_free(struct sc_list *list);

/* What must fit together before anything is copied. */
struct sc_com_config {
	struct sc_list variables;  /* name, value, name, value, ... */
	struct sc_list plugins;	   /* name, library or "", ... */
	struct sc_list collations; /* name, ... */
};

void sc_com_config_free(struct sc_com_config *config);
#define CLEANUP_CONFIG __attribute__((cleanup(sc_com_config_free)))

struct sc_com_hello {
	uint32_t version;
	char software[32];
};

struct sc_com_start {
	bool tls; /* data over TLS with the key; else plain text */
	bool block_ddl;
	bool compress;	      /* chunks, where it pays */
	uint32_t ddl_timeout; /* s */
	uint32_t streams;
	uint32_t data_bandwidth, network_bandwidth; /* MiB/s, 0 = no limit */
};

/* The recipient asks at least every 200 ms or so. */
struct sc_com_poll {
	uint8_t seen; /* the phase it knows, enum sc_donor_phase */
	/* Answer only when the phase is another, or after so long: 0 (at once)
	 * to SC_COM_POLL_MS. The donor's thread looks for KILL in between. */
	uint16_t wait_ms;
	/* The recipient's limits now, MiB/s, 0 = no limit. */
	uint32_t data_bandwidth, network_bandwidth;
};
#define SC_COM_POLL_MS 200

struct sc_com_state {
	uint8_t phase; /* enum sc_donor_phase */
	/* phase READY: */
	uint16_t port;
	uint8_t job_id[SC_JOB_ID_SIZE];
	uint8_t key[SC_JOB_KEY_SIZE];
	uint32_t files;
	uint64_t bytes;
	/* phase FAILED: */
	uint32_t error_no;
	char error_text[512];
};

void sc_com_put_hello(struct sc_enc *enc, const struct sc_com_hello *m);
void sc_com_put_config(struct sc_enc *enc, const struct sc_com_config *m);
void sc_com_put_start(struct sc_enc *enc, const struct sc_com_start *m);
void sc_com_put_poll(struct sc_enc *enc, const struct sc_com_poll *m);
void sc_com_put_state(struct sc_enc *enc, const struct sc_com_state *m);

/* Decode and validate: 0, or -1 for a malformed body. The one for the config
 * allocates: free it also after a failure. */
int sc_com_get_hello(struct sc_dec *dec, struct sc_com_hello *ret);
int sc_com_get_config(struct sc_dec *dec, struct sc_com_config *ret);
int sc_com_get_start(struct sc_dec *dec, struct sc_com_start *ret);
int sc_com_get_poll(struct sc_dec *dec, struct sc_com_poll *ret);
int sc_com_get_state(struct sc_dec *dec, struct sc_com_state *ret);
/* The body of an ERROR answer; text is not NUL-terminated on the wire. */
int sc_com_get_error(const uint8_t *body, size_t len, uint32_t *ret_nr,
		     char *text, size_t cap);

#endif
