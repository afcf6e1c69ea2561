/* SPDX-License-Identifier: GPL-2.0-only */
/* Lists of master keys; see keylist.h. Pure functions. */
#include "io/base/keylist.h"

#include "io/base/num.h"
#include "io/base/secret.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAP = 32 };

void sc_key_list_free(struct sc_key_list *list)
{
	sc_secret_free(list->keys, list->cap * sizeof(*list->keys));
	*list = (struct sc_key_list){ 0 };
}

bool sc_key_uuid_ok(const char *uuid)
{
	for (size_t i = 0; i < SC_KEY_UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' : !isxdigit((unsigned char)uuid[i]))
			return false;
	}
	return true;
}

void sc_key_name(const struct sc_key_ref *ref, char name[SC_KEY_NAME_SIZE])
{
	snprintf(name, SC_KEY_NAME_SIZE, "INNODBKey-%.36s-%u", ref->uuid,
		 ref->id);
}

bool sc_key_ref_equal(const struct sc_key_ref *a, const struct sc_key_ref *b)
{
	return a->id == b->id && !strcmp(a->uuid, b->uuid);
}

const struct sc_master_key *sc_key_list_find(const struct sc_key_list *list,
					     const struct sc_key_ref *ref)
{
	for (size_t i = 0; i < list->n; i++) {
		if (sc_key_ref_equal(&list->keys[i].ref, ref))
			return &list->keys[i];
	}
	return NULL;
}

/* Not realloc(3): that leaves a copy behind. */
static int grow(struct sc_key_list *list)
{
	size_t cap = list->cap ? 2 * list->cap : FIRST_CAP;
	struct sc_master_key *keys = sc_secret_alloc(cap * sizeof(*keys));
	size_t n = list->n;

	if (!keys)
		return -1;
	if (n)
		memcpy(keys, list->keys, n * sizeof(*keys));
	sc_key_list_free(list);
	*list = (struct sc_key_list){ .keys = keys, .n = n, .cap = cap };
	return 0;
}

int sc_key_list_add(struct sc_key_list *list, const struct sc_master_key *key)
{
	if (list->n >= SC_KEYS_MAX || (list->n == list->cap && grow(list) < 0))
		return -1;
	list->keys[list->n++] = *key;
	return 0;
}

/* ---- messages ------------------------------------------------------------ */

static void put_ref(struct sc_enc *enc, const struct sc_key_ref *ref)
{
	sc_enc_str(enc, ref->uuid);
	sc_enc_u32(enc, ref->id);
}

static int get_ref(struct sc_dec *dec, struct sc_key_ref *ret)
{
	sc_dec_str(dec, ret->uuid, sizeof(ret->uuid));
	ret->id = sc_dec_u32(dec);
	return dec->failed || !ret->id || !sc_key_uuid_ok(ret->uuid) ? -1 : 0;
}

void sc_key_put_refs(struct sc_enc *enc, const struct sc_key_ref *refs,
		     size_t n)
{
	sc_enc_u32(enc, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		put_ref(enc, &refs[i]);
}

int sc_key_get_refs(struct sc_dec *dec, struct sc_key_ref *refs, size_t *n)
{
	uint32_t count = sc_dec_u32(dec);

	if (dec->failed || count > *n)
		return -1;
	*n = count;
	for (uint32_t i = 0; i < count; i++) {
		if (get_ref(dec, &refs[i]) < 0)
			return -1;
	}
	return sc_dec_end(dec);
}

void sc_key_put_list(struct sc_enc *enc, const struct sc_key_list *list)
{
	sc_enc_u32(enc, (uint32_t)list->n);
	for (size_t i = 0; i < list->n; i++) {
		put_ref(enc, &list->keys[i].ref);
		sc_enc_raw(enc, list->keys[i].value, SC_MASTER_KEY_SIZE);
	}
}

int sc_key_get_list(struct sc_dec *dec, struct sc_key_list *ret)
{
	uint32_t count = sc_dec_u32(dec);
	struct sc_master_key key;
	int rc = 0;

	*ret = (struct sc_key_list){ 0 };
	if (dec->failed || count > SC_KEYS_MAX)
		return -1;
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		rc = get_ref(dec, &key.ref);
		sc_dec_raw(dec, key.value, sizeof(key.value));
		if (rc < 0 || dec->failed)
			continue;
		/* They are not too many. */
		rc = sc_key_list_add(ret, &key);
		dec->no_memory = rc < 0;
	}
	explicit_bzero(&key, sizeof(key));
	return rc < 0 ? -1 : sc_dec_end(dec);
}
