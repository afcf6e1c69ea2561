/* SPDX-License-Identifier: GPL-2.0-only */
/* Which directories a peer may hand over. */
#include "daemon/peer.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PEER = 112, GROUP = 118, OTHER = 1000 };

/* Answers in the order of enum sc_peer_need. */
static const struct may_case {
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool may[3];
} may_cases[] = {
	{ PEER, GROUP, 0750, { true, true, true } },
	{ PEER, OTHER, 0700, { true, true, true } },
	{ PEER, OTHER, 0577, { true, true, false } }, /* the owner's bits */
	{ PEER, 0, 0, { true, true, false } },
	{ 0, GROUP, 0770, { false, true, true } },
	{ 0, GROUP, 02770, { false, true, true } },
	{ 0, GROUP, 0750, { false, false, false } },
	{ 0, GROUP, 0730, { false, false, true } },
	{ 0, GROUP, 0707, { false, false, false } }, /* the group's bits */
	{ 0, 0, 0755, { false, false, false } },
	{ 0, 0, 0777, { false, false, true } },
	{ 0, 0, 01777, { false, false, true } },
	{ 0, 0, 0776, { false, false, false } },
	{ OTHER, OTHER, 0770, { false, false, false } },
	{ OTHER, OTHER, 0775, { false, false, false } },
	{ GROUP, PEER, 0770, { false, false, false } },
};

static void by_owner_group_and_mode(void **state)
{
	struct sc_peer peer = { .uid = PEER, .gid = GROUP };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(may_cases); i++) {
		const struct may_case *c = &may_cases[i];
		struct stat st = { .st_uid = c->uid,
				   .st_gid = c->gid,
				   .st_mode = S_IFDIR | c->mode };

		for (unsigned need = 0; need < 3; need++) {
			peer.trusted = false;
			if (sc_peer_may(&peer, &st, (enum sc_peer_need)need) !=
			    c->may[need])
				fail_msg("case %zu, need %u", i, need);
			peer.trusted = true;
			assert_true(sc_peer_may(&peer, &st,
						(enum sc_peer_need)need));
		}
	}
}

/* Nobody owns that: the peer is neither root nor us, whoever runs this. */
static void refusals_name_it(void **state)
{
	struct sc_peer peer = { .uid = 4000000000u, .gid = 4000000000u };
	struct sc_err err = SC_ERR_INIT;
	struct dir_fixture dir;

	(void)state;
	dir_fixture_open(&dir);
	assert_int_equal(fchmod(dir.fd, 0755), 0);
	assert_int_equal(sc_peer_check(&peer, dir.fd, SC_PEER_OWN, &err), -1);
	assert_int_equal(err.code, SC_ER_INTERNAL_ERROR);
	assert_non_null(strstr(err.msg, "user 4000000000 may not hand the"));
	assert_non_null(strstr(err.msg, "mode 0755; HINT: chown it to"));
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_peer_check(&peer, dir.fd, SC_PEER_WRITE, &err), -1);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(fchmod(dir.fd, 01777), 0);
	assert_int_equal(sc_peer_check(&peer, dir.fd, SC_PEER_WRITE, &err), 0);
	dir_fixture_close(&dir);
}

static void only_directories(void **state)
{
	struct sc_peer peer = { .trusted = true };
	struct sc_err err = SC_ERR_INIT;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(sc_peer_check(&peer, fd, SC_PEER_OWN, &err), -1);
	assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
	close(fd);
	err = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(sc_peer_check(&peer, -1, SC_PEER_OWN, &err), -1);
	assert_int_equal(err.sys_errno, EBADF);
}

static void who_connected(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_peer peer;
	int pair[2];

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(sc_peer_of(pair[0], &peer, &err), 0);
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.gid, getegid());
	assert_int_equal(peer.pid, getpid());
	assert_true(peer.trusted);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(sc_peer_of(-1, &peer, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_owner_group_and_mode),
		cmocka_unit_test(refusals_name_it),
		cmocka_unit_test(only_directories),
		cmocka_unit_test(who_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
