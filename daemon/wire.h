/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way of TLS records between who makes them and the socket: what is sent is
 * collected, what is received comes in large reads, because a system call per
 * 16 KiB record costs more than another copy in the cache. Holds ciphertext
 * only. One thread; another may shut the socket down.
 */
#ifndef SC_DAEMON_WIRE_H
#define SC_DAEMON_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Bytes that are sent and received at once, at most. tests/perf/bench_tls.c
 * tells: docs/performance.md. With SC_MAX_STREAMS connections that is 64 MiB
 * for a side that only sends or only receives.
 */
#ifndef SC_WIRE_SIZE
#define SC_WIRE_SIZE (512 * 1024)
#endif

struct sc_wire {
	int fd;	       /* borrowed */
	int sys_errno; /* of the first failure; ECONNRESET: the peer ended */
	uint8_t *out, *in;
	size_t out_len, in_at, in_len;
};

/* 0, or -1 when out of memory; sc_wire_free() in either case. */
int sc_wire_init(struct sc_wire *wire, int fd);
void sc_wire_free(struct sc_wire *wire);

/* Append; sends when full. 0 or -1 with sys_errno set. */
int sc_wire_put(struct sc_wire *wire, const void *buf, size_t len);

/* Send what was appended. 0 or -1 with sys_errno set. */
int sc_wire_flush(struct sc_wire *wire);

/* Room for len <= SC_WIRE_SIZE bytes behind what was appended, which is sent
 * first when there is not enough. The caller writes there and adds to out_len
 * what it has made. NULL with sys_errno set. */
uint8_t *sc_wire_room(struct sc_wire *wire, size_t len);

/* Send what was appended as far as that goes without waiting, and forget it:
 * for the last words on a connection that has failed. */
void sc_wire_try(struct sc_wire *wire);

/* 1..len bytes that have arrived; waits for the first. Or -1 with sys_errno. */
ssize_t sc_wire_get(struct sc_wire *wire, void *buf, size_t len);

/* The next len <= SC_WIRE_SIZE bytes, in one piece, valid until the next call;
 * waits for them. The caller adds to in_at what it takes. Or NULL with
 * sys_errno; what has arrived stays. */
const uint8_t *sc_wire_need(struct sc_wire *wire, size_t len);

#endif
