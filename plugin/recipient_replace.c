/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CLONE INSTANCE without DATA DIRECTORY: the commit, once the daemon has the
 * whole clone staged and checked. The order, and what each part may still
 * undo, is in docs/design.md. Statement thread.
 */
#include "plugin/recipient.h"

#include "plugin/clean.h"
#include "plugin/config.h"
#include "plugin/services.h"
#include "plugin/sysvars.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_ERROR "#clone/#status_error"

static int refuse_in_place(const char *what, const char *value,
			   struct sc_err *err)
{
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"%s (%.250s) cannot be replaced in place by this release; nothing was changed; HINT: add DATA DIRECTORY",
		what, value);
}

/* Directories outside the data directory are not replaced by this release. */
static int check_directory(const char *variable, const char *datadir,
			   struct sc_err *err)
{
	char value[1024] = "";
	char *real, *own;
	bool same;

	if (sc_server_variable(variable, value, sizeof(value)) < 0 || !*value ||
	    !strcmp(value, ".") || !strcmp(value, "./"))
		return 0;
	real = realpath(value, NULL);
	own = realpath(datadir, NULL);
	same = real && own && !strcmp(real, own);
	free(real);
	free(own);
	if (same)
		return 0;
	return refuse_in_place(variable, value, err);
}

/* But for the directories that the files lie in. */
static bool same_data_files(const char *a, const char *b)
{
	char x[SC_ROOT_PATH_MAX], y[SC_ROOT_PATH_MAX];

	while (*a && *b) {
		const char *a_size = a + strcspn(a, ":;");
		const char *b_size = b + strcspn(b, ":;");

		if (sc_data_file_next(&a, x, sizeof(x)) < 0 ||
		    sc_data_file_next(&b, y, sizeof(y)) < 0 ||
		    strcmp(sc_base_name(x), sc_base_name(y)) != 0 ||
		    a - a_size != b - b_size ||
		    strncmp(a_size, b_size, (size_t)(a - a_size)) != 0)
			return false;
	}
	return *a == *b;
}

/* The system tablespace must have the names that this server is configured
 * for, and files elsewhere would stay beside the clone's of the same ids. */
static int check_files(const struct sc_com_config *own,
		       const struct sc_com_config *donor, struct sc_err *err)
{
	const char *outside = sc_config_variable(own, SC_OUTSIDE_FILES) ?: "";
	const char *ours =
		sc_config_variable(own, "innodb_data_file_path") ?: "";
	const char *theirs =
		sc_config_variable(donor, "innodb_data_file_path") ?: "";

	if (*outside)
		return refuse_in_place(SC_OUTSIDE_FILES, outside, err);
	if (!same_data_files(ours, theirs))
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"innodb_data_file_path is '%.200s' here and '%.200s' on the donor; it must be the same to replace data in place; nothing was changed",
			ours, theirs);
	return 0;
}

int sc_recipient_check_in_place(const struct sc_com_config *own,
				const struct sc_com_config *donor,
				struct sc_err *err)
{
	static const char *const variables[] = { "innodb_log_group_home_dir",
						 "innodb_doublewrite_dir" };

	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
		if (check_directory(variables[i], ".", err) < 0)
			return -1;
	}
	return check_files(own, donor, err);
}

/*
 * One look at everybody while something is waited for. The donor is asked so
 * that it does not take us for lost. It has given all that is needed: should it
 * fail now, that is said when the clone has ended.
 */
static int look(struct sc_recipient *r, struct sc_err *err)
{
	if (sc_recipient_check_killed(r, err) < 0)
		return -1;
	sc_recipient_poll(r);
	return sc_recipient_hear(r);
}

static int quiesce(struct sc_recipient *r, struct sc_err *err)
{
	int rc;

	r->replace = sc_replace_start(sc_settings.ddl_timeout, err);
	if (!r->replace)
		return -1;
	while ((rc = sc_replace_await(r->replace, 10, err)) == 0) {
		if (look(r, err) < 0)
			return -1;
	}
	return rc < 0 ? -1 : 0;
}

static int order(struct sc_recipient *r, uint16_t type, struct sc_err *err)
{
	return sc_link_send(&r->link, type, NULL, NULL, 0, err);
}

/*
 * From here on no KILL counts. A daemon that dies now has removed the mark or
 * not: that, and nothing else, decides.
 */
static int pass_no_return(struct sc_recipient *r, struct sc_err *err)
{
	sc_server_log(
		ST_LOG_INFO,
		"clone from %s: point of no return; the old data is replaced when the server restarts",
		r->donor);
	if (order(r, SC_CTL_COMMIT, err) == 0) {
		while (!r->done && sc_recipient_hear(r) == 0)
			;
	}
	if (r->done)
		return 0;
	if (access(STATUS_ERROR, F_OK) < 0 && errno == ENOENT) {
		sc_server_log(
			ST_LOG_WARNING,
			"clone from %s: the daemon was lost after the commit (%s)",
			r->donor, r->daemon_err.msg);
		*err = (struct sc_err)SC_ERR_INIT;
		r->done = true;
		return 0;
	}
	return -1;
}

int sc_recipient_replace(struct sc_recipient *r, struct sc_err *err)
{
	if (quiesce(r, err) < 0 || order(r, SC_CTL_PREPARE, err) < 0)
		return -1;
	while (!r->prepared) {
		if (look(r, err) < 0)
			return -1;
	}
	if (sc_recipient_check_killed(r, err) < 0)
		return -1;
	return pass_no_return(r, err);
}

void sc_recipient_undo_replace(struct sc_recipient *r)
{
	enum sc_replace_verdict verdict = SC_REPLACE_UNDO;
	struct sc_err err = SC_ERR_INIT;

	/* A daemon that died has undone nothing. */
	if (r->in_place && r->started && sc_clean_needed() &&
	    sc_clean_data_directory(&err) < 0) {
		sc_server_log(
			ST_LOG_ERROR,
			"clone: what was staged in the data directory is not removed: %s; the next start will try again",
			err.msg);
		if (access(STATUS_ERROR, F_OK) == 0)
			verdict = SC_REPLACE_FREEZE;
	}
	sc_replace_end(r->replace, verdict);
	r->replace = NULL;
}
