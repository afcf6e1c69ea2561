/* SPDX-License-Identifier: GPL-2.0-only */
/* The two sinks of a donor job. Both are freed with free(). */
#ifndef SC_DAEMON_SINKS_H
#define SC_DAEMON_SINKS_H

#include "io/sink.h"
#include "io/stage.h"

/* stage: borrowed. NULL when out of memory. */
struct sc_sink *sc_sink_stage_new(struct sc_staged *stage);

/* conns: one connection per stream, 0..streams, borrowed; filled in by the
 * data server as they are made. NULL when out of memory. */
struct sc_sink *sc_sink_net_new(struct sc_conn **conns);

#endif
