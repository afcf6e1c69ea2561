/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * This server's keyring: InnoDB's master keys, read and stored through the
 * keyring component's services. These are looked up for each call, as a server
 * without a keyring has none. Any thread; a component may block on its backend.
 * Source: include/mysql/components/services/keyring_reader_with_status.h,
 * keyring_writer.h; InnoDB's own use in os0enc.cc (no owner, type "AES").
 */
#ifndef SC_PLUGIN_KEYRING_H
#define SC_PLUGIN_KEYRING_H

#include "io/base/err.h"
#include "io/base/keylist.h"

/* Is there a keyring that answers? 0, or -1 (3872). */
int sc_keyring_check(struct sc_err *err);

/* Read the key of that name. Returns 1 with ret->value; 0 when it is not there;
 * -1 with err (no keyring, a keyring that fails, another length). */
int sc_keyring_read(const struct sc_key_ref *ref, struct sc_master_key *ret,
		    struct sc_err *err);

/*
 * Make sure that the keyring has these keys. added: receives the ones that were
 * not there, also after a failure. 0, or -1 (3872): no keyring, a key of that
 * name and another value, the keyring refuses.
 */
int sc_keyring_store(const struct sc_key_list *keys, struct sc_key_list *added,
		     struct sc_err *err);

/* Remove keys that sc_keyring_store() added. What stays is logged. */
void sc_keyring_remove(const struct sc_key_list *added);

#endif
