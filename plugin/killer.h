/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts a statement that another thread's session runs: KILL QUERY from a
 * session of its own, repeated until that thread is out of SQL, because a KILL
 * can come between two statements and hit nothing.
 */
#ifndef SC_PLUGIN_KILLER_H
#define SC_PLUGIN_KILLER_H

#include <pthread.h>
#include <stdbool.h>

struct sc_killer {
	/* The session to interrupt, 0 when there is nothing left to do. Called
	 * from the killer's thread. */
	unsigned (*session)(void *owner);
	void *owner;
	pthread_t thread;
	bool running;
};

/* Begin; once per killer. */
void sc_killer_start(struct sc_killer *killer, unsigned (*session)(void *owner),
		     void *owner);
/* Wait until session() says 0. Legal when it was never started. */
void sc_killer_join(struct sc_killer *killer);

#endif
