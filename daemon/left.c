/* SPDX-License-Identifier: GPL-2.0-only */
/* What could not be given back; see left.h. */
#include "daemon/left.h"

#include "io/base/cleanup.h"
#include "io/base/log.h"

#include <pthread.h>
#include <stdio.h>

static struct {
	pthread_mutex_t lock;
	unsigned serial;
	struct sc_left last; /* serial 0: nothing */
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

void sc_left_keep(const char *provider, const struct sc_err *why)
{
	struct sc_err err = *why;
	SC_LOCK_SCOPE(&all.lock);

	sc_err_context(&err, "provider %s could not give its image back",
		       provider);
	sc_error("%s", err.msg);
	all.last.provider = provider;
	all.last.serial = ++all.serial;
	snprintf(all.last.text, sizeof(all.last.text), "%s", err.msg);
}

bool sc_left_get(struct sc_left *ret)
{
	SC_LOCK_SCOPE(&all.lock);

	*ret = all.last;
	return ret->serial != 0;
}

void sc_left_forget(const struct sc_left *left)
{
	SC_LOCK_SCOPE(&all.lock);

	if (all.last.serial == left->serial)
		all.last = (struct sc_left){ 0 };
}
