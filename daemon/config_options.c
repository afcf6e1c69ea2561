/* SPDX-License-Identifier: GPL-2.0-only */
/* What snapcloned can be told: one table knows every option. */
#include "daemon/config_impl.h"

#include "io/base/ctl.h"
#include "io/base/num.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_number(const char *value, uint64_t min, uint64_t max,
			uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno || *ret < min ||
	    *ret > max)
		return -1;
	return 0;
}

static int set_socket(struct sc_config *c, const char *value)
{
	if (value[0] != '/' || strlen(value) >= sizeof(c->socket))
		return -1;
	snprintf(c->socket, sizeof(c->socket), "%s", value);
	return 0;
}

static int set_config(struct sc_config *c, const char *value)
{
	if (!*value || strlen(value) >= sizeof(c->config_file))
		return -1;
	snprintf(c->config_file, sizeof(c->config_file), "%s", value);
	c->config_given = true;
	return 0;
}

static int set_log_level(struct sc_config *c, const char *value)
{
	return sc_log_level_parse(value, &c->log_level);
}

static int set_data_port(struct sc_config *c, const char *value)
{
	uint64_t n;

	if (parse_number(value, 0, 65535, &n) < 0)
		return -1;
	c->data_port = (uint16_t)n;
	return 0;
}

static int set_max_jobs(struct sc_config *c, const char *value)
{
	uint64_t n;

	if (parse_number(value, 1, 64, &n) < 0)
		return -1;
	c->max_jobs = (uint32_t)n;
	return 0;
}

static int set_image_reserve(struct sc_config *c, const char *value)
{
	uint64_t n;

	if (parse_number(value, 0, UINT32_MAX, &n) < 0)
		return -1;
	c->image_reserve = (uint32_t)n;
	return 0;
}

int config_allow_user(struct sc_config *c, const char *value)
{
	struct passwd *pw = getpwnam(value);
	uint64_t n;

	if (c->n_allowed == SC_MAX_ALLOWED_USERS)
		return -1;
	if (pw)
		c->allowed[c->n_allowed++] = pw->pw_uid;
	else if (parse_number(value, 0, UINT32_MAX - 1, &n) == 0)
		c->allowed[c->n_allowed++] = (uid_t)n;
	else
		return -1;
	return 0;
}

static int set_engine(struct sc_config *c, const char *value)
{
	enum sc_engine_kind kind;

	if (sc_engine_kind_parse(value, &kind) < 0 || kind == SC_ENGINE_URING)
		return -1;
	c->engine = kind;
	return 0;
}

static int set_dm_cow(struct sc_config *c, const char *value)
{
	if ((value[0] != '/' && strcmp(value, "zram") != 0) ||
	    strlen(value) >= sizeof(c->dm.cow[0]) ||
	    c->dm.n_cow == SC_DM_COW_AREAS)
		return -1;
	snprintf(c->dm.cow[c->dm.n_cow++], sizeof(c->dm.cow[0]), "%s", value);
	return 0;
}

static int set_dm_cow_size(struct sc_config *c, const char *value)
{
	uint64_t n;

	if (parse_number(value, 0, UINT32_MAX, &n) < 0 ||
	    (n && n * SC_MIB < SC_DM_COW_MIN))
		return -1;
	c->dm.cow_size = n * SC_MIB;
	return 0;
}

static int set_dm_chunk(struct sc_config *c, const char *value)
{
	uint64_t n;

	if (parse_number(value, 4, 512, &n) < 0 || !sc_is_power_of_two(n))
		return -1;
	c->dm.chunk = (uint32_t)(n * SC_KIB);
	return 0;
}

static int set_embedded(struct sc_config *c, const char *value)
{
	(void)value;
	c->embedded = true;
	return 0;
}

static int set_help(struct sc_config *c, const char *value)
{
	(void)value;
	c->help = true;
	return 0;
}

static int set_version(struct sc_config *c, const char *value)
{
	(void)value;
	c->version = true;
	return 0;
}

static const struct config_option options[] = {
	{ "socket", "PATH", true, set_socket,
	  "absolute path of the control socket (default " SC_SERVICE_SOCKET
	  ")" },
	{ "data_port", "PORT", true, set_data_port,
	  "TCP port for data connections, 0..65535, 0 = any free one (default 0)" },
	{ "max_jobs", "N", true, set_max_jobs,
	  "jobs at the same time, 1..64 (default 8)" },
	{ "image_reserve", "MIB", true, set_image_reserve,
	  "free space of a donor's file system below which a reflink or btrfs image is given up, MiB, 0 = size of the redo log and a hundredth of the file system (default 0)" },
	{ "allow_user", "NAME", true, config_allow_user,
	  "user name or id that may use the socket besides root; may be repeated (default mysql)" },
	{ "log_level", "LEVEL", true, set_log_level,
	  "error, warning, info or debug (default info)" },
	{ "engine", "ENGINE", true, set_engine,
	  "auto: io_uring where the kernel allows it; sync: plain system calls (default auto)" },
	{ "dm_cow", "AREA", true, set_dm_cow,
	  "copy-on-write area for images of devices: a block device, a directory, or zram; may be repeated, the first that can be used is (default none: no such images)" },
	{ "dm_cow_size", "MIB", true, set_dm_cow_size,
	  "its size, from 16; 0: by free space and what is written (default 0)" },
	{ "dm_chunk", "KIB", true, set_dm_chunk,
	  "what is copied at once before it is overwritten, a power of two, 4..512 (default 32)" },
	{ "config", "FILE", false, set_config,
	  "configuration file (default " SC_CONFIG_FILE ", if it exists)" },
	{ "embedded", NULL, false, set_embedded,
	  "serve the control connection on descriptor 3 and end with it; the plugin starts the daemon so" },
	{ "version", NULL, false, set_version, "print the version" },
	{ "help", NULL, false, set_help, "print this text" },
};

void sc_config_usage(void)
{
	printf("snapcloned %s: copies MySQL data directories for the snapclone plugin\n\n"
	       "usage: snapcloned [--OPTION=VALUE ...]\n\n",
	       SC_VERSION);
	for (size_t i = 0; i < SC_ARRAY_SIZE(options); i++) {
		const struct config_option *o = &options[i];
		char left[40];

		snprintf(left, sizeof(left), "--%s%s%s", o->name,
			 o->value ? "=" : "", o->value ? o->value : "");
		printf("  %-20s %s\n", left, o->text);
	}
	printf("\nThe configuration file has lines OPTION = VALUE and comments after #.\n");
}

/* '-' and '_' are the same in names. */
static bool same_name(const char *a, size_t len, const char *name)
{
	if (strlen(name) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((a[i] == '-' ? '_' : a[i]) != name[i])
			return false;
	}
	return true;
}

const struct config_option *config_option_find(const char *name, size_t len)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(options); i++) {
		if (same_name(name, len, options[i].name))
			return &options[i];
	}
	return NULL;
}
