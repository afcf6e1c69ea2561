/* SPDX-License-Identifier: GPL-2.0-only */
/* Leveled log; see log.h. State is set once by main before threads start. */
#include "io/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	enum sc_log_level max;
	sc_log_sink *sink;
	void *ctx;
	bool journal;
	pthread_mutex_t lock; /* sink and ctx */
} log_state = { .max = SC_LOG_INFO, .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *const level_names[] = { "error", "warning", "info",
					   "debug" };
/* Source: sd-daemon(3), the syslog levels err, warning, info, debug. */
static const char *const journal_prefix[] = { "<3>", "<4>", "<6>", "<7>" };

void sc_log_setup(enum sc_log_level max, sc_log_sink *sink, void *ctx)
{
	log_state.max = max;
	log_state.sink = sink;
	log_state.ctx = ctx;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void sc_log_redirect(sc_log_sink *sink, void *ctx)
{
	pthread_mutex_lock(&log_state.lock);
	log_state.sink = sink;
	log_state.ctx = ctx;
	pthread_mutex_unlock(&log_state.lock);
}

int sc_log_level_parse(const char *name, enum sc_log_level *ret)
{
	for (unsigned i = 0; i < 4; i++) {
		if (!strcmp(name, level_names[i])) {
			*ret = (enum sc_log_level)i;
			return 0;
		}
	}
	return -1;
}

void sc_log(enum sc_log_level level, const char *fmt, ...)
{
	int saved = errno;
	char line[1024];
	va_list ap;

	if (level > log_state.max)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&log_state.lock);
	if (log_state.sink)
		log_state.sink(log_state.ctx, level, line);
	else if (log_state.journal)
		fprintf(stderr, "%s%s\n", journal_prefix[level], line);
	else
		fprintf(stderr, "snapcloned[%d]: %s: %s\n", (int)getpid(),
			level_names[level], line);
	pthread_mutex_unlock(&log_state.lock);
	errno = saved;
}
