/* SPDX-License-Identifier: GPL-2.0-only */
/* The two sinks of a donor job. Both are freed with free(). */
#ifndef SC_DAEMON_SINKS_H
#define SC_DAEMON_SINKS_H

#include "io/rate.h"
#include "io/sink.h"
#include "io/stage.h"

/* stage: borrowed. NULL when out of memory. */
struct sc_sink *sc_sink_stage_new(struct sc_staged *stage);

struct sc_sink_net_params {
	/* One per stream, 0..streams, borrowed; filled in by the data server as
	 * they are made. */
	struct sc_conn **conns;
	unsigned streams;
	bool compress;
	struct sc_rate *rate;	 /* of chunks, on the wire; borrowed */
	const atomic_bool *stop; /* ends a wait for the rate; borrowed */
};

/* NULL when out of memory. */
struct sc_sink *sc_sink_net_new(const struct sc_sink_net_params *params);

#endif
