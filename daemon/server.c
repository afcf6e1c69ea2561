/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Listening for control connections; see server.h. Signals arrive through a
 * signalfd in the main thread; every connection has a thread.
 */
#include "daemon/server.h"

#include "daemon/provider.h"
#include "daemon/session.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* The descriptor the plugin hands to an embedded daemon. */
#define EMBEDDED_FD 3
/* Sessions end within this after a signal. */
#define SHUTDOWN_MS 15000

struct server {
	const struct sc_config *config;
	struct sc_registry registry;
	atomic_uint sessions;
	int listener;
	int signals;	/* signalfd */
	bool may_start; /* sessions may begin jobs, not only ask for status */
};

struct visitor {
	struct server *server;
	int sock;
};

/* Block the ending signals in all threads and read them from a descriptor. */
static int take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void *visitor_main(void *arg)
{
	struct visitor *v = arg;
	struct server *server = v->server;

	sc_session_serve(v->sock, &server->registry, server->may_start);
	free(v);
	server->sessions--;
	return NULL;
}

static bool peer_allowed(struct server *server, int sock)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_peer peer;

	if (sc_peer_of(sock, &peer, &ignored) < 0)
		return false;
	if (peer.trusted)
		return true;
	for (unsigned i = 0; i < server->config->n_allowed; i++) {
		if (peer.uid == server->config->allowed[i])
			return true;
	}
	sc_warning(
		"control connection of user %u (pid %d) refused; option allow_user lets it in",
		peer.uid, peer.pid);
	return false;
}

static void refuse(int sock, const char *why)
{
	struct sc_ctl_error m = { .code = SC_ER_INTERNAL_ERROR };
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_enc enc = { 0 };

	snprintf(m.message, sizeof(m.message), "%s", why);
	sc_ctl_put_error(&enc, &m);
	(void)sc_ctl_send_enc(sock, SC_CTL_ERROR, &enc, NULL, 0, &ignored);
	close(sock);
}

static void receive_visitor(struct server *server)
{
	struct visitor *v;
	pthread_attr_t attr;
	pthread_t thread;
	int rc, sock = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

	if (sock < 0) {
		sc_sleep_ms(10);
		return;
	}
	if (!peer_allowed(server, sock)) {
		refuse(sock,
		       "this user may not use snapcloned; HINT: option allow_user in " SC_CONFIG_FILE);
		return;
	}
	v = malloc(sizeof(*v));
	if (!v) {
		refuse(sock, "snapcloned is out of memory");
		return;
	}
	*v = (struct visitor){ server, sock };
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	server->sessions++;
	rc = pthread_create(&thread, &attr, visitor_main, v);
	pthread_attr_destroy(&attr);
	if (rc) {
		server->sessions--;
		free(v);
		refuse(sock, "snapcloned cannot start a thread");
	}
}

/* Accept until a signal comes or the descriptor `until` is readable. */
static void accept_loop(struct server *server, int until)
{
	struct pollfd p[2] = { { .fd = server->listener, .events = POLLIN },
			       { .fd = until, .events = POLLIN } };

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		if (p[0].revents)
			receive_visitor(server);
	}
}

/* Let the sessions cancel their jobs and end. */
static void end_sessions(struct server *server)
{
	uint64_t until = sc_now_ms() + SHUTDOWN_MS;

	server->registry.shutdown = true;
	while (server->sessions && sc_now_ms() < until)
		sc_sleep_ms(20);
	if (server->sessions)
		sc_error("%u control connections did not end in time",
			 (unsigned)server->sessions);
}

/* Remove a socket nobody listens on any more; fail when somebody does. */
static int clear_stale(const struct sockaddr_un *sa)
{
	CLEANUP_CLOSE int probe =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (probe < 0)
		return -errno;
	if (connect(probe, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return -EADDRINUSE;
	if (errno == ECONNREFUSED)
		unlink(sa->sun_path);
	return 0;
}

static int listen_service(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int rc, sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	rc = clear_stale(&sa);
	if (rc == 0 && (bind(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
			/* Who may connect is decided by SO_PEERCRED. */
			chmod(path, 0666) < 0 || listen(sock, 16) < 0))
		rc = -errno;
	if (rc < 0) {
		close(sock);
		return rc;
	}
	return sock;
}

/* What daemons left that died; a failure is logged and keeps no job away. */
static void reap_images(const struct sc_config *config)
{
	struct sc_err logged = SC_ERR_INIT;

	(void)sc_provider_reap(config, &logged);
}

int sc_serve(const struct sc_config *config)
{
	struct server server = { .config = config, .may_start = true };

	sc_registry_init(&server.registry, config);
	server.signals = take_signals();
	server.listener = listen_service(config->socket);
	if (server.listener < 0) {
		sc_error("cannot listen on %s: %s", config->socket,
			 strerrordesc_np(-server.listener));
		return EXIT_FAILURE;
	}
	sc_info("snapcloned %s listens on %s", SC_VERSION, config->socket);
	reap_images(config);
	accept_loop(&server, server.signals);
	close(server.listener);
	unlink(config->socket);
	end_sessions(&server);
	sc_info("snapcloned ends");
	return EXIT_SUCCESS;
}

/* ---- embedded
 * -------------------------------------------------------------------- */

/* Source: unix(7), abstract sockets: they leave no file behind. */
static int listen_abstract(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int n = snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "%s%d",
			 SC_EMBEDDED_SOCKET_PREFIX, (int)getpid());
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				    (size_t)n);
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock >= 0 && (bind(sock, (struct sockaddr *)&sa, len) < 0 ||
			  listen(sock, 4) < 0)) {
		close(sock);
		sock = -1;
	}
	return sock;
}

static void *status_main(void *arg)
{
	struct server *server = arg;

	accept_loop(server, server->signals);
	/* A signal: the job ends, and with it the process. */
	server->registry.shutdown = true;
	return NULL;
}

int sc_serve_embedded(const struct sc_config *config)
{
	static struct server server; /* outlives the status thread */
	pthread_t thread;

	server.config = config;
	sc_registry_init(&server.registry, config);
	server.signals = take_signals();
	server.listener = listen_abstract();
	if (server.listener < 0)
		sc_warning("`snapclone status` will not see this job: %s",
			   strerrordesc_np(errno));
	else if (pthread_create(&thread, NULL, status_main, &server) != 0)
		sc_warning("`snapclone status` will not see this job");
	reap_images(config);
	server.registry.log_to_peer = true;
	sc_session_serve(EMBEDDED_FD, &server.registry, true);
	return EXIT_SUCCESS;
}
