/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `snapclone status [--watch] [--socket=PATH]`: the jobs of the service and of
 * all embedded daemons of this host, with a progress bar, rate and ETA.
 */
#include "daemon/cli/cli.h"

#include "daemon/peer.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/ctl.h"
#include "io/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_MS 2000
#define WATCH_MS 1000
#define BAR_WIDTH 24
#define PEER_WIDTH 24

static const char *const role_names[] = { "donor", "recipient", "local" };

/* Waits for one that does not accept no longer than for an answer. */
static int connect_to(const struct sockaddr_un *sa, socklen_t len)
{
	const struct timeval wait = { .tv_sec = REPLY_MS / 1000 };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock >= 0)
		(void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &wait,
				 sizeof(wait));
	if (sock >= 0 && connect(sock, (const struct sockaddr *)sa, len) < 0) {
		int saved = errno;

		close(sock);
		errno = saved;
		return -1;
	}
	return sock;
}

static void print_bar(uint64_t data, uint64_t estimate)
{
	unsigned percent = estimate ? (unsigned)(data * 100 / estimate) : 0;
	unsigned full = SC_MIN(percent, 100) * BAR_WIDTH / 100;

	putchar('[');
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		putchar(i < full ? '#' : '.');
	printf("] %3u%%", SC_MIN(percent, 100));
}

/* Average rate so far, and what is left at that rate. */
static void print_rate(const struct sc_ctl_job_status *j)
{
	uint64_t us = sc_wall_us() - j->started_us;
	double rate = us ? (double)j->data / (double)us : 0; /* bytes per us */
	uint64_t left = j->estimate > j->data ? j->estimate - j->data : 0;

	printf("  %" PRIu64 " of %" PRIu64 " MiB, %.0f MiB/s", j->data / SC_MIB,
	       j->estimate / SC_MIB, rate * 1e6 / (double)SC_MIB);
	if (rate > 0 && left)
		printf(", %.0f s left", (double)left / rate / 1e6);
	if (j->redo)
		printf(", redo %" PRIu64 " KiB", j->redo / SC_KIB);
}

/* What the donor notices of the image. */
static void print_image(const struct sc_ctl_job_status *j)
{
	if (!j->provider[0])
		return;
	printf(", image by ");
	sc_cli_put(stdout, j->provider);
	if (j->swap_us || j->undo_us)
		printf(" (writes waited %.1f ms for it",
		       (double)j->swap_us / 1e3);
	if (j->undo_us)
		printf(", %.1f ms when it was given back",
		       (double)j->undo_us / 1e3);
	if (j->swap_us || j->undo_us)
		putchar(')');
	if (j->area_bytes)
		printf(", copy-on-write area %" PRIu64 " of %" PRIu64 " MiB",
		       j->area_used / SC_MIB, j->area_bytes / SC_MIB);
}

static void print_job(const struct sc_ctl_job_status *j)
{
	printf("%02x%02x%02x%02x %-9s ", j->job_id[0], j->job_id[1],
	       j->job_id[2], j->job_id[3], role_names[j->role]);
	sc_cli_put(stdout, j->peer);
	printf("%*s", PEER_WIDTH - (int)SC_MIN(strlen(j->peer), PEER_WIDTH) + 1,
	       "");
	print_bar(j->data, j->estimate);
	printf("  %s %s", j->stage ? sc_stage_name(j->stage) : "preparing",
	       sc_state_name(j->state));
	print_rate(j);
	print_image(j);
	if (j->message[0]) {
		printf("  ");
		sc_cli_put(stdout, j->message);
	}
	putchar('\n');
}

/* Ask one daemon; the number of its jobs, or -1. */
static int ask(int sock, struct sc_err *err)
{
	CLEANUP_MSG struct sc_ctl_msg msg = { 0 };
	char left[SC_ERR_MSG_SIZE];
	struct sc_dec dec;
	uint32_t n;

	if (sc_ctl_handshake(sock, REPLY_MS, err) < 0 ||
	    sc_ctl_send(sock, SC_CTL_STATUS, NULL, 0, NULL, 0, err) < 0 ||
	    sc_ctl_recv(sock, &msg, REPLY_MS, err) < 0)
		return -1;
	if (msg.type != SC_CTL_STATUS_REPLY)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "no answer to STATUS");
	dec = sc_ctl_body(&msg);
	n = sc_dec_u32(&dec);
	for (uint32_t i = 0; i < n; i++) {
		struct sc_ctl_job_status job;

		if (sc_ctl_get_job_status(&dec, &job) < 0)
			return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
					  "malformed STATUS_REPLY");
		print_job(&job);
	}
	sc_dec_str(&dec, left, sizeof(left));
	if (sc_dec_end(&dec) < 0)
		return sc_err_set(err, SC_ER_CLONE_PROTOCOL,
				  "malformed STATUS_REPLY");
	if (left[0]) {
		printf("ERROR: ");
		sc_cli_put(stdout, left);
		putchar('\n');
	}
	return (int)n;
}

/* required: a daemon that does not listen is an error (the user named it). */
static int ask_service(const char *path, bool required, struct sc_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	CLEANUP_CLOSE int sock = -1;
	int n;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	sock = connect_to(&sa, sizeof(sa));
	if (sock < 0 &&
	    (required || (errno != ENOENT && errno != ECONNREFUSED)))
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot connect to snapcloned at %s", path);
	if (sock < 0)
		return 0;
	n = ask(sock, err);
	return n < 0 ? sc_err_context(err, "%s", path) : n;
}

/* May it be asked? Everybody may have a socket of such a name: other users' are
 * root's business only, whom they answer. */
static bool is_ours(int sock)
{
	struct sc_err ignored = SC_ERR_INIT;
	struct sc_peer peer;

	return sc_peer_of(sock, &peer, &ignored) == 0 &&
	       (geteuid() == 0 || peer.uid == geteuid());
}

static void complain(const char *name, const struct sc_err *err)
{
	fputs("snapclone status: ", stderr);
	if (name) {
		sc_cli_put(stderr, name);
		fputs(": ", stderr);
	}
	sc_cli_put(stderr, err->msg);
	putc('\n', stderr);
}

/* One abstract socket, its name as in /proc/net/unix. The number of its jobs: a
 * daemon that does not answer as it should hides no other. */
static int ask_embedded(const char *name)
{
	struct sc_err err = SC_ERR_INIT;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	CLEANUP_CLOSE int sock = -1;
	size_t len = SC_MIN(strlen(name), sizeof(sa.sun_path) - 1);
	int n;

	memcpy(sa.sun_path + 1, name, len);
	sock = connect_to(
		&sa,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
	/* It ended since the list was read. */
	if (sock < 0 || !is_ours(sock))
		return 0;
	n = ask(sock, &err);
	if (n >= 0)
		return n;
	/* Or while it was asked. */
	if (err.sys_errno != ECONNRESET && err.sys_errno != EPIPE)
		complain(name, &err);
	return 0;
}

/* Source: proc(5), /proc/net/unix: the last column is the name; several lines
 * (one per connection) may carry the same. */
static int ask_all_embedded(struct sc_err *err)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], last[512] = "";
	int total = 0;

	if (!f)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot read /proc/net/unix");
	while (fgets(line, sizeof(line), f)) {
		char *name = strstr(line, "@" SC_EMBEDDED_SOCKET_PREFIX);
		/* Field 4, flags: 00010000 is a listening socket. */
		bool listens = strstr(line, " 00010000 ") != NULL;

		if (!name || !listens)
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (!strcmp(name, last))
			continue;
		snprintf(last, sizeof(last), "%s", name);
		total += ask_embedded(name + 1);
	}
	fclose(f);
	return total;
}

static int usage(FILE *to)
{
	fprintf(to,
		"usage: snapclone status [--watch] [--socket=PATH]\n\n"
		"  --watch        show again every second until there is no job\n"
		"  --socket=PATH  socket of the service (default " SC_SERVICE_SOCKET
		")\n");
	return to == stdout ? EXIT_SUCCESS : 2;
}

static int show_once(const char *socket_path, bool named)
{
	struct sc_err failed = SC_ERR_INIT, err = SC_ERR_INIT;
	int service = ask_service(socket_path, named, &failed);
	int embedded = ask_all_embedded(&err);

	if (service < 0)
		complain(NULL, &failed);
	if (embedded < 0)
		complain(NULL, &err);
	if (service < 0 || embedded < 0)
		return -1;
	if (service + embedded == 0)
		printf("no jobs\n");
	return service + embedded;
}

int sc_cmd_status(int argc, char **argv)
{
	const char *path = SC_SERVICE_SOCKET;
	bool watch = false, named = false;
	int n;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--watch")) {
			watch = true;
		} else if (!strncmp(argv[i], "--socket=", 9)) {
			path = argv[i] + 9;
			named = true;
		} else {
			return usage(!strcmp(argv[i], "--help") ? stdout
								: stderr);
		}
	}
	do {
		n = show_once(path, named);
		fflush(stdout);
		if (watch && n > 0)
			sc_sleep_ms(WATCH_MS);
	} while (watch && n > 0);
	return n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
