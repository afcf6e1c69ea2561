/* SPDX-License-Identifier: GPL-2.0-only */
/* Comparing the lists of two servers; see config.h. No state, no server. */
#include "plugin/config.h"

#include "io/base/num.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *sc_config_variable(const struct sc_com_config *config,
			       const char *name)
{
	const struct sc_list *list = &config->variables;

	for (size_t i = 0; i + 1 < list->count; i += 2) {
		if (!strcmp(list->items[i], name))
			return list->items[i + 1];
	}
	return NULL;
}

bool sc_config_versions_fit(const char *own, const char *donor)
{
	unsigned o[3], d[3];

	if (sscanf(own, "%u.%u.%u", &o[0], &o[1], &o[2]) != 3 ||
	    sscanf(donor, "%u.%u.%u", &d[0], &d[1], &d[2]) != 3)
		return false;
	if (o[0] != d[0] || o[1] != d[1])
		return false;
	if (o[0] != 8 || o[1] != 0)
		return true;
	return o[2] == d[2] || (o[2] >= 37 && d[2] >= 37);
}

/* The names of list, every step-th item, contain s. */
static bool list_has(const struct sc_list *list, size_t step, const char *s)
{
	for (size_t i = 0; i < list->count; i += step) {
		if (!strcasecmp(list->items[i], s))
			return true;
	}
	return false;
}

static bool loadable(const char *plugin_dir, const char *library)
{
	char path[4096];

	if (strchr(library, '/') || library[0] == '.')
		return false;
	snprintf(path, sizeof(path), "%s/%s", plugin_dir, library);
	return access(path, R_OK) == 0;
}

static int compare_plugins(const struct sc_com_config *donor,
			   const struct sc_com_config *own,
			   const char *plugin_dir, struct sc_err *err)
{
	for (size_t i = 0; i + 1 < donor->plugins.count; i += 2) {
		const char *name = donor->plugins.items[i];
		const char *library = donor->plugins.items[i + 1];

		/* Built-in ones of a fitting version need no check. */
		if (*library && !list_has(&own->plugins, 2, name) &&
		    !loadable(plugin_dir, library))
			return sc_err_set(err, SC_ER_CLONE_PLUGIN_MATCH,
					  "%.128s", name);
	}
	return 0;
}

static int compare_collations(const struct sc_com_config *donor,
			      const struct sc_com_config *own,
			      struct sc_err *err)
{
	for (size_t i = 0; i < donor->collations.count; i++) {
		if (!list_has(&own->collations, 1, donor->collations.items[i]))
			return sc_err_set(err, SC_ER_CLONE_CHARSET, "%.128s",
					  donor->collations.items[i]);
	}
	return 0;
}

static const struct {
	const char *name;
	int code;
	const char *text; /* NULL: the general text of SC_ER_CLONE_CONFIG */
} compared[] = {
	{ "version_compile_machine", SC_ER_CLONE_PLATFORM, "platform" },
	{ "version_compile_os", SC_ER_CLONE_OS, "OS" },
	{ "character_set_server", SC_ER_CLONE_CONFIG, NULL },
	{ "character_set_filesystem", SC_ER_CLONE_CONFIG, NULL },
	{ "collation_server", SC_ER_CLONE_CONFIG, NULL },
	{ "innodb_page_size", SC_ER_CLONE_CONFIG, NULL },
};

/* The texts are those of the server's numbers, which take two and three
 * arguments; raise.c raises them as they are. */
static int compare_variables(const struct sc_com_config *donor,
			     const struct sc_com_config *own,
			     struct sc_err *err)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(compared); i++) {
		const char *name = compared[i].name;
		const char *theirs = sc_config_variable(donor, name) ?: "";
		const char *ours = sc_config_variable(own, name) ?: "";

		if (!strcmp(theirs, ours))
			continue;
		if (compared[i].text)
			return sc_err_set(
				err, compared[i].code,
				"Clone Donor %s: %.64s is different from Recipient %s: %.64s.",
				compared[i].text, theirs, compared[i].text,
				ours);
		return sc_err_set(
			err, compared[i].code,
			"Clone Configuration %s: Donor value: %.128s is different from Recipient value: %.128s.",
			name, theirs, ours);
	}
	return 0;
}

static int compare_version(const struct sc_com_config *donor,
			   const struct sc_com_config *own, struct sc_err *err)
{
	const char *theirs = sc_config_variable(donor, "version") ?: "";
	const char *ours = sc_config_variable(own, "version") ?: "";

	if (sc_config_versions_fit(ours, theirs))
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_DONOR_VERSION,
		"Clone Donor MySQL version: %.64s is different from Recipient MySQL version %.64s.",
		theirs, ours);
}

int sc_config_compare(const struct sc_com_config *donor,
		      const struct sc_com_config *own, const char *plugin_dir,
		      struct sc_err *err)
{
	if (compare_plugins(donor, own, plugin_dir, err) < 0 ||
	    compare_collations(donor, own, err) < 0 ||
	    compare_variables(donor, own, err) < 0)
		return -1;
	return compare_version(donor, own, err);
}
