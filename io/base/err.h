/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The error record: what a person will read about a failure, with the MySQL
 * error number the client gets. The first error stays; callers put context in
 * front of it on the way up, once per layer, and the top logs it once.
 *
 * Functions that take a `struct sc_err *` return 0 (or a value >= 0 they
 * document) on success and -1 with the record filled on failure.
 */
#ifndef SC_BASE_ERR_H
#define SC_BASE_ERR_H

#include <stdbool.h>

/*
 * MySQL error numbers we raise. Source: MySQL 9.7 share/messages_to_clients.txt
 * (server error list of the reference manual); equal in 8.0.30+ and 8.4.
 */
enum sc_mysql_errno {
	SC_ER_FILE_EXISTS = 1086, /* ER_FILE_EXISTS_ERROR */
	SC_ER_LOCK_WAIT_TIMEOUT = 1205,
	SC_ER_QUERY_INTERRUPTED = 1317,
	SC_ER_WRONG_VALUE = 1525,
	SC_ER_INTERNAL_ERROR = 1815,
	SC_ER_CLONE_DDL_IN_PROGRESS = 3633,
	SC_ER_CLONE_TOO_MANY = 3634,
	SC_ER_CLONE_DONOR = 3862,
	SC_ER_CLONE_PROTOCOL = 3863,
	SC_ER_CLONE_DONOR_VERSION = 3864,
	SC_ER_CLONE_OS = 3865,
	SC_ER_CLONE_PLATFORM = 3866,
	SC_ER_CLONE_CHARSET = 3867,
	SC_ER_CLONE_CONFIG = 3868,
	SC_ER_CLONE_SYS_CONFIG = 3869,
	SC_ER_CLONE_PLUGIN_MATCH = 3870,
	SC_ER_CLONE_LOOPBACK = 3871,
	SC_ER_CLONE_ENCRYPTION = 3872,
	SC_ER_CLONE_DISK_SPACE = 3873,
};

#define SC_ERR_MSG_SIZE 512

struct sc_err {
	int code;      /* MySQL error number, 0 = no error */
	int sys_errno; /* errno behind it, 0 = none */
	/* lower case, names object and numbers, no full stop */
	char msg[SC_ERR_MSG_SIZE];
};

#define SC_ERR_INIT                                                            \
	{                                                                      \
		0                                                              \
	}

/*
 * Fill the record unless it already holds an error (the first one is kept).
 * code: MySQL error number. Returns -1 always, so that callers can
 * `return sc_err_set(...)`. Keeps errno.
 */
int sc_err_set(struct sc_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for a failed system call: appends ": " and the text of sys_errno
 * (a positive errno value). ENOSPC and EDQUOT become SC_ER_CLONE_DISK_SPACE
 * whatever `code` says, since that is what a DBA has to act on.
 */
int sc_err_sys(struct sc_err *err, int code, int sys_errno, const char *fmt,
	       ...) __attribute__((format(printf, 4, 5)));

/* 1317 with the server's text: a KILL ended it. Returns -1. */
int sc_err_interrupted(struct sc_err *err);

/* Put "context: " in front of the message. Returns -1. */
int sc_err_context(struct sc_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static inline bool sc_err_is_set(const struct sc_err *err)
{
	return err->code != 0;
}

#endif
