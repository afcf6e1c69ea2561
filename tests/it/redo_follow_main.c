/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drives the redo and page modules against a real server, for
 * test_redo_live.py, which also compiles it.
 *
 *	follow REDO_DIR RAW STOP
 *		From the newest checkpoint, printed at once, through the spool
 *		into file RAW, until STOP holds an LSN that was reached.
 *	build RAW C UUID CREATOR E DIR MAX_FILE
 *		Redo [C, E] in directory DIR, then sc_redo_check().
 *	copy FROM TO
 *		Copy a tablespace, checking every page, reading torn ones again.
 *
 * Output: key=value words. Exit status 1 with a message on stderr.
 */
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/pages.h"
#include "io/redo/build.h"
#include "io/redo/check.h"
#include "io/redo/follow.h"
#include "io/redo/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

enum { CAP = 1 << 20, REREADS = 1000 };

struct job {
	struct sc_redo_follow *f;
	struct sc_redo_spool *spool;
	const char *stop_path;
	uint64_t runs, polls;
	bool failed;
};

static int say(const struct sc_err *err)
{
	fprintf(stderr, "redo_follow_main: %s\n", err->msg);
	return 1;
}

static uint64_t stop_lsn(const char *path)
{
	char text[32] = "";
	CLEANUP_CLOSE int fd = open(path, O_RDONLY);

	if (fd < 0 || sc_pread_full(fd, text, sizeof(text) - 1, 0) < 0)
		return UINT64_MAX;
	return strchr(text, '\n') ? strtoull(text, NULL, 10) : UINT64_MAX;
}

/* Follower thread: never waits for the writer of the raw file. */
static void *follower(void *arg)
{
	struct job *job = arg;
	CLEANUP_FREE uint8_t *buf = malloc(CAP);
	struct sc_err err = SC_ERR_INIT;
	struct sc_redo_run run;
	uint64_t lsn;
	int rc;

	while ((rc = sc_redo_follow_read(job->f, buf, CAP, &run, &err)) >= 0) {
		job->polls++;
		if (rc && sc_redo_spool_append(job->spool, run.lsn, buf,
					       run.len, &err))
			break;
		job->runs += (uint64_t)rc;
		if (rc)
			continue;
		if (sc_redo_follow_lsn(job->f) >= stop_lsn(job->stop_path))
			break;
		sc_sleep_ms(1);
	}
	if (!sc_err_is_set(&err) && sc_redo_follow_partial(job->f, buf, &lsn))
		sc_redo_spool_append(job->spool, lsn, buf, SC_REDO_BLOCK, &err);
	job->failed = sc_err_is_set(&err);
	if (job->failed)
		sc_redo_spool_abort(job->spool, &err);
	sc_redo_spool_end(job->spool);
	return NULL;
}

static int drain_spool(struct job *job, int raw, struct sc_err *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(CAP);
	uint64_t off = 0, lsn;
	bool ended = false;

	while (!ended) {
		int64_t n = sc_redo_spool_read(job->spool, buf, CAP, 1000, &lsn,
					       &ended, err);
		int rc;

		if (n < 0)
			return -1;
		rc = sc_pwrite_full(raw, buf, (size_t)n, off);
		if (rc)
			return sc_err_sys(err, SC_ER_CLONE_OS, -rc, "raw file");
		off += (uint64_t)n;
	}
	return 0;
}

static int cmd_follow(char **arg)
{
	CLEANUP_CLOSE int dirfd = open(arg[0], O_RDONLY | O_DIRECTORY);
	CLEANUP_CLOSE int here = open(".", O_RDONLY | O_DIRECTORY);
	CLEANUP_CLOSE int raw = open(arg[1], O_WRONLY | O_CREAT | O_EXCL, 0600);
	CLEANUP_REDO_FOLLOW struct sc_redo_follow *f = NULL;
	struct job job = { .stop_path = arg[2] };
	struct sc_redo_spool_stats stats;
	struct sc_redo_checkpoint c;
	struct sc_err err = SC_ERR_INIT;
	pthread_t thread;
	int rc;

	if (sc_redo_newest_checkpoint(dirfd, &c, &err) ||
	    sc_redo_follow_open(dirfd, c.lsn, &f, &err) ||
	    sc_redo_spool_new(here, SC_GIB, &job.spool, &err))
		return say(&err);
	printf("c=%" PRIu64 " uuid=%u capacity=%" PRIu64 " creator=%s\n", c.lsn,
	       c.uuid, c.capacity_bytes, c.creator);
	fflush(stdout);
	job.f = f;
	if (pthread_create(&thread, NULL, follower, &job))
		return 1;
	rc = drain_spool(&job, raw, &err);
	pthread_join(thread, NULL);
	sc_redo_spool_stats(job.spool, &stats);
	sc_redo_spool_free(job.spool);
	printf("lsn=%" PRIu64 " runs=%" PRIu64 " polls=%" PRIu64
	       " bytes=%" PRIu64 " lost=%d\n",
	       sc_redo_follow_lsn(f), job.runs, job.polls, stats.read_bytes,
	       sc_redo_follow_is_lost(f));
	return rc || job.failed ? say(&err) : 0;
}

/* Feed the raw file up to the block of end. */
static int feed(struct sc_redo_build *b, int raw, uint64_t lsn, uint64_t end,
		struct sc_err *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(CAP);
	uint64_t off = 0;

	while (lsn + off < end) {
		size_t want = SC_MIN((uint64_t)CAP, sc_align_up(end - lsn - off,
								SC_REDO_BLOCK));
		ssize_t n = sc_pread_full(raw, buf, want, off);

		if (n < 0)
			return sc_err_sys(err, SC_ER_CLONE_OS, (int)-n, "raw");
		if (!n) /* the end at 12 of a block that is not there */
			break;
		if (sc_redo_build_append(b, lsn + off, buf, (size_t)n, err))
			return -1;
		off += (uint64_t)n;
	}
	return 0;
}

static int cmd_build(char **arg)
{
	CLEANUP_CLOSE int raw = open(arg[0], O_RDONLY);
	CLEANUP_CLOSE int dirfd = open(arg[5], O_RDONLY | O_DIRECTORY);
	CLEANUP_REDO_BUILD struct sc_redo_build *b = NULL;
	struct sc_redo_build_params params = {
		.checkpoint_lsn = strtoull(arg[1], NULL, 10),
		.uuid = (uint32_t)strtoul(arg[2], NULL, 10),
		.creator = arg[3],
		.page_size = 16384,
		.max_file_size = strtoull(arg[6], NULL, 10),
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	uint64_t end = strtoull(arg[4], NULL, 10);
	struct sc_err err = SC_ERR_INIT;

	if (sc_redo_build_open(dirfd, &params, &b, &err) ||
	    feed(b, raw, sc_redo_align(params.checkpoint_lsn), end, &err) ||
	    sc_redo_build_finish(b, end, &err) ||
	    sc_redo_check(dirfd, params.checkpoint_lsn, end, NULL, &err))
		return say(&err);
	return 0;
}

struct counts {
	uint64_t verdict[SC_PAGE_BAD + 1], rereads, max_lsn;
};

/* Read one chunk so that no page of it is bad. */
static int read_sound(int fd, uint8_t *buf, size_t len, uint64_t off,
		      const struct sc_page_spec *spec, struct counts *counts)
{
	for (size_t at = 0; at + spec->physical_size <= len;
	     at += spec->physical_size) {
		enum sc_page_verdict v = sc_page_check(spec, buf + at, NULL);

		for (int i = 0; v == SC_PAGE_BAD && i < REREADS; i++) {
			counts->rereads++;
			sc_pread_full(fd, buf + at, spec->physical_size,
				      off + at);
			v = sc_page_check(spec, buf + at, NULL);
		}
		counts->verdict[v]++;
		if (v == SC_PAGE_BAD)
			return -1;
		if (v != SC_PAGE_ZERO)
			counts->max_lsn =
				SC_MAX(counts->max_lsn, sc_page_lsn(buf + at));
	}
	return 0;
}

static int cmd_copy(char **arg)
{
	CLEANUP_CLOSE int from = open(arg[0], O_RDONLY);
	CLEANUP_CLOSE int to = open(arg[1], O_WRONLY | O_CREAT | O_EXCL, 0600);
	CLEANUP_FREE uint8_t *buf = malloc(CAP);
	struct sc_page_spec spec = { 0 };
	struct sc_err err = SC_ERR_INIT;
	struct counts counts = { 0 };
	ssize_t n;

	for (uint64_t off = 0; (n = sc_pread_full(from, buf, CAP, off)) > 0;
	     off += (uint64_t)n) {
		if (!off && sc_page_spec_read(buf, 4096, &spec, &err))
			return sc_err_is_set(&err) ? say(&err) : 1;
		if (read_sound(from, buf, (size_t)n, off, &spec, &counts)) {
			sc_err_set(&err, 1, "bad page in %s", arg[0]);
			return say(&err);
		}
		if (sc_pwrite_full(to, buf, (size_t)n, off))
			return 1;
	}
	for (int v = 0; v <= SC_PAGE_BAD; v++)
		printf("%s=%" PRIu64 " ",
		       sc_page_verdict_name((enum sc_page_verdict)v),
		       counts.verdict[v]);
	printf("rereads=%" PRIu64 " max_lsn=%" PRIu64 " size=%u\n",
	       counts.rereads, counts.max_lsn, spec.physical_size);
	return n < 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **);
	} commands[] = {
		{ "follow", 3, cmd_follow },
		{ "build", 7, cmd_build },
		{ "copy", 2, cmd_copy },
	};

	for (size_t i = 0; i < SC_ARRAY_SIZE(commands); i++)
		if (argc == commands[i].args + 2 &&
		    !strcmp(argv[1], commands[i].name))
			return commands[i].run(argv + 2);
	fprintf(stderr, "usage: see the head of redo_follow_main.c\n");
	return 2;
}
