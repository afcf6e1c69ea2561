/* SPDX-License-Identifier: GPL-2.0-only */
/* See cases.h. */
#include "tests/fault/cases.h"

#include "io/base/num.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int errors[3]; /* 0 ends them */
} classes[FAULT_CLASSES] = {
	[FAULT_MEMORY] = { "memory", { ENOMEM } },
	[FAULT_READ] = { "read", { EIO } },
	[FAULT_WRITE] = { "write", { EIO, ENOSPC } },
	[FAULT_NET] = { "net", { ECONNRESET } },
	[FAULT_CONTROL] = { "control", { ECONNRESET } },
	[FAULT_BITS] = { "bits", { EBADMSG } },
};

static int add(struct cases *cases, const struct fault_case *c)
{
	if (cases->n == cases->cap) {
		size_t cap = cases->cap ? 2 * cases->cap : 256;
		void *list = realloc(cases->list, cap * sizeof(*c));

		if (!list)
			return -1;
		cases->list = list;
		cases->cap = cap;
	}
	cases->list[cases->n++] = *c;
	return 0;
}

/* Calls first..last of a class fail, `picks` of them. */
static int add_calls(struct cases *cases, struct fault_case *c, uint64_t first,
		     uint64_t last, unsigned picks)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < picks && first <= last; i++) {
		c->at = picks == 1 ? first
				   : first + (last - first) * i / (picks - 1);
		if (c->at == before)
			continue;
		before = c->at;
		for (const int *e = classes[c->class].errors; *e; e++) {
			c->error = *e;
			if (add(cases, c) < 0)
				return -1;
		}
	}
	return 0;
}

/* A daemon dies when a step is done first. */
static bool is_first(const struct fault_board *board, unsigned mark)
{
	for (unsigned m = 0; m < mark; m++) {
		if (!strcmp(board->marks[m].step, board->marks[mark].step))
			return false;
	}
	return true;
}

int cases_add(struct cases *cases, enum how how, enum side side,
	      const struct fault_board *board, unsigned picks)
{
	uint64_t before[FAULT_CLASSES] = { 0 };

	for (unsigned m = 0; m <= board->n_marks; m++) {
		bool last = m == board->n_marks;
		struct fault_case c = { .how = how, .side = side };

		snprintf(c.step, sizeof(c.step), "%s",
			 last ? "the end" : board->marks[m].step);
		for (c.class = 0; c.class < FAULT_CLASSES; c.class ++) {
			uint64_t upto = last ? board->seen[c.class]
					     : board->marks[m].seen[c.class];

			if (add_calls(cases, &c, before[c.class] + 1, upto,
				      picks) < 0)
				return -1;
			before[c.class] = upto;
		}
		c.dies = true;
		if (!last && is_first(board, m) && add(cases, &c) < 0)
			return -1;
	}
	return 0;
}

const char *case_error_name(const struct fault_case *c)
{
	return c->dies			? "SIGKILL"
	       : c->class == FAULT_BITS ? "flip"
					: strerrorname_np(c->error);
}

void case_text(const struct fault_case *c, char text[160])
{
	if (c->dies)
		snprintf(text, 160, "%s %s SIGKILL [%s]",
			 how_traits[c->how].name, side_names[c->side], c->step);
	else
		snprintf(text, 160, "%s %s %s %s %llu [%s]",
			 how_traits[c->how].name, side_names[c->side],
			 classes[c->class].name, case_error_name(c),
			 (unsigned long long)c->at, c->step);
}
