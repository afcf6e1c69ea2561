/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Leveled log. One sink per process, set by main before threads start. Lines
 * go to stderr, with syslog priority prefixes under journald (sd-daemon(3)),
 * or to a callback (an embedded daemon sends them to its plugin).
 */
#ifndef SC_BASE_LOG_H
#define SC_BASE_LOG_H

enum sc_log_level {
	SC_LOG_ERROR = 0,
	SC_LOG_WARNING = 1,
	SC_LOG_INFO = 2,
	SC_LOG_DEBUG = 3,
};

/* Must not log itself. */
typedef void sc_log_sink(void *ctx, enum sc_log_level level, const char *line);

/* Set the most detailed level that is written and the sink (NULL: stderr).
 * Not thread-safe: call before threads start, or from main at their end. */
void sc_log_setup(enum sc_log_level max, sc_log_sink *sink, void *ctx);

/* Change the sink alone. Thread-safe: when it returns, nobody is inside the
 * sink that was set before. */
void sc_log_redirect(sc_log_sink *sink, void *ctx);

/* Write one line (no newline at its end). Thread-safe; keeps errno. */
void sc_log(enum sc_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "error", "warning", "info" or "debug"; -1 for anything else. */
int sc_log_level_parse(const char *name, enum sc_log_level *ret);

#define sc_error(...) sc_log(SC_LOG_ERROR, __VA_ARGS__)
#define sc_warning(...) sc_log(SC_LOG_WARNING, __VA_ARGS__)
#define sc_info(...) sc_log(SC_LOG_INFO, __VA_ARGS__)
#define sc_debug(...) sc_log(SC_LOG_DEBUG, __VA_ARGS__)

#endif
