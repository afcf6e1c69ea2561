/* SPDX-License-Identifier: GPL-2.0-only */
/* Daemons of a campaign and their boards; see play_impl.h. */
#include "tests/fault/play_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DAEMON_FD = 3, EXIT_MS = 5000 };

static struct fault_board *make_board(const char *path,
				      const struct fault_board *plan)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct fault_board *b;

	if (fd < 0 || ftruncate(fd, sizeof(*b)) < 0)
		return NULL;
	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (b == MAP_FAILED)
		return NULL;
	b->class = plan->class;
	b->error = plan->error;
	b->at = plan->at;
	return b;
}

/* Options of sanitizers go to the daemon as they are. */
static void pass_on(char env[][600], const char *name, size_t *n)
{
	const char *value = getenv(name);

	if (value)
		snprintf(env[(*n)++], 600, "%s=%s", name, value);
}

int player_spawn(struct player *pl, const char *board, const char *kill_after,
		 int sock)
{
	const char *lose = how_traits[pl->p->how].lose;
	char text[7][600] = { "PATH=/usr/bin:/bin" };
	char *argv[] = { (char *)pl->p->daemon, (char *)"--embedded",
			 (char *)"--engine=sync", (char *)"--config=/dev/null",
			 NULL };
	char *envp[8] = { NULL };
	posix_spawn_file_actions_t files;
	size_t n = 1;
	int rc;

	pass_on(text, "ASAN_OPTIONS", &n);
	pass_on(text, "UBSAN_OPTIONS", &n);
	pass_on(text, "TSAN_OPTIONS", &n);
	if (board)
		snprintf(text[n++], 600, "SNAPCLONE_FAULT_BOARD=%s", board);
	if (*kill_after)
		snprintf(text[n++], 600, "SNAPCLONE_KILL_AFTER=%s", kill_after);
	if (lose)
		snprintf(text[n++], 600, "SNAPCLONE_LOSE_REDO=%s", lose);
	for (size_t i = 0; i < n; i++)
		envp[i] = text[i];
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, sock, DAEMON_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, DAEMON_FD + 1);
	rc = posix_spawn(&pl->pid, pl->p->daemon, &files, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

int player_start(struct player *pl, struct sc_err *err)
{
	const struct orders *orders = &pl->p->orders[pl->side];
	char board[256];
	int pair[2], rc;

	snprintf(board, sizeof(board), "%s/board-%s", pl->p->boards,
		 side_names[pl->side]);
	pl->board = make_board(board, &orders->plan);
	if (!pl->board ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno, "%s",
				  board);
	rc = player_spawn(pl, board, orders->kill_after, pair[1]);
	close(pair[1]);
	pl->sock = pair[0];
	if (rc)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc, "%s",
				  pl->p->daemon);
	pl->end->used = true;
	return 0;
}

void player_stop(struct player *pl)
{
	struct pollfd p = { .events = POLLIN };

	if (pl->sock >= 0)
		close(pl->sock);
	pl->sock = -1;
	if (pl->pid <= 0)
		return;
	p.fd = (int)syscall(SYS_pidfd_open, pl->pid, 0);
	if (poll(&p, 1, EXIT_MS) != 1) {
		pl->end->hung = true;
		kill(pl->pid, SIGKILL);
	}
	close(p.fd);
	waitpid(pl->pid, &pl->end->status, 0);
	pl->pid = 0;
}
