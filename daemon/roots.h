/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories of tablespaces as a plugin hands them over; see
 * io/base/roots.h. */
#ifndef SC_DAEMON_ROOTS_H
#define SC_DAEMON_ROOTS_H

#include "daemon/peer.h"
#include "io/base/ctl.h"

/*
 * Set them from the message m of that peer and its descriptors: datadir, and
 * the m->n - 1 others; all are borrowed. 0 or -1 (they are not the peer's; a
 * data_file_path that does not fit).
 */
int sc_roots_from(struct sc_roots *ret, const struct sc_ctl_roots *m,
		  const char *data_file_path, int datadir, const int *others,
		  const struct sc_peer *peer, struct sc_err *err);

#endif
