/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * InnoDB's master keys as plugin and daemon exchange them: names, and a list
 * with values. Values are cleared before memory is given back, and never part
 * of a message.
 */
#ifndef SC_BASE_KEYLIST_H
#define SC_BASE_KEYLIST_H

#include "io/base/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Source: Encryption::KEY_LEN, SERVER_UUID_LEN in os0enc.h. */
#define SC_MASTER_KEY_SIZE 32
#define SC_KEY_UUID_LEN 36
/* Most keys of one clone: a server makes one per rotation. */
#define SC_KEYS_MAX 4096
/* "INNODBKey-", uuid, "-", ten digits, NUL. Source: MASTER_KEY_PREFIX and
 * get_master_key() in os0enc.cc. */
#define SC_KEY_NAME_SIZE 64
/* Bytes of one key in a message: name, id, value. */
#define SC_KEY_BODY_SIZE (4 + SC_KEY_UUID_LEN + 4 + SC_MASTER_KEY_SIZE)

/* Which master key: InnoDB names it so in what it wraps. */
struct sc_key_ref {
	char uuid[SC_KEY_UUID_LEN + 1]; /* server that made it */
	uint32_t id;			/* 1.. */
};

struct sc_master_key {
	struct sc_key_ref ref;
	uint8_t value[SC_MASTER_KEY_SIZE];
};

/* Zero-initialise; one owner at a time. */
struct sc_key_list {
	struct sc_master_key *keys; /* owned */
	size_t n, cap;
};

void sc_key_list_free(struct sc_key_list *list);
#define CLEANUP_KEYS __attribute__((cleanup(sc_key_list_free)))

/* True for 8-4-4-4-12 hexadecimal digits. */
bool sc_key_uuid_ok(const char *uuid);

/* The name the keyring has it under. */
void sc_key_name(const struct sc_key_ref *ref, char name[SC_KEY_NAME_SIZE]);

bool sc_key_ref_equal(const struct sc_key_ref *a, const struct sc_key_ref *b);

/* The key of that name, or NULL; valid until the list changes. */
const struct sc_master_key *sc_key_list_find(const struct sc_key_list *list,
					     const struct sc_key_ref *ref);

/* Append a copy. 0, or -1: out of memory, SC_KEYS_MAX. */
int sc_key_list_add(struct sc_key_list *list, const struct sc_master_key *key);

/* Names and lists in messages: u32 count, then str uuid, u32 id and, in a list,
 * 32 bytes. The decoders validate: 0 or -1. refs: room for SC_KEYS_MAX is not
 * needed, *n is the room on entry. */
void sc_key_put_refs(struct sc_enc *enc, const struct sc_key_ref *refs,
		     size_t n);
int sc_key_get_refs(struct sc_dec *dec, struct sc_key_ref *refs, size_t *n);
void sc_key_put_list(struct sc_enc *enc, const struct sc_key_list *list);
/* ret: freed by the caller also after a failure; dec->no_memory says when that
 * was the reason. */
int sc_key_get_list(struct sc_dec *dec, struct sc_key_list *ret);

#endif
