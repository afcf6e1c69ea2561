/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories of tablespaces from a message; see roots.h. */
#include "daemon/roots.h"

#include <string.h>

static int check_all(const struct sc_roots *roots, const struct sc_peer *peer,
		     struct sc_err *err)
{
	for (unsigned i = 0; i < roots->n; i++) {
		if (sc_peer_check(peer, roots->fd[i],
				  i ? SC_PEER_SHARED : SC_PEER_OWN, err) < 0)
			return -1;
	}
	return 0;
}

int sc_roots_from(struct sc_roots *ret, const struct sc_ctl_roots *m,
		  const char *data_file_path, int datadir, const int *others,
		  const struct sc_peer *peer, struct sc_err *err)
{
	*ret = (struct sc_roots){ .n = m->n, .undo = m->undo };
	ret->fd[0] = datadir;
	for (unsigned i = 1; i < m->n; i++) {
		ret->fd[i] = others[i - 1];
		ret->external[i] = m->external[i];
		memcpy(ret->path[i], m->path[i], sizeof(m->path[i]));
	}
	if (check_all(ret, peer, err) < 0)
		return -1;
	return sc_roots_set_system(ret, data_file_path, m->system, m->n_system,
				   err);
}
