/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's master keys: the daemon names those it meets, on page 0 of
 * tablespaces, in the redo log and its header; they are read from the keyring,
 * given to it, and kept for the recipient.
 */
#include "plugin/donor_job.h"

#include "io/base/cleanup.h"
#include "plugin/keyring.h"
#include "plugin/services.h"

#include <string.h>

/* The stock plugin's words. */
int sc_donor_needs_tls(struct sc_err *err)
{
	return sc_err_set(err, SC_ER_CLONE_ENCRYPTION,
			  "Clone needs SSL connection for encrypted table.");
}

static bool find(struct sc_donor *d, const struct sc_key_ref *ref,
		 struct sc_master_key *ret)
{
	const struct sc_master_key *known;
	SC_LOCK_SCOPE(&d->lock);

	known = sc_key_list_find(&d->keys, ref);
	if (known)
		*ret = *known;
	return known;
}

static int keep(struct sc_donor *d, const struct sc_master_key *key)
{
	SC_LOCK_SCOPE(&d->lock);

	return sc_key_list_add(&d->keys, key);
}

/* One key: into `answer`, if the keyring has it. A keyring that fails is the
 * daemon's to complain of: it knows what the key is for. */
static int read_one(struct sc_donor *d, const struct sc_key_ref *ref,
		    struct sc_key_list *answer, struct sc_err *err)
{
	struct sc_err why = SC_ERR_INIT;
	struct sc_master_key key = { 0 };
	bool known = find(d, ref, &key);
	int rc = known ? 1 : sc_keyring_read(ref, &key, &why);

	if (rc < 0)
		sc_server_log(ST_LOG_WARNING, "clone: %s", why.msg);
	if (rc == 1 && ((!known && keep(d, &key) < 0) ||
			sc_key_list_add(answer, &key) < 0))
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	explicit_bzero(&key, sizeof(key));
	return sc_err_is_set(err) ? -1 : 0;
}

int sc_donor_give_keys(struct sc_donor *d, struct sc_dec *dec,
		       struct sc_err *err)
{
	struct sc_key_ref refs[SC_CTL_MAX_REFS];
	CLEANUP_KEYS struct sc_key_list answer = { 0 };
	size_t n = SC_CTL_MAX_REFS;
	struct sc_enc enc = { 0 };

	if (sc_key_get_refs(dec, refs, &n) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "malformed KEYS_WANTED from the daemon");
	if (n && !d->request.local && !d->request.tls)
		return sc_donor_needs_tls(err);
	for (size_t i = 0; i < n; i++) {
		if (read_one(d, &refs[i], &answer, err) < 0)
			return -1;
	}
	sc_key_put_list(&enc, &answer);
	return sc_link_send(&d->link, SC_CTL_KEYS, &enc, NULL, 0, err);
}

int sc_donor_keys(struct sc_donor *d, struct sc_key_list *ret)
{
	int rc = 0;
	SC_LOCK_SCOPE(&d->lock);

	for (size_t i = 0; i < d->keys.n && rc == 0; i++)
		rc = sc_key_list_add(ret, &d->keys.keys[i]);
	return rc;
}
