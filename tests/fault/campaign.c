/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fault campaign: whole clone jobs, donor's and recipient's daemon, without
 * mysqld. In every step of either side calls fail with each error they can
 * fail with, and daemons are killed after every step. After each of these jobs
 * the table "When something fails" of docs/design.md must hold, and the next
 * job on the same directories must succeed.
 *
 *	campaign [-v] [-p PICKS] [-n CASES] [-m TEXT] [-x DIR] [-b DIR]
 *		SNAPCLONED DATA
 *
 * -p: calls per class and step that fail (default 2); -n: not all cases but
 * that many, spread over them; -m: only cases whose text has that in it; -v: a
 * line for each. -x, -b: the top of a file system of XFS and btrfs for images;
 * without these such jobs are left out. DATA: build/fault-data. Exit status 1
 * when a case failed.
 */
#include "tests/fault/cases.h"
#include "tests/fault/judge.h"
#include "tests/fault/world.h"

#include "io/base/clock.h"
#include "io/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	bool verbose;
	unsigned picks;
	size_t sample; /* 0 = all */
	const char *match;
	const char *xfs, *btrfs;
	const char *daemon, *data;
} options = { .picks = 2 };

static struct world worlds[DONORS];

static int wrong(struct sc_err *err, const char *who, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s: %s", who, what);
}

static int run_job(struct world *w, enum how how, struct outcome *o,
		   struct sc_err *err)
{
	struct sc_err other = SC_ERR_INIT;
	uint64_t began = sc_now_ms();
	int rc = 0;

	memset(o, 0, sizeof(*o));
	if (world_begin(w, how, err) < 0 ||
	    play(&w->play, o->end, o->board, err) < 0)
		return -1;
	for (enum side s = DONOR; rc == 0 && s < SIDES; s++)
		rc = judge_ending(&o->end[s],
				  *w->play.orders[s].kill_after != '\0',
				  side_names[s], err);
	/* In any case: it makes room for the next. */
	if (world_check(w, o->end, &o->is_new, rc < 0 ? &other : err) < 0)
		rc = -1;
	o->ms = sc_now_ms() - began;
	return rc;
}

static int run_sound(struct world *w, enum how how, struct outcome *o,
		     struct sc_err *err)
{
	memset(w->play.orders, 0, sizeof(w->play.orders));
	if (run_job(w, how, o, err) < 0)
		return -1;
	for (enum side s = DONOR; s < SIDES; s++) {
		const struct ending *cause = play_error(&w->play, o->end);

		if (o->end[s].used && !o->end[s].done)
			return wrong(err, side_names[s],
				     (cause ?: &o->end[s])->message);
	}
	return 0;
}

static void say(const char *mark, const struct fault_case *c,
		const struct outcome *o, const struct sc_err *err)
{
	const struct fault_board *b = &o->board[c->side];
	char text[160], call[160] = "";

	case_text(c, text);
	if (!c->dies && !b->hit)
		snprintf(call, sizeof(call), ", not reached");
	else if (!c->dies)
		snprintf(call, sizeof(call), ", %s() after %s", b->call,
			 b->after ? b->marks[b->after - 1].step : "the start");
	printf("%-6s %s%s, %" PRIu64 " ms%s%s\n", mark, text, call, o->ms,
	       err ? ": " : "", err ? err->msg : "");
	for (enum side s = DONOR; s < SIDES; s++) {
		const struct ending *e = &o->end[s];

		if (e->used)
			printf("       %s: %s%s%s%s%s %u %s\n", side_names[s],
			       e->done ? "done" : "", e->failed ? "error" : "",
			       e->lost ? "lost" : "", e->told ? " told" : "",
			       e->hung ? " hung" : "", e->code, e->message);
		if (err && e->used)
			printf("%s", e->log);
	}
	fflush(stdout);
}

/* 0, or -1 when something was not as it must be. *reached: the fault was. */
static int run_case(const struct fault_case *c, bool *reached)
{
	struct world *w = &worlds[how_traits[c->how].donor];
	static struct outcome o, after;
	struct sc_err err = SC_ERR_INIT;
	struct orders *orders = &w->play.orders[c->side];
	int rc;

	memset(w->play.orders, 0, sizeof(w->play.orders));
	if (c->dies) {
		memcpy(orders->kill_after, c->step, sizeof(c->step));
	} else {
		orders->plan.class = c->class;
		orders->plan.error = c->error;
		orders->plan.at = c->at;
	}
	rc = run_job(w, c->how, &o, &err);
	*reached = c->dies ? WIFSIGNALED(o.end[c->side].status)
			   : o.board[c->side].hit;
	if (rc == 0)
		rc = judge_outcome(&w->play, c, &o, &err);
	if (rc == 0 && !*reached && !o.is_new)
		rc = wrong(&err, "nothing was made to fail",
			   "but there is no clone");
	if (rc == 0 && run_sound(w, c->how, &after, &err) < 0)
		rc = sc_err_context(&err, "the next clone");
	if (rc < 0 || options.verbose)
		say(rc < 0 ? "FAILED" : "ok", c, &o, rc < 0 ? &err : NULL);
	return rc;
}

static const char *place_of(enum donor donor)
{
	switch (donor) {
	case ON_XFS:
		return options.xfs;
	case ON_BTRFS:
	case AFTER_DDL_ON_BTRFS:
		return options.btrfs;
	default:
		return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	}
}

static bool is_after_ddl(enum donor donor)
{
	return donor == AFTER_DDL || donor == AFTER_DDL_ON_BTRFS;
}

static int open_worlds(struct sc_err *err)
{
	char data[256];

	for (enum donor d = 0; d < DONORS; d++) {
		snprintf(data, sizeof(data), "%s%s", options.data,
			 is_after_ddl(d) ? "-ddl" : "");
		if (place_of(d) && world_open(&worlds[d], options.daemon,
					      place_of(d), data, err) < 0)
			return -1;
	}
	return 0;
}

static void close_worlds(void)
{
	for (enum donor d = 0; d < DONORS; d++) {
		if (worlds[d].where)
			world_close(&worlds[d]);
	}
}

static int make_cases_of(struct cases *cases, enum how how, struct sc_err *err)
{
	const struct how_traits *is = &how_traits[how];
	struct world *w = &worlds[is->donor];
	static struct outcome o;

	if (!w->where) {
		printf("without %s: no file system for it\n", is->name);
		return 0;
	}
	/* The first one reads what the others find in the cache. */
	if (run_sound(w, how, &o, err) < 0 || run_sound(w, how, &o, err) < 0)
		return sc_err_context(err, "%s, without faults", is->name);
	printf("%s: %" PRIu64 " ms a job without faults\n", is->name, o.ms);
	if (o.end[DONOR].passes < is->passes)
		return wrong(err, is->name, "nothing was copied again");
	if (is->says && !strstr(o.end[DONOR].log, is->says))
		return wrong(err, is->name, "redo was not lost");
	for (enum side s = DONOR; s < SIDES; s++) {
		if (o.end[s].used &&
		    cases_add(cases, how, s, &o.board[s], options.picks) < 0)
			return wrong(err, "cases", "out of memory");
	}
	return 0;
}

static int make_cases(struct cases *cases, struct sc_err *err)
{
	for (enum how how = 0; how < HOWS; how++) {
		if (make_cases_of(cases, how, err) < 0)
			return -1;
	}
	return 0;
}

static void select_cases(struct cases *cases)
{
	size_t n = 0, step;
	char text[160];

	for (size_t i = 0; i < cases->n; i++) {
		case_text(&cases->list[i], text);
		if (!options.match || strstr(text, options.match))
			cases->list[n++] = cases->list[i];
	}
	cases->n = n;
	if (!options.sample || n <= options.sample)
		return;
	step = n / options.sample;
	for (size_t i = 0; i < options.sample; i++)
		cases->list[i] = cases->list[i * step];
	cases->n = options.sample;
}

static int run_all(void)
{
	struct cases cases = { 0 };
	struct sc_err err = SC_ERR_INIT;
	size_t failed = 0, missed = 0, all;

	if (make_cases(&cases, &err) < 0) {
		printf("FAILED %s\n", err.msg);
		free(cases.list);
		return 1;
	}
	all = cases.n;
	select_cases(&cases);
	for (size_t i = 0; i < cases.n; i++) {
		bool reached = false;

		failed += run_case(&cases.list[i], &reached) < 0;
		missed += !reached;
	}
	printf("%zu cases of %zu, %zu failed, %zu not reached\n", cases.n, all,
	       failed, missed);
	/* Calls are counted in a job like this one: few can be missed. */
	if (missed > 3 + cases.n / 5) {
		printf("FAILED too many were not reached\n");
		failed++;
	}
	free(cases.list);
	return failed ? 1 : 0;
}

static int parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "vp:n:m:x:b:")) != -1) {
		switch (opt) {
		case 'v':
			options.verbose = true;
			break;
		case 'p':
			options.picks = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			options.sample = strtoul(optarg, NULL, 10);
			break;
		case 'm':
			options.match = optarg;
			break;
		case 'x':
			options.xfs = optarg;
			break;
		case 'b':
			options.btrfs = optarg;
			break;
		default:
			return -1;
		}
	}
	if (argc - optind != 2 || !options.picks)
		return -1;
	options.daemon = argv[optind];
	options.data = argv[optind + 1];
	return 0;
}

int main(int argc, char **argv)
{
	struct sc_err err = SC_ERR_INIT;
	int rc;

	if (parse(argc, argv) < 0) {
		fprintf(stderr,
			"usage: campaign [-v] [-p PICKS] [-n CASES] [-m TEXT] [-x DIR] [-b DIR] SNAPCLONED DATA\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	rc = open_worlds(&err);
	if (rc < 0)
		printf("FAILED %s\n", err.msg);
	else
		rc = run_all();
	close_worlds();
	return rc ? 1 : 0;
}
