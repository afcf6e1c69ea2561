/* SPDX-License-Identifier: GPL-2.0-only */
/* The file #snapclone_end; see finish.h. Its text goes into SQL: everything
 * in it is checked. */
#include "plugin/finish.h"

#include "io/base/cleanup.h"
#include "io/base/num.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_NUMBER, KIND_NAME, KIND_GTIDS };

static const struct {
	const char *key;
	enum kind kind;
	size_t offset;
} keys[] = {
	{ "format", KIND_NUMBER, offsetof(struct sc_end, format) },
	{ "checkpoint_lsn", KIND_NUMBER,
	  offsetof(struct sc_end, checkpoint_lsn) },
	{ "end_lsn", KIND_NUMBER, offsetof(struct sc_end, end_lsn) },
	{ "seal_begin_us", KIND_NUMBER,
	  offsetof(struct sc_end, seal_begin_us) },
	{ "binlog_position", KIND_NUMBER,
	  offsetof(struct sc_end, binlog_position) },
	{ "donor_uuid", KIND_NAME, offsetof(struct sc_end, donor_uuid) },
	{ "binlog_file", KIND_NAME, offsetof(struct sc_end, binlog_file) },
	{ "redo_lost", KIND_NAME, offsetof(struct sc_end, redo_lost) },
	{ "gtid_flushed", KIND_GTIDS, offsetof(struct sc_end, gtid_flushed) },
	{ "gtid_executed", KIND_GTIDS, offsetof(struct sc_end, gtid_executed) },
};

/* UUIDs, tags (letters, digits, _), intervals; nothing that ends a string. */
static bool is_gtid_set(const char *s)
{
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("-:,_ ", *s))
			return false;
	}
	return true;
}

static bool is_name(const char *s)
{
	for (; *s; s++) {
		if (iscntrl((unsigned char)*s))
			return false;
	}
	return true;
}

static int set_number(void *field, const char *value)
{
	uint64_t v;
	char *end;

	errno = 0;
	v = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno)
		return -1;
	memcpy(field, &v, sizeof(v));
	return 0;
}

static int set_text(void *field, const char *value)
{
	char *copy = strdup(value), *old;

	if (!copy)
		return -1;
	memcpy(&old, field, sizeof(old));
	free(old);
	memcpy(field, &copy, sizeof(copy));
	return 0;
}

static int set_key(struct sc_end *end, const char *key, const char *value)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(keys); i++) {
		void *field = (char *)end + keys[i].offset;

		if (strcmp(keys[i].key, key))
			continue;
		switch (keys[i].kind) {
		case KIND_NUMBER:
			return set_number(field, value);
		case KIND_NAME:
			return is_name(value) ? set_text(field, value) : -1;
		case KIND_GTIDS:
			return is_gtid_set(value) ? set_text(field, value) : -1;
		}
	}
	return 0;
}

int sc_end_parse(FILE *in, struct sc_end *ret)
{
	CLEANUP_FREE char *line = NULL;
	size_t size = 0;
	ssize_t len;

	*ret = (struct sc_end){ 0 };
	while ((len = getline(&line, &size, in)) > 0) {
		char *equals = strchr(line, '=');

		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (strlen(line) + 1 < (size_t)len || !equals)
			return -1;
		*equals = '\0';
		if (set_key(ret, line, equals + 1) < 0)
			return -1;
	}
	if (ret->format != 1 || !ret->gtid_flushed || !ret->gtid_executed ||
	    !ret->binlog_file)
		return -1;
	return 0;
}

int sc_end_set_gtids(struct sc_end *end, const char *gtids)
{
	char *set = strdup(gtids), *to = set;

	for (const char *p = gtids; set && *p; p++) {
		if (*p != '\n')
			*to++ = *p;
	}
	if (!set)
		return -1;
	*to = '\0';
	if (!is_gtid_set(set)) {
		free(set);
		return -1;
	}
	free(end->gtid_executed);
	end->gtid_executed = set;
	return 0;
}

void sc_end_free(struct sc_end *end)
{
	free(end->donor_uuid);
	free(end->redo_lost);
	free(end->binlog_file);
	free(end->gtid_flushed);
	free(end->gtid_executed);
	*end = (struct sc_end){ 0 };
}
