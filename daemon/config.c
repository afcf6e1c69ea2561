/* SPDX-License-Identifier: GPL-2.0-only */
/* Settings of snapcloned, from arguments and file; see config.h. */
#include "daemon/config_impl.h"

#include "io/base/cleanup.h"
#include "io/base/ctl.h"
#include "io/base/num.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG_FILE (64 * 1024)

/* "--name=value" or "--name value"; advances *i past what it used. */
static int parse_argument(struct sc_config *config, int argc, char **argv,
			  int *i, struct sc_err *err)
{
	const char *arg = argv[*i], *value = NULL;
	const struct config_option *o = NULL;
	size_t len = 0;

	if (!strncmp(arg, "--", 2)) {
		len = strcspn(arg + 2, "=");
		o = config_option_find(arg + 2, len);
	}
	if (!o)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "unknown option %s (see --help)", arg);
	if (arg[2 + len] == '=')
		value = arg + 2 + len + 1;
	else if (o->value && *i + 1 < argc)
		value = argv[++*i];
	if (!o->value != !value || o->set(config, value) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "option --%s: '%s' is not allowed: %s",
				  o->name, value ? value : "", o->text);
	return 0;
}

static char *trim(char *s)
{
	size_t len;

	while (isspace((unsigned char)*s))
		s++;
	len = strlen(s);
	while (len && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

static int parse_line(struct sc_config *config, const char *name, unsigned n,
		      char *line, struct sc_err *err)
{
	const struct config_option *o;
	char *key, *value;

	line[strcspn(line, "#")] = '\0';
	key = trim(line);
	if (!*key)
		return 0;
	value = strchr(key, '=');
	if (!value)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "%s line %u: expected OPTION = VALUE", name,
				  n);
	*value++ = '\0';
	key = trim(key);
	value = trim(value);
	o = config_option_find(key, strlen(key));
	if (!o || !o->in_file)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "%s line %u: unknown option %s", name, n,
				  key);
	if (o->set(config, value) < 0)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "%s line %u: %s = '%s' is not allowed: %s",
				  name, n, o->name, value, o->text);
	return 0;
}

int sc_config_parse(struct sc_config *config, const char *name,
		    const char *text, struct sc_err *err)
{
	CLEANUP_FREE char *copy = strdup(text);
	char *rest = copy, *line;
	unsigned n = 0;

	if (!copy)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	while ((line = strsep(&rest, "\n"))) {
		if (parse_line(config, name, ++n, line, err) < 0)
			return -1;
	}
	return 0;
}

static int read_config(struct sc_config *config, struct sc_err *err)
{
	CLEANUP_FREE char *text = calloc(1, MAX_CONFIG_FILE + 1);
	FILE *f = fopen(config->config_file, "re");
	size_t len;
	bool bad;

	if (!f && errno == ENOENT && !config->config_given)
		return 0;
	if (!f)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open %s", config->config_file);
	if (!text) {
		fclose(f);
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	}
	len = fread(text, 1, MAX_CONFIG_FILE, f);
	bad = ferror(f) || len == MAX_CONFIG_FILE || strlen(text) != len;
	fclose(f);
	if (bad)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "%s is not a configuration file",
				  config->config_file);
	return sc_config_parse(config, config->config_file, text, err);
}

static int parse_arguments(struct sc_config *config, int argc, char **argv,
			   struct sc_err *err)
{
	for (int i = 1; i < argc; i++) {
		if (parse_argument(config, argc, argv, &i, err) < 0)
			return -1;
	}
	return 0;
}

int sc_config_load(struct sc_config *config, int argc, char **argv,
		   struct sc_err *err)
{
	bool users_given, areas_given;

	*config = (struct sc_config){ .log_level = SC_LOG_INFO,
				      .max_jobs = 8,
				      .dm.chunk = SC_DM_CHUNK_DEFAULT };
	snprintf(config->socket, sizeof(config->socket), SC_SERVICE_SOCKET);
	snprintf(config->config_file, sizeof(config->config_file),
		 SC_CONFIG_FILE);
	/* Once for --config, and again so that options win over the file. */
	if (parse_arguments(config, argc, argv, err) < 0)
		return -1;
	if (config->help || config->version)
		return 0;
	users_given = config->n_allowed > 0;
	config->n_allowed = 0;
	areas_given = config->dm.n_cow > 0;
	config->dm.n_cow = 0;
	if (read_config(config, err) < 0)
		return -1;
	/* Lists, but each is replaced as a whole like any other option. */
	if (users_given)
		config->n_allowed = 0;
	if (areas_given)
		config->dm.n_cow = 0;
	if (parse_arguments(config, argc, argv, err) < 0)
		return -1;
	/* A system without such a user needs no entry for it. */
	if (!config->n_allowed)
		(void)config_allow_user(config, "mysql");
	return 0;
}
