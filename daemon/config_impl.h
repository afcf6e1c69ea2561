/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by config*.c only. */
#ifndef SC_DAEMON_CONFIG_IMPL_H
#define SC_DAEMON_CONFIG_IMPL_H

#include "daemon/config.h"

#include <stddef.h>

struct config_option {
	const char *name;
	const char *value; /* placeholder, NULL: a flag */
	bool in_file;
	/* 0, or -1: the value is not allowed. */
	int (*set)(struct sc_config *config, const char *value);
	const char *text; /* what is allowed, unit, default */
};

/* The option of that name, of len bytes, or NULL. */
const struct config_option *config_option_find(const char *name, size_t len);

/* Set allow_user: a name or an id. 0 or -1. */
int config_allow_user(struct sc_config *c, const char *value);

#endif
