/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fault campaign: whole clone jobs, donor's and recipient's daemon, without
 * mysqld. In every step of either side calls fail with each error they can
 * fail with, and daemons are killed after every step. After each of these jobs
 * the table "When something fails" of docs/design.md must hold, and the next
 * job on the same directories must succeed.
 *
 *	campaign [-v] [-p PICKS] [-n CASES] [-m TEXT] SNAPCLONED DATA
 *
 * -p: calls per class and step that fail (default 2); -n: not all cases but
 * that many, spread over them; -m: only cases whose text has that in it; -v: a
 * line for each. Exit status 1 when a case failed.
 */
#include "tests/fault/cases.h"
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
} options = { .picks = 2 };

/* What came of a job. */
struct outcome {
	struct ending end[SIDES];
	struct fault_board board[SIDES];
	bool is_new;
	uint64_t ms;
};

static int wrong(struct sc_err *err, const char *who, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s: %s", who, what);
}

/* A daemon ends by itself, in order, unless it was to be killed. */
static int check_ending(const struct ending *e, bool dies, const char *who,
			struct sc_err *err)
{
	if (!e->used)
		return 0;
	if (e->hung)
		return wrong(err, who, "it did not end by itself");
	if (WIFSIGNALED(e->status) && !(dies && WTERMSIG(e->status) == SIGKILL))
		return wrong(err, who, strsignal(WTERMSIG(e->status)));
	/* Before it has said HELLO there is nobody to tell but by that. */
	if (WIFEXITED(e->status) && WEXITSTATUS(e->status) && e->greeted)
		return wrong(err, who, "exit status is not 0");
	if (e->failed && (!e->code || !*e->message))
		return wrong(err, who, "an error without number or text");
	return 0;
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
		rc = check_ending(&o->end[s],
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
		if (o->end[s].used && !o->end[s].done)
			return wrong(err, side_names[s], o->end[s].message);
	}
	return 0;
}

static bool no_memory(const char *text)
{
	return strstr(text, "memory") || strstr(text, strerrordesc_np(EAGAIN));
}

/* What a user sees says what happened; when a connection was refused for it,
 * that side's log does. Errors of sockets have words of their
 * own, and a plugin that is lost has nobody to tell. */
static int check_error(const struct world *w, const struct fault_case *c,
		       const struct outcome *o, struct sc_err *err)
{
	const struct ending *e = play_error(&w->play, o->end);

	if (c->dies || !o->board[c->side].hit || !e || o->end[c->side].told)
		return 0;
	if (c->error == ENOSPC && e->code != SC_ER_CLONE_DISK_SPACE)
		return wrong(err, "not the error of a full disk", e->message);
	if ((c->class == FAULT_READ || c->class == FAULT_WRITE) &&
	    !strstr(e->message, strerrordesc_np(c->error)))
		return wrong(err, "the cause is not named", e->message);
	if (c->class == FAULT_MEMORY && !no_memory(e->message) &&
	    !no_memory(o->end[c->side].log))
		return wrong(err, "the cause is not named", e->message);
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
static int run_case(struct world *w, const struct fault_case *c, bool *reached)
{
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
		rc = check_error(w, c, &o, &err);
	if (rc == 0 && !*reached && !o.is_new)
		rc = wrong(&err, "nothing was made to fail",
			   "but there is no clone");
	if (rc == 0 && run_sound(w, c->how, &after, &err) < 0)
		rc = sc_err_context(&err, "the next clone");
	if (rc < 0 || options.verbose)
		say(rc < 0 ? "FAILED" : "ok", c, &o, rc < 0 ? &err : NULL);
	return rc;
}

static int make_cases(struct world *w, struct cases *cases, struct sc_err *err)
{
	static struct outcome o;

	for (enum how how = 0; how < HOWS; how++) {
		/* The first one reads what the others find in the cache. */
		if (run_sound(w, how, &o, err) < 0 ||
		    run_sound(w, how, &o, err) < 0)
			return sc_err_context(err, "%s, without faults",
					      how_names[how]);
		printf("%s: %" PRIu64 " ms a job without faults\n",
		       how_names[how], o.ms);
		for (enum side s = DONOR; s < SIDES; s++) {
			if (o.end[s].used &&
			    cases_add(cases, how, s, &o.board[s],
				      options.picks) < 0)
				return wrong(err, "cases", "out of memory");
		}
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

static int run_all(struct world *w)
{
	struct cases cases = { 0 };
	struct sc_err err = SC_ERR_INIT;
	size_t failed = 0, missed = 0, all;

	if (make_cases(w, &cases, &err) < 0) {
		printf("FAILED %s\n", err.msg);
		free(cases.list);
		return 1;
	}
	all = cases.n;
	select_cases(&cases);
	for (size_t i = 0; i < cases.n; i++) {
		bool reached = false;

		failed += run_case(w, &cases.list[i], &reached) < 0;
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

	while ((opt = getopt(argc, argv, "vp:n:m:")) != -1) {
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
		default:
			return -1;
		}
	}
	return argc - optind == 2 && options.picks ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sc_err err = SC_ERR_INIT;
	struct world w;
	int rc;

	if (parse(argc, argv) < 0) {
		fprintf(stderr,
			"usage: campaign [-v] [-p PICKS] [-n CASES] [-m TEXT] SNAPCLONED DATA\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	rc = world_open(&w, argv[optind], argv[optind + 1], &err);
	if (rc < 0)
		printf("FAILED %s\n", err.msg);
	else
		rc = run_all(&w);
	world_close(&w);
	return rc ? 1 : 0;
}
