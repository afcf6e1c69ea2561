/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The donor's master keys on the recipient: fetched over the COM_CLONE
 * connection, stored in this server's keyring under their names, given to the
 * daemon. Statement thread.
 */
#include "plugin/recipient.h"

#include "plugin/keyring.h"
#include "plugin/services.h"

#include <string.h>

static int store(struct sc_recipient *r, const struct sc_key_list *keys,
		 struct sc_err *err)
{
	size_t before = r->keys_added.n;

	if (keys->n && sc_keyring_store(keys, &r->keys_added, err) < 0)
		return sc_err_context(
			err,
			"the donor's data is encrypted and its keys cannot be stored here, nothing was replaced");
	if (r->keys_added.n > before)
		sc_server_log(
			ST_LOG_INFO,
			"clone from %s: %zu of the donor's master keys stored in this server's keyring",
			r->donor, r->keys_added.n - before);
	return 0;
}

int sc_recipient_store_keys(struct sc_recipient *r, struct sc_key_list *ret,
			    struct sc_err *err)
{
	if (sc_peer_keys(&r->peer, ret, err) < 0)
		return -1;
	return store(r, ret, err);
}

int sc_recipient_answer_keys(struct sc_recipient *r, struct sc_err *err)
{
	CLEANUP_KEYS struct sc_key_list keys = { 0 };
	struct sc_enc enc = { 0 };

	if (sc_recipient_store_keys(r, &keys, err) < 0)
		return -1;
	r->keys_wanted = false;
	sc_key_put_list(&enc, &keys);
	return sc_link_send(&r->link, SC_CTL_KEYS, &enc, NULL, 0, err);
}

void sc_recipient_end_keys(struct sc_recipient *r, int rc)
{
	if (rc < 0)
		sc_keyring_remove(&r->keys_added);
	sc_key_list_free(&r->keys_added);
}
