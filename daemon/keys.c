/* SPDX-License-Identifier: GPL-2.0-only */
/* Keys of a job; see keys.h. */
#include "daemon/keys.h"

#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/num.h"
#include "io/base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sc_space_entry {
	struct sc_space_key key;
	uint32_t space_id;
};

/* Keys do not move: the pages' specs point to them. */
#define PER_BLOCK 200
struct sc_space_block {
	struct sc_space_block *next;
	size_t n;
	struct sc_space_entry entries[PER_BLOCK];
};

/* The n-th key of a space for which key (NULL: any) is the same. The lock is
 * held. */
static const struct sc_space_key *find_space(const struct sc_keys *keys,
					     uint32_t space_id,
					     const struct sc_space_key *key,
					     unsigned n)
{
	for (const struct sc_space_block *b = keys->spaces; b; b = b->next) {
		for (size_t i = 0; i < b->n; i++) {
			const struct sc_space_entry *e = &b->entries[i];

			if (e->space_id != space_id ||
			    (key && memcmp(&e->key, key, sizeof(*key)) != 0))
				continue;
			if (n-- == 0)
				return &e->key;
		}
	}
	return NULL;
}

static int source_page0(struct sc_key_source *source, uint32_t space_id,
			const uint8_t *info, const struct sc_space_key **ret,
			struct sc_err *err)
{
	int rc = sc_keys_add_space((struct sc_keys *)source, space_id, info,
				   ret, err);

	if (rc == 0)
		*ret = NULL;
	return rc < 0 ? -1 : 0;
}

static const struct sc_space_key *source_known(struct sc_key_source *source,
					       uint32_t space_id, unsigned n)
{
	struct sc_keys *keys = (struct sc_keys *)source;
	SC_LOCK_SCOPE(&keys->lock);

	return find_space(keys, space_id, NULL, n);
}

int sc_keys_init(struct sc_keys *keys, struct sc_session *session)
{
	*keys = (struct sc_keys){ .source = { source_page0, source_known },
				  .session = session };
	pthread_mutex_init(&keys->lock, NULL);
	pthread_cond_init(&keys->changed, NULL);
	keys->aes = sc_aes_new();
	return keys->aes ? 0 : -1;
}

void sc_keys_destroy(struct sc_keys *keys)
{
	while (keys->spaces) {
		struct sc_space_block *b = keys->spaces;

		keys->spaces = b->next;
		sc_secret_free(b, sizeof(*b));
	}
	sc_key_list_free(&keys->masters);
	sc_aes_free(keys->aes);
	pthread_cond_destroy(&keys->changed);
	pthread_mutex_destroy(&keys->lock);
}

/* ---- master keys --------------------------------------------------------- */

static int merge(struct sc_key_list *into, const struct sc_key_list *from,
		 struct sc_err *err)
{
	for (size_t i = 0; i < from->n; i++) {
		if (!sc_key_list_find(into, &from->keys[i].ref) &&
		    sc_key_list_add(into, &from->keys[i]) < 0)
			return sc_err_set(err, SC_ER_INTERNAL_ERROR,
					  "out of memory");
	}
	return 0;
}

int sc_keys_take(struct sc_keys *keys, const struct sc_ctl_msg *msg,
		 struct sc_err *err)
{
	CLEANUP_KEYS struct sc_key_list got = { 0 };
	struct sc_dec dec = sc_ctl_body(msg);
	int rc = sc_key_get_list(&dec, &got);
	SC_LOCK_SCOPE(&keys->lock);

	if (rc < 0 && dec.no_memory)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "out of memory for the keys");
	if (rc < 0 || keys->answered == keys->asked)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed or unexpected KEYS");
	if (merge(&keys->masters, &got, err) < 0)
		return -1;
	keys->answered++;
	pthread_cond_broadcast(&keys->changed);
	return 0;
}

void sc_keys_stop(struct sc_keys *keys)
{
	SC_LOCK_SCOPE(&keys->lock);

	keys->stopped = true;
	pthread_cond_broadcast(&keys->changed);
}

int sc_keys_ask(struct sc_keys *keys, const struct sc_key_ref *refs, size_t n,
		struct sc_err *err)
{
	struct sc_enc enc = { 0 };
	SC_LOCK_SCOPE(&keys->lock);
	unsigned nr = ++keys->asked;

	sc_key_put_refs(&enc, refs, n);
	/* Under the lock: answers come in the order of the questions. */
	if (sc_session_send(keys->session, SC_CTL_KEYS_WANTED, &enc, err) < 0)
		return -1;
	while ((int)(keys->answered - nr) < 0 && !keys->stopped)
		pthread_cond_wait(&keys->changed, &keys->lock);
	return keys->stopped ? sc_job_cancelled(err) : 0;
}

static bool find_master(struct sc_keys *keys, const struct sc_key_ref *ref,
			uint8_t ret[SC_MASTER_KEY_SIZE])
{
	const struct sc_master_key *key;
	SC_LOCK_SCOPE(&keys->lock);

	key = sc_key_list_find(&keys->masters, ref);
	if (key)
		memcpy(ret, key->value, SC_MASTER_KEY_SIZE);
	return key;
}

static int get_master(struct sc_keys *keys, const struct sc_key_ref *ref,
		      uint8_t ret[SC_MASTER_KEY_SIZE], struct sc_err *err)
{
	char name[SC_KEY_NAME_SIZE];

	if (!ref->id || find_master(keys, ref, ret))
		return 0;
	if (sc_keys_ask(keys, ref, 1, err) < 0)
		return -1;
	if (find_master(keys, ref, ret))
		return 0;
	sc_key_name(ref, name);
	return sc_err_set(
		err, SC_ER_CLONE_ENCRYPTION,
		"the keyring does not give master key %s; HINT: see that the keyring component is loaded and has that key (performance_schema.keyring_component_status and keyring_keys)",
		name);
}

/* ---- what they unwrap ---------------------------------------------------- */

static int unwrap_failed(const struct sc_key_ref *ref, int rc,
			 struct sc_err *err)
{
	char name[SC_KEY_NAME_SIZE] = "that is built in";

	if (ref->id)
		sc_key_name(ref, name);
	if (rc == -EKEYREJECTED)
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"a key cannot be unwrapped with master key %s: it is damaged, or the master key another one",
			name);
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
			  "cannot unwrap a key with master key %s", name);
}

int sc_keys_unwrap(struct sc_keys *keys, const uint8_t *info,
		   struct sc_space_key *ret, struct sc_err *err)
{
	uint8_t master[SC_MASTER_KEY_SIZE] = { 0 };
	struct sc_key_info parsed;
	int rc = sc_key_info_parse(info, &parsed, err);

	if (rc <= 0)
		return rc;
	if (get_master(keys, &parsed.master, master, err) < 0)
		return -1;
	pthread_mutex_lock(&keys->lock);
	rc = sc_key_info_unwrap(keys->aes, &parsed, master, ret);
	pthread_mutex_unlock(&keys->lock);
	explicit_bzero(master, sizeof(master));
	return rc ? unwrap_failed(&parsed.master, rc, err) : 1;
}

/* NULL: out of memory. The same key is kept once. */
static const struct sc_space_key *keep(struct sc_keys *keys, uint32_t space_id,
				       const struct sc_space_key *key)
{
	const struct sc_space_key *known;
	struct sc_space_block *b;
	SC_LOCK_SCOPE(&keys->lock);

	known = find_space(keys, space_id, key, 0);
	if (known)
		return known;
	b = keys->spaces;
	if (!b || b->n == PER_BLOCK) {
		b = sc_secret_alloc(sizeof(*b));
		if (!b)
			return NULL;
		b->next = keys->spaces;
		keys->spaces = b;
	}
	b->entries[b->n] = (struct sc_space_entry){ *key, space_id };
	return &b->entries[b->n++].key;
}

int sc_keys_add_space(struct sc_keys *keys, uint32_t space_id,
		      const uint8_t *info, const struct sc_space_key **ret,
		      struct sc_err *err)
{
	struct sc_space_key key;
	int rc = sc_keys_unwrap(keys, info, &key, err);

	if (rc <= 0)
		return rc;
	*ret = keep(keys, space_id, &key);
	explicit_bzero(&key, sizeof(key));
	return *ret ? 1
		    : sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
}
