/* SPDX-License-Identifier: GPL-2.0-only */
/* Whose a directory is, for a process with more rights than the one it works
 * for. */
#ifndef SC_BASE_OWNER_H
#define SC_BASE_OWNER_H

#include <stdbool.h>
#include <sys/stat.h>

/* His, or his group's that may do all in it. */
static inline bool sc_dir_belongs(const struct stat *st, uid_t uid, gid_t gid)
{
	return st->st_uid == uid ||
	       (st->st_gid == gid && (st->st_mode & 070) == 070);
}

#endif
