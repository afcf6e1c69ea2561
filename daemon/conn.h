/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections between daemons: sockets, plain or under TLS 1.3 with the job's
 * one-time key. */
#ifndef SC_DAEMON_CONN_H
#define SC_DAEMON_CONN_H

#include "io/base/ctl.h"
#include "io/conn.h"

#include <stdatomic.h>
#include <stdbool.h>

/* How long a peer may take for the handshake and HELLO. */
#define SC_HANDSHAKE_MS 10000

/* Take over a connected socket. NULL when out of memory (fd stays open). */
struct sc_conn *sc_conn_plain_new(int fd);

struct sc_tls_options {
	uint64_t
		rekey_bytes; /* new keys after so many bytes sent; 0 = 64 GiB */
	bool no_kernel;	     /* never let the kernel encrypt */
	bool no_records;     /* libssl does: for tests and measurements */
};

/*
 * The most that a job may be expected to send for the kernel to encrypt it
 * (kTLS): keys cannot be changed then, so a connection fails at four times
 * that, which is below what RFC 8446 5.5 allows under one key.
 */
#define SC_TLS_KERNEL_MAX ((uint64_t)64 << 30)

/*
 * TLS 1.3 with an external PSK (RFC 8446 4.2.11): identity is the job id in
 * hex, key the job's. Both sides are authenticated by the key alone, with
 * forward secrecy (psk_dhe_ke). Takes over the connected socket on success;
 * blocks for the handshake, bounded by the socket's timeouts. `options` may be
 * NULL: all zero. NULL with err on failure: the peer does not know the key, or
 * speaks something else.
 */
struct sc_conn *sc_conn_tls_server(int fd, const uint8_t job_id[],
				   const uint8_t key[],
				   const struct sc_tls_options *options,
				   struct sc_err *err);
struct sc_conn *sc_conn_tls_client(int fd, const uint8_t job_id[],
				   const uint8_t key[],
				   const struct sc_tls_options *options,
				   struct sc_err *err);

/* Whether the kernel encrypts what this connection, made by one of the two,
 * sends. */
bool sc_conn_tls_in_kernel(const struct sc_conn *conn);

/* Whether libssl makes and opens the records of such a connection, because it
 * had to or by the option: the same on the wire, with more copies. */
bool sc_conn_tls_by_libssl(const struct sc_conn *conn);

/* Job id in hex, 33 bytes with NUL. */
void sc_job_id_hex(const uint8_t job_id[], char ret[2 * SC_JOB_ID_SIZE + 1]);

/* ---- sockets (conn_socket.c) -----------------------------------------------
 */

/* Listen on a numeric address; port 0 = any free one, *ret_port tells which.
 * Returns the descriptor or -1. */
int sc_listen(const char *address, uint16_t port, uint16_t *ret_port,
	      struct sc_err *err);
/* The next connection of a listener, with the options of every data connection:
 * no delay, and a vanished peer is noticed within some 40 s. The descriptor, or
 * -1 with errno. */
int sc_accept(int listener);
/* Connect to a numeric address within the time, with the options of
 * sc_accept(); gives up when *stop becomes true. Returns the descriptor or -1.
 */
int sc_connect(const char *address, uint16_t port, int timeout_ms,
	       const atomic_bool *stop, struct sc_err *err);
/* Bound every read and write on the socket; 0 = no bound. */
void sc_socket_timeout(int fd, int timeout_ms);

/*
 * Send n <= IOV_MAX parts (an array that is used up; empty ones are legal),
 * blocking, in one call unless the socket takes less at once. 0 or an errno
 * value (EAGAIN: the time of sc_socket_timeout() is over); no SIGPIPE.
 */
int sc_socket_send(int fd, struct iovec *parts, size_t n);

#endif
