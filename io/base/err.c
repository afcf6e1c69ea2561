/* SPDX-License-Identifier: GPL-2.0-only */
/* The error record; see err.h. Thread-safe: touches only the record given. */
#include "io/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* strerror_r() in its POSIX form would depend on feature macros; glibc 2.32+
 * has strerrordesc_np(), which is thread-safe and not translated. */
static const char *errno_text(int sys_errno)
{
	const char *text = strerrordesc_np(sys_errno);

	return text ? text : "unknown error";
}

int sc_err_set(struct sc_err *err, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!sc_err_is_set(err)) {
		err->code = code;
		err->sys_errno = 0;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return -1;
}

int sc_err_sys(struct sc_err *err, int code, int sys_errno, const char *fmt,
	       ...)
{
	int saved = errno;
	va_list ap;
	size_t len;

	if (!sc_err_is_set(err)) {
		bool full = sys_errno == ENOSPC || sys_errno == EDQUOT;

		err->code = full ? SC_ER_CLONE_DISK_SPACE : code;
		err->sys_errno = sys_errno;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
		len = strlen(err->msg);
		snprintf(err->msg + len, sizeof(err->msg) - len, ": %s",
			 errno_text(sys_errno));
	}
	errno = saved;
	return -1;
}

int sc_err_interrupted(struct sc_err *err)
{
	return sc_err_set(err, SC_ER_QUERY_INTERRUPTED,
			  "Query execution was interrupted");
}

int sc_err_context(struct sc_err *err, const char *fmt, ...)
{
	char whole[2 * sizeof(err->msg)];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(whole, sizeof(err->msg), fmt, ap);
	va_end(ap);
	len = strlen(whole);
	snprintf(whole + len, sizeof(whole) - len, ": %s", err->msg);
	whole[sizeof(err->msg) - 1] = '\0';
	memcpy(err->msg, whole, sizeof(err->msg));
	return -1;
}
