/* SPDX-License-Identifier: GPL-2.0-only */
/* KILL QUERY from the plugin; see killer.h. */
#include "plugin/killer.h"

#include "io/base/clock.h"
#include "plugin/services.h"
#include "plugin/sql.h"

#define REPEAT_MS 50

static void *killer_main(void *arg)
{
	struct sc_killer *killer = arg;
	struct sc_err err = SC_ERR_INIT;
	struct sc_sql *sql = sc_sql_open(&err);
	unsigned id;

	while (sql && (id = killer->session(killer->owner))) {
		struct sc_err ignored = SC_ERR_INIT;

		sc_sql_queryf(sql, NULL, &ignored, "KILL QUERY %u", id);
		sc_sleep_ms(REPEAT_MS);
	}
	if (!sql)
		sc_server_log(ST_LOG_WARNING,
			      "cannot interrupt a clone's statement: %s",
			      err.msg);
	sc_sql_close(sql);
	return NULL;
}

void sc_killer_start(struct sc_killer *killer, unsigned (*session)(void *owner),
		     void *owner)
{
	killer->session = session;
	killer->owner = owner;
	killer->running =
		pthread_create(&killer->thread, NULL, killer_main, killer) == 0;
}

void sc_killer_join(struct sc_killer *killer)
{
	if (killer->running)
		pthread_join(killer->thread, NULL);
	killer->running = false;
}
