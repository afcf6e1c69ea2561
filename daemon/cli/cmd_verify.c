/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `snapclone verify [OPTION ...] DIR`: is the clone in DIR what was cloned?
 * Differences are lines on stdout, the last line sums up.
 */
#include "daemon/cli/cli.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_SOUND = 0, STATUS_DIFFERS = 1, STATUS_NOT_VERIFIED = 2 };

/* More threads than this do not make a disk faster. */
#define THREADS_MAX 16

/* Lines of differences; a clone that was overwritten has millions. */
#define LINES_MAX 1000

struct view {
	uint64_t began_ms;
	bool terminal; /* stderr is one: show progress there */
	uint64_t lines;
};

static void clear_progress(const struct view *view)
{
	if (view->terminal)
		fputs("\r\033[K", stderr);
}

static void show_found(void *arg, const char *text)
{
	struct view *view = arg;

	if (view->lines++ >= LINES_MAX)
		return;
	clear_progress(view);
	sc_cli_put(stdout, text);
	putchar('\n');
	fflush(stdout);
}

static void show_progress(void *arg, const struct sc_verify_report *now)
{
	const struct view *view = arg;
	uint64_t ms = SC_MAX(sc_now_ms() - view->began_ms, 1);

	if (!view->terminal || !now->bytes_total)
		return;
	fprintf(stderr,
		"\r\033[K%3" PRIu64 "%%  %" PRIu64 " of %" PRIu64
		" MiB, %" PRIu64 " MiB/s",
		now->bytes * 100 / now->bytes_total, now->bytes / SC_MIB,
		now->bytes_total / SC_MIB, now->bytes / SC_MIB * 1000 / ms);
}

static void print_report(const struct view *view,
			 const struct sc_verify_report *r)
{
	if (view->lines > LINES_MAX)
		printf("... and %" PRIu64 " more differences\n",
		       view->lines - LINES_MAX);
	printf("%s: %" PRIu64 " files, %" PRIu64 " MiB, ",
	       r->before_start ? "before the first start"
			       : "after the first start, pages only",
	       r->files, r->bytes / SC_MIB);
	if (r->before_start)
		printf("%" PRIu64 " digests, ", r->digests);
	if (r->before_start && r->shared)
		printf("%" PRIu64
		       " files without digests (shared, not copied), ",
		       r->shared);
	printf("%" PRIu64 " pages", r->pages);
	if (r->unchecked)
		printf(" (%" PRIu64 " more encrypted or without a checksum)",
		       r->unchecked);
	if (r->redo_checked)
		printf(", redo log");
	if (r->redo_encrypted)
		printf(", redo log encrypted and not checked");
	printf(": %" PRIu64 " difference%s\n", r->found,
	       r->found == 1 ? "" : "s");
}

struct options {
	const char *dir, *undo, *data_home;
	unsigned threads;
};

/* -1: not asked for, or it cannot be opened, which is said. */
static int open_dir(const char *path)
{
	int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (path && fd < 0)
		fprintf(stderr, "snapclone verify: %s: %s\n", path,
			strerror(errno));
	return fd;
}

static int verify(const struct options *o)
{
	struct view view = { .began_ms = sc_now_ms(),
			     .terminal = isatty(STDERR_FILENO) };
	CLEANUP_CLOSE int dir = open_dir(o->dir);
	CLEANUP_CLOSE int undo = open_dir(o->undo);
	CLEANUP_CLOSE int home = open_dir(o->data_home);
	struct sc_verify_params params = { .dir = dir,
					   .undo_dir = undo,
					   .home_dir = home,
					   .threads = o->threads,
					   .found = show_found,
					   .tick = show_progress,
					   .arg = &view };
	struct sc_verify_report report;
	struct sc_err err = SC_ERR_INIT;
	int rc;

	if (dir < 0 || (o->undo && undo < 0) || (o->data_home && home < 0))
		return STATUS_NOT_VERIFIED;
	rc = sc_verify(&params, &report, &err);
	clear_progress(&view);
	if (rc < 0) {
		fprintf(stderr, "snapclone verify: %s: %s\n", o->dir, err.msg);
		return STATUS_NOT_VERIFIED;
	}
	print_report(&view, &report);
	return report.found ? STATUS_DIFFERS : STATUS_SOUND;
}

static int usage(FILE *to)
{
	fprintf(to,
		"usage: snapclone verify [OPTION ...] DIR\n\n"
		"  DIR                    data directory of a clone on "
		"which no server runs\n"
		"  --undo-dir=DIR         innodb_undo_directory, when it is "
		"another one\n"
		"  --data-home-dir=DIR    innodb_data_home_dir, likewise\n"
		"  --threads=N            threads that read, 1 to 128 "
		"(default: one per CPU, at most 16)\n\n"
		"Exit status: 0 nothing differs, 1 something does, 2 it "
		"could not be verified.\n");
	return to == stdout ? EXIT_SUCCESS : STATUS_NOT_VERIFIED;
}

static int parse_threads(const char *text, unsigned *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n < 1 ||
	    n > SC_VERIFY_MAX_THREADS)
		return -1;
	*ret = (unsigned)n;
	return 0;
}

int sc_cmd_verify(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = { .threads = (unsigned)SC_MIN(SC_MAX(cpus, 1),
							 THREADS_MAX) };

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help"))
			return usage(stdout);
		if (!strncmp(argv[i], "--threads=", 10)) {
			if (parse_threads(argv[i] + 10, &o.threads) < 0)
				return usage(stderr);
		} else if (!strncmp(argv[i], "--undo-dir=", 11)) {
			o.undo = argv[i] + 11;
		} else if (!strncmp(argv[i], "--data-home-dir=", 16)) {
			o.data_home = argv[i] + 16;
		} else if (argv[i][0] == '-' || o.dir) {
			return usage(stderr);
		} else {
			o.dir = argv[i];
		}
	}
	return o.dir ? verify(&o) : usage(stderr);
}
