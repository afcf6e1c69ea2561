/* SPDX-License-Identifier: GPL-2.0-only */
/* What the peer of a control connection may hand over; see peer.h. */
#include "daemon/peer.h"

#include "io/base/owner.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Source: unix(7), SO_PEERCRED. */
int sc_peer_of(int sock, struct sc_peer *ret, struct sc_err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot tell who connected");
	*ret = (struct sc_peer){ .uid = cred.uid,
				 .gid = cred.gid,
				 .pid = cred.pid,
				 .trusted = cred.uid == 0 ||
					    cred.uid == geteuid() };
	return 0;
}

/* The class of permissions that counts for him, and no other. */
static bool may_write(const struct sc_peer *peer, const struct stat *st)
{
	unsigned class = st->st_uid == peer->uid   ? 6
			 : st->st_gid == peer->gid ? 3
						   : 0;

	return (st->st_mode >> class & 3) == 3;
}

bool sc_peer_may(const struct sc_peer *peer, const struct stat *st,
		 enum sc_peer_need need)
{
	if (peer->trusted)
		return true;
	switch (need) {
	case SC_PEER_SHARED:
		return sc_dir_belongs(st, peer->uid, peer->gid);
	case SC_PEER_WRITE:
		return may_write(peer, st);
	default:
		return st->st_uid == peer->uid;
	}
}

static const char *const hints[] = {
	[SC_PEER_OWN] = "chown it to that user",
	[SC_PEER_SHARED] =
		"chown it to that user, or to his group with mode 0770",
	[SC_PEER_WRITE] = "he must be able to make files there",
};

/* Numbers: names are not always to be had here. */
static int refuse(const struct sc_peer *peer, int dir, const struct stat *st,
		  enum sc_peer_need need, struct sc_err *err)
{
	char link[64], path[256];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"user %u may not hand the directory %s to snapcloned: it belongs to user %u, group %u, mode %04o; HINT: %s",
		peer->uid, path, st->st_uid, st->st_gid, st->st_mode & 07777,
		hints[need]);
}

int sc_peer_check(const struct sc_peer *peer, int dir, enum sc_peer_need need,
		  struct sc_err *err)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "fstat of a directory");
	if (!S_ISDIR(st.st_mode))
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "a descriptor that is not a directory's");
	return sc_peer_may(peer, &st, need) ? 0
					    : refuse(peer, dir, &st, need, err);
}
