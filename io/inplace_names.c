/* SPDX-License-Identifier: GPL-2.0-only */
/* What a server's file is, by its name; see inplace_impl.h. */
#include "io/inplace_impl.h"

#include "io/base/num.h"

#include <string.h>

bool inplace_is_doublewrite(const char *name)
{
	return !strncmp(name, "#ib_", 4) && strstr(name, "dblwr");
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n >= s && !strcmp(name + n - s, suffix);
}

/* Schemas of the server itself keep their other files: the start empties their
 * CSV tables and needs these to be there. */
static bool system_schema(const char *path)
{
	return !strncmp(path, "mysql/", 6) || !strncmp(path, "sys/", 4) ||
	       !strncmp(path, "performance_schema/", 19);
}

/* What storage engines keep in schema directories. Other files there stay, and
 * so do directories that are no schemas: binary logs, keyrings. Source:
 * handlerton::file_extensions of myisam, csv, archive, merge; sdi_file.cc. */
static bool engine_file(const char *path)
{
	static const char *const suffixes[] = { ".MYD", ".MYI", ".CSV", ".CSM",
						".ARZ", ".MRG", ".sdi" };

	for (size_t i = 0; i < SC_ARRAY_SIZE(suffixes); i++) {
		if (ends_with(path, suffixes[i]))
			return true;
	}
	return false;
}

bool inplace_is_old_data(const char *path)
{
	if (strstr(path, SC_CLONE_SUFFIX) || strchr(path, '\n'))
		return false;
	if (sc_is_tablespace_name(path))
		return true;
	if (strchr(path, '/'))
		return engine_file(path) && !system_schema(path);
	return sc_undo_name_implicit(path);
}
