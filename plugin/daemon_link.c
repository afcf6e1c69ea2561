/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding, starting and losing the daemon; see daemon_link.h. */
#include "plugin/daemon_link.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "plugin/services.h"
#include "plugin/sysvars.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANDSHAKE_MS 10000
#define END_WAIT_MS 2000
#define REAP_MS 5
#define DAEMON_FD 3 /* where an embedded daemon finds its socket */

static bool use_auto(void)
{
	const char *socket_path = sc_settings.daemon_socket;

	return !socket_path || !*socket_path ||
	       !strcasecmp(socket_path, SC_DAEMON_SOCKET_AUTO);
}

/* ---- the service --------------------------------------------------------- */

/* A connected socket or -errno. A full backlog would block: then EAGAIN. */
static int connect_unix(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int rc = -errno;

		close(sock);
		return rc;
	}
	return sock;
}

static int open_service(struct sc_link *link, const char *path,
			struct sc_err *err)
{
	int sock = connect_unix(path);

	snprintf(link->name, sizeof(link->name), "service at %.120s", path);
	if (sock < 0)
		return sc_err_sys(
			err, SC_ER_INTERNAL_ERROR, -sock,
			"cannot reach snapcloned at %.200s (clone_daemon_socket; start the service, or set AUTO to do without)",
			path);
	link->sock = sock;
	return 0;
}

/* True when the service answered; absent is not an error. */
static bool try_service(struct sc_link *link)
{
	int sock = connect_unix(SC_SERVICE_SOCKET);

	if (sock >= 0) {
		snprintf(link->name, sizeof(link->name), "service at %s",
			 SC_SERVICE_SOCKET);
		link->sock = sock;
		return true;
	}
	if (sock != -ENOENT && sock != -ECONNREFUSED)
		sc_server_log(
			ST_LOG_WARNING,
			"snapcloned service at %s not used (%s); starting a daemon of our own",
			SC_SERVICE_SOCKET, strerrordesc_np(-sock));
	return false;
}

/* ---- a daemon of our own ------------------------------------------------- */

/* Clean signals, and of our descriptors only the socket and the log. */
static int prepare_spawn(posix_spawnattr_t *attr,
			 posix_spawn_file_actions_t *files, int sock)
{
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setsigmask(attr, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (!rc)
		rc = posix_spawnattr_setflags(
			attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(files, sock, DAEMON_FD);
	if (!rc)
		rc = posix_spawn_file_actions_addopen(files, 0, "/dev/null",
						      O_RDONLY, 0);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(files,
							      DAEMON_FD + 1);
	return rc;
}

static int spawn_daemon(const char *path, int sock, pid_t *ret_pid)
{
	char *argv[] = { (char *)path, (char *)"--embedded", NULL };
	char *envp[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
			 (char *)"LC_ALL=C.UTF-8", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc;

	if (posix_spawnattr_init(&attr))
		return ENOMEM;
	if (posix_spawn_file_actions_init(&files)) {
		posix_spawnattr_destroy(&attr);
		return ENOMEM;
	}
	rc = prepare_spawn(&attr, &files, sock);
	if (!rc)
		rc = posix_spawn(ret_pid, path, &files, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return rc;
}

static int open_embedded(struct sc_link *link, struct sc_err *err)
{
	const char *path = sc_settings.daemon_path;
	int pair[2], rc;

	if (!path || *path != '/')
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"clone_daemon_path is not an absolute path; set it to where snapcloned is installed and restart the server");
	snprintf(link->name, sizeof(link->name), "%.150s", path);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "socketpair for the daemon");
	rc = spawn_daemon(path, pair[1], &link->pid);
	close(pair[1]);
	if (rc) {
		close(pair[0]);
		link->pid = 0;
		return sc_err_sys(
			err, SC_ER_INTERNAL_ERROR, rc,
			"cannot start %.200s (clone_daemon_path; install snapcloned there, or start the snapcloned service)",
			path);
	}
	link->sock = pair[0];
	return 0;
}

static int open_any(struct sc_link *link, struct sc_err *err)
{
	if (!use_auto())
		return open_service(link, sc_settings.daemon_socket, err);
	return try_service(link) ? 0 : open_embedded(link, err);
}

/* Not 3863, whose text speaks of the donor. */
static int no_answer(const struct sc_link *link, struct sc_err *err)
{
	err->code = SC_ER_INTERNAL_ERROR;
	return sc_err_context(
		err,
		"daemon %.100s does not answer as it should; restart the service or reinstall the plugin",
		link->name);
}

int sc_link_start(struct sc_link *link, struct sc_err *err)
{
	*link = (struct sc_link){ .sock = -1 };
	pthread_mutex_init(&link->send_lock, NULL);
	if (open_any(link, err) < 0)
		return -1;
	/* At once: it waits 5 s for this. */
	return sc_ctl_say_hello(link->sock, err) < 0 ? no_answer(link, err) : 0;
}

int sc_link_greet(struct sc_link *link, struct sc_err *err)
{
	if (link->greeted)
		return 0;
	if (sc_ctl_hear_hello(link->sock, HANDSHAKE_MS, err) < 0)
		return no_answer(link, err);
	link->greeted = true;
	return 0;
}

int sc_link_open(struct sc_link *link, struct sc_err *err)
{
	return sc_link_start(link, err) < 0 ? -1 : sc_link_greet(link, err);
}

/* ---- the end ------------------------------------------------------------- */

/* True when the child is gone, or was reaped by someone else. */
static bool reap(pid_t pid, int *ret_status)
{
	pid_t got;

	*ret_status = 0;
	do
		got = waitpid(pid, ret_status, WNOHANG);
	while (got < 0 && errno == EINTR);
	return got == pid || got < 0;
}

static void log_end(const struct sc_link *link, int status)
{
	if (WIFSIGNALED(status))
		sc_server_log(ST_LOG_ERROR, "%s (pid %d) ended by signal %d",
			      link->name, (int)link->pid, WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		sc_server_log(ST_LOG_WARNING,
			      "%s (pid %d) ended with status %d", link->name,
			      (int)link->pid, WEXITSTATUS(status));
}

/* A moment, or until the process ended. Without a descriptor of it
 * (pidfd_open(2) is there since Linux 5.3) poll only sleeps. */
static void await_end(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	(void)poll(&p, 1, REAP_MS);
}

static void end_daemon(struct sc_link *link)
{
	CLEANUP_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, link->pid, 0);
	uint64_t deadline = sc_now_ms() + END_WAIT_MS;
	bool killed = false;
	int status;

	while (!reap(link->pid, &status)) {
		if (!killed && sc_now_ms() > deadline) {
			sc_server_log(ST_LOG_WARNING,
				      "%s (pid %d) did not end, killing it",
				      link->name, (int)link->pid);
			kill(link->pid, SIGKILL);
			killed = true;
			deadline += END_WAIT_MS;
		}
		/* In uninterruptible I/O not even SIGKILL ends it at once. */
		if (killed && sc_now_ms() > deadline)
			return;
		await_end(pidfd);
	}
	log_end(link, status);
}

void sc_link_close(struct sc_link *link)
{
	if (link->sock >= 0)
		close(link->sock);
	link->sock = -1;
	if (link->pid > 0)
		end_daemon(link);
	link->pid = 0;
	pthread_mutex_destroy(&link->send_lock);
}

/* ---- messages ------------------------------------------------------------ */

static int lost(const struct sc_link *link, struct sc_err *err)
{
	struct sc_err cause = *err;

	*err = (struct sc_err)SC_ERR_INIT;
	sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"lost the daemon (%s, pid %d): %.200s; see the server's error log and the daemon's",
		link->name, (int)link->pid, cause.msg);
	err->sys_errno = cause.sys_errno;
	return -1;
}

int sc_link_send(struct sc_link *link, uint16_t type, struct sc_enc *enc,
		 const int *fds, int nfds, struct sc_err *err)
{
	struct sc_enc empty = { 0 };
	SC_LOCK_SCOPE(&link->send_lock);

	if (sc_ctl_send_enc(link->sock, type, enc ? enc : &empty, fds, nfds,
			    err) < 0)
		return lost(link, err);
	return 0;
}

static int log_level(uint8_t level)
{
	return level == 0   ? ST_LOG_ERROR
	       : level == 1 ? ST_LOG_WARNING
			    : ST_LOG_INFO;
}

static void forward_log(struct sc_ctl_msg *msg)
{
	struct sc_dec dec = sc_ctl_body(msg);
	uint8_t level = sc_dec_u8(&dec);
	char line[2048];

	sc_dec_str(&dec, line, sizeof(line));
	if (sc_dec_end(&dec) == 0)
		sc_server_log(log_level(level), "%s", line);
}

int sc_link_recv(struct sc_link *link, struct sc_ctl_msg *msg, int timeout_ms,
		 struct sc_err *err)
{
	int rc = sc_ctl_recv(link->sock, msg, timeout_ms, err);

	if (rc < 0)
		return lost(link, err);
	if (rc == 1 && msg->type == SC_CTL_LOG) {
		forward_log(msg);
		return 0;
	}
	return rc;
}
