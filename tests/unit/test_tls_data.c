/* SPDX-License-Identifier: GPL-2.0-only */
/* Data on connections of every kind: frames of all sizes, new keys, damage and
 * ends in the middle, peers that are slow. */
#include "io/base/clock.h"
#include "io/base/num.h"
#include "io/frame.h"
#include "tests/unit/conn_fixture.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A full record of TLS 1.3 on the wire: RFC 8446 5.2, 16 bytes of tag. */
enum { RECORD = 5 + 16384 + 1 + 16 };
/* The record with a chunk's header and body; the data's follow. */
enum { HEAD = 5 + SC_FRAME_HEADER_SIZE + SC_CHUNK_BODY_SIZE + 1 + 16 };
/* A KeyUpdate on the wire: 4 + 1 bytes in a record of its own. */
enum { KEY_UPDATE = 5 + 5 + 1 + 16 };

static uint8_t sent[SC_FRAME_MAX_DATA], got[SC_FRAME_MAX_DATA];

/* ---- the kernel's part -----------------------------------------------------
 */

static atomic_uint calls;   /* of sendmsg */
static size_t most_at_once; /* bytes it takes per call; 0 = all */

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr some = *msg;
	struct iovec parts[16];
	size_t room = most_at_once;

	calls++;
	if (!room)
		return __real_sendmsg(fd, msg, flags);
	assert_true(msg->msg_iovlen <= SC_ARRAY_SIZE(parts));
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		parts[i] = msg->msg_iov[i];
		parts[i].iov_len = SC_MIN(parts[i].iov_len, room);
		room -= parts[i].iov_len;
	}
	some.msg_iov = parts;
	return __real_sendmsg(fd, &some, flags);
}

/* ---- kinds of connections --------------------------------------------------
 */

/* RECORDS: of our own, on both sides; LIBSSL makes and opens its own; the
 * other two: ours on one side, libssl on the other. */
enum kind { PLAIN, RECORDS, LIBSSL, TO_LIBSSL, FROM_LIBSSL, KERNEL, KINDS };

/* KERNEL: where this kernel has TLS; elsewhere what such a wish comes to. */
static void join_as(enum kind kind)
{
	fx_server.options.no_kernel = fx_client.options.no_kernel =
		kind != KERNEL;
	fx_server.options.no_records = kind == LIBSSL || kind == FROM_LIBSSL;
	fx_client.options.no_records = kind == LIBSSL || kind == TO_LIBSSL;
	if (kind != PLAIN) {
		fx_connected();
		assert_int_equal(sc_conn_tls_by_libssl(fx_server.conn),
				 fx_server.options.no_records);
		assert_int_equal(sc_conn_tls_by_libssl(fx_client.conn),
				 fx_client.options.no_records);
		return;
	}
	fx_server.conn = sc_conn_plain_new(fx_server.fd);
	fx_client.conn = sc_conn_plain_new(fx_client.fd);
}

static void again(void)
{
	assert_int_equal(fx_conn_teardown(NULL), 0);
	assert_int_equal(fx_conn_setup(NULL), 0);
}

static void each_kind(void (*test)(void))
{
	for (int kind = 0; kind < KINDS; kind++) {
		join_as((enum kind)kind);
		test();
		again();
	}
}

/* Bytes that tell where they stand and in what frame. */
static void fill(uint8_t *buf, size_t len, unsigned seed)
{
	uint64_t x = seed * 2654435761u + 88172645463325252u;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		buf[i] = (uint8_t)(x >> 56);
	}
}

/* A sequence of chunk frames, sent by one thread and received by this one. */
struct sequence {
	pthread_t thread;
	const size_t *sizes; /* of the data */
	size_t n_sizes, rounds;
	struct sc_conn *conn;
	struct sc_err err;
};

static void *send_sequence(void *arg)
{
	struct sequence *s = arg;

	for (size_t i = 0; i < s->rounds * s->n_sizes; i++) {
		size_t len = s->sizes[i % s->n_sizes];
		uint8_t body[SC_CHUNK_BODY_SIZE];

		fill(body, sizeof(body), (unsigned)i);
		fill(sent, len, (unsigned)i);
		if (sc_frame_send(s->conn, SC_FRAME_CHUNK, 0, body,
				  sizeof(body), sent, len, &s->err) < 0)
			break;
	}
	return NULL;
}

static void start_sequence(struct sequence *s)
{
	s->conn = fx_server.conn;
	assert_int_equal(pthread_create(&s->thread, NULL, send_sequence, s), 0);
}

/* Frames of the sequence until one fails or all are here; how many are whole
 * and right. */
static size_t receive_sequence(struct sequence *s, struct sc_err *err)
{
	static uint8_t expected[SC_FRAME_MAX_DATA];
	CLEANUP_FRAME struct sc_frame frame = { 0 };

	for (size_t i = 0; i < s->rounds * s->n_sizes; i++) {
		size_t len = s->sizes[i % s->n_sizes];

		if (sc_frame_recv(fx_client.conn, &frame, got, err) < 0)
			return i;
		fill(expected, SC_CHUNK_BODY_SIZE, (unsigned)i);
		assert_int_equal(frame.body_len, SC_CHUNK_BODY_SIZE);
		assert_memory_equal(frame.body, expected, frame.body_len);
		fill(expected, len, (unsigned)i);
		assert_int_equal(frame.data_len, len);
		assert_memory_equal(got, expected, len);
	}
	return s->rounds * s->n_sizes;
}

static void run_sequence(struct sequence *s)
{
	struct sc_err err = SC_ERR_INIT;
	size_t n;

	start_sequence(s);
	n = receive_sequence(s, &err);
	pthread_join(s->thread, NULL);
	if (n != s->rounds * s->n_sizes)
		fail_msg("frame %zu: '%s' '%s'", n, err.msg, s->err.msg);
}

/* ---- frames ----------------------------------------------------------------
 */

static void send_all_sizes(void)
{
	static const size_t sizes[] = { 0,
					1,
					16384 - SC_FRAME_HEADER_SIZE -
						SC_CHUNK_BODY_SIZE,
					16384,
					16385,
					512 * SC_KIB - 1,
					512 * SC_KIB,
					512 * SC_KIB + 1,
					SC_FRAME_MAX_DATA - 1,
					SC_FRAME_MAX_DATA };
	struct sequence s = { .sizes = sizes,
			      .n_sizes = SC_ARRAY_SIZE(sizes),
			      .rounds = 2 };

	run_sequence(&s);
}

static void frames_of_every_size(void **state)
{
	(void)state;
	each_kind(send_all_sizes);
}

static void send_tiny(void)
{
	static const size_t sizes[] = { 0, 0, 0, 1, 0 };
	struct sequence s = { .sizes = sizes, .n_sizes = 5, .rounds = 2000 };

	run_sequence(&s);
}

static void tiny_frames(void **state)
{
	(void)state;
	each_kind(send_tiny);
}

static void *send_back(void *arg)
{
	struct fx_end *e = arg;
	CLEANUP_FRAME struct sc_frame frame = { 0 };

	while (sc_frame_recv(e->conn, &frame, sent, &e->err) == 0 &&
	       sc_frame_send(e->conn, frame.type, 0, frame.body, frame.body_len,
			     sent, frame.data_len, &e->err) == 0)
		;
	return NULL;
}

/* There and back at once: nothing waits in a buffer for more. */
static void ping_pong(void)
{
	static const size_t sizes[] = { 0, 3, 16384, 70000, SC_FRAME_MAX_DATA };
	static uint8_t out[SC_FRAME_MAX_DATA];
	uint8_t body[SC_CHUNK_BODY_SIZE] = { 0 };
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_err err = SC_ERR_INIT;

	pthread_create(&fx_server.thread, NULL, send_back, &fx_server);
	for (unsigned i = 0; i < 50; i++) {
		size_t len = sizes[i % 5];

		fill(out, len, i);
		if (sc_frame_send(fx_client.conn, SC_FRAME_CHUNK, 0, body,
				  sizeof(body), out, len, &err) < 0 ||
		    sc_frame_recv(fx_client.conn, &frame, got, &err) < 0)
			fail_msg("%u: '%s' '%s'", i, err.msg,
				 fx_server.err.msg);
		assert_int_equal(frame.data_len, len);
		assert_memory_equal(got, out, len);
	}
	fx_client.conn->ops->shutdown(fx_client.conn, false);
	fx_join(&fx_server);
}

static void both_directions_in_turn(void **state)
{
	(void)state;
	each_kind(ping_pong);
}

static void *read_mib(void *arg)
{
	struct fx_end *e = arg;

	sc_conn_read(e->conn, got, sizeof(got), &e->err);
	return NULL;
}

/* More parts than a frame has, with empty ones anywhere. */
static void send_in_parts(void)
{
	static const size_t cut[] = { 0,     0,	    1,	   1,	   5,
				      40000, 40000, 99999, 1 << 20 };
	struct iovec parts[SC_ARRAY_SIZE(cut)];
	struct sc_err err = SC_ERR_INIT;

	fill(sent, sizeof(sent), 7);
	for (size_t i = 0; i < SC_ARRAY_SIZE(cut); i++) {
		size_t from = i ? cut[i - 1] : 0;

		parts[i] = (struct iovec){ sent + from, cut[i] - from };
	}
	assert_int_equal(sc_conn_writev(fx_server.conn, parts, 0, &err), 0);
	pthread_create(&fx_client.thread, NULL, read_mib, &fx_client);
	assert_int_equal(
		sc_conn_writev(fx_server.conn, parts, SC_ARRAY_SIZE(cut), &err),
		0);
	fx_join(&fx_client);
	assert_false(sc_err_is_set(&fx_client.err));
	assert_memory_equal(got, sent, sizeof(sent));
	assert_true(fx_server.conn->bytes_out == sizeof(sent));
}

static void parts_and_empty_parts(void **state)
{
	(void)state;
	each_kind(send_in_parts);
}

/* Calls per chunk: one, or two and the rest where records are collected. */
static void count_calls(void)
{
	static const size_t size = SC_FRAME_MAX_DATA;
	struct sequence s = { .sizes = &size, .n_sizes = 1, .rounds = 8 };

	calls = 0;
	run_sequence(&s);
	assert_true(calls == 8 || calls == 3 * 8);
}

static void few_system_calls(void **state)
{
	(void)state;
	each_kind(count_calls);
	join_as(PLAIN);
	count_calls();
	assert_true(calls == 8);
}

/* Sends that end anywhere, in a part and between two. */
static void short_sends(void **state)
{
	(void)state;
	for (size_t n = 1000; n < 300000; n = n * 5 + 3) {
		most_at_once = n;
		each_kind(send_in_parts);
	}
	most_at_once = 0;
}

/* ---- keys ------------------------------------------------------------------
 */

static const size_t whole_chunk = SC_FRAME_MAX_DATA;

static uint64_t wire_bytes(enum kind kind, uint64_t rekey_bytes,
			   uint64_t *before)
{
	struct sequence s = { .sizes = &whole_chunk,
			      .n_sizes = 1,
			      .rounds = 8 };
	struct fx_relay relay = { 0 };

	fx_relay_start(&relay);
	fx_server.options.rekey_bytes = rekey_bytes;
	join_as(kind);
	*before = relay.n;
	run_sequence(&s);
	fx_hang_up(&fx_server);
	fx_hang_up(&fx_client);
	fx_relay_join(&relay);
	return relay.n;
}

/* New keys are one message more each time, between frames. */
static void new_keys_in_the_middle(void **state)
{
	(void)state;
	for (enum kind kind = RECORDS; kind <= FROM_LIBSSL; kind++) {
		uint64_t before, plain, many;

		plain = wire_bytes(kind, 0, &before) - before;
		again();
		many = wire_bytes(kind, 2 * SC_MIB, &before) - before;
		/* A frame is a little more than 1 MiB: after 2, 4 and 6. */
		assert_true(many - plain == 3 * KEY_UPDATE);
		again();
		many = wire_bytes(kind, 1, &before) - before;
		assert_true(many - plain == 7 * KEY_UPDATE);
		again();
	}
}

static bool kernel_has_tls(void)
{
	return setsockopt(fx_server.fd, SOL_TCP, TCP_ULP, "tls", 4) == 0;
}

static void kernel_where_it_can(void **state)
{
	bool has = kernel_has_tls();

	(void)state;
	print_message("this kernel has %sTLS\n", has ? "" : "no ");
	again();
	join_as(KERNEL);
	assert_int_equal(sc_conn_tls_in_kernel(fx_server.conn), has);
	assert_int_equal(sc_conn_tls_in_kernel(fx_client.conn), has);
	again();
	join_as(RECORDS);
	assert_false(sc_conn_tls_in_kernel(fx_server.conn));
}

/* No more under one key than RFC 8446 5.5 allows; records get a new one. */
static void too_much_for_one_key(void **state)
{
	struct sc_err err = SC_ERR_INIT;
	bool in_kernel;
	int rc;

	(void)state;
	join_as(KERNEL);
	in_kernel = sc_conn_tls_in_kernel(fx_server.conn);
	fx_server.conn->bytes_out = 256 * SC_GIB - 1;
	assert_int_equal(sc_conn_write(fx_server.conn, "x", 1, &err), 0);
	rc = sc_conn_write(fx_server.conn, "x", 1, &err);
	assert_int_equal(rc, in_kernel ? -1 : 0);
	if (in_kernel)
		assert_non_null(strstr(err.msg, "256 GiB sent under one key"));
}

/* ---- damage ----------------------------------------------------------------
 */

/* Send four chunks through the relay; what the client says, and how many whole
 * frames it got before. */
static size_t damaged(enum kind kind, struct fx_relay *relay, uint64_t flip_at,
		      uint64_t cut_at, struct sc_err *err)
{
	struct sequence s = { .sizes = &whole_chunk,
			      .n_sizes = 1,
			      .rounds = 4 };
	size_t n;

	fx_relay_start(relay);
	join_as(kind);
	if (flip_at != UINT64_MAX)
		relay->flip_at = relay->n + flip_at;
	if (cut_at != UINT64_MAX)
		relay->cut_at = relay->n + cut_at;
	start_sequence(&s);
	n = receive_sequence(&s, err);
	fx_hang_up(&fx_client);
	pthread_join(s.thread, NULL);
	fx_hang_up(&fx_server);
	fx_relay_join(relay);
	return n;
}

/* Where, and which bits. */
static const struct {
	uint64_t at;
	uint8_t flip;
	const char *text; /* NULL: any */
} flips[] = {
	{ 0, 0xff, NULL },			       /* type */
	{ 1, 0x80, "version" },			       /* version */
	{ 3, 0x80, "too long" },		       /* length */
	{ 4, 1, "bad record mac" },		       /* length, a byte off */
	{ 5, 1, "bad record mac" },		       /* first byte */
	{ 5 + 30, 0x10, "bad record mac" },	       /* body of the frame */
	{ HEAD + 5, 1, "bad record mac" },	       /* data */
	{ HEAD + RECORD - 1, 0x80, "bad record mac" }, /* tag */
	{ HEAD + 40 * (uint64_t)RECORD + 777, 4, "bad record mac" },
};

static void bytes_flipped_on_the_wire(void **state)
{
	(void)state;
	for (size_t i = 0; i < KINDS * SC_ARRAY_SIZE(flips); i++) {
		const char *text = flips[i / KINDS].text;
		struct fx_relay relay = { .flip = flips[i / KINDS].flip };
		struct sc_err err = SC_ERR_INIT;

		if (i % KINDS == PLAIN)
			continue;
		assert_int_equal(damaged((enum kind)(i % KINDS), &relay,
					 flips[i / KINDS].at, UINT64_MAX, &err),
				 0);
		assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
		if (!strstr(err.msg, "data connection: read: ") ||
		    (text && !strstr(err.msg, text)))
			fail_msg("%zu: '%s'", i, err.msg);
		again();
	}
}

/* Cut off anywhere, between records or in one: the peer is gone, and nothing
 * of the frame counts. */
static void cut_off_in_the_middle(void **state)
{
	static const uint64_t cuts[] = { 0,
					 1,
					 4,
					 5,
					 HEAD - 1,
					 HEAD,
					 79,
					 HEAD + RECORD,
					 HEAD + 20 * (uint64_t)RECORD + 9 };

	(void)state;
	for (size_t i = 0; i < KINDS * SC_ARRAY_SIZE(cuts); i++) {
		struct fx_relay relay = { 0 };
		struct sc_err err = SC_ERR_INIT;

		assert_int_equal(damaged((enum kind)(i % KINDS), &relay,
					 UINT64_MAX, cuts[i / KINDS], &err),
				 0);
		assert_int_equal(err.sys_errno, ECONNRESET);
		assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
		again();
	}
}

/* A donor that dies while it sends a chunk. */
static void vanish(void)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	uint8_t head[SC_FRAME_HEADER_SIZE] = { 'S', 'C', 'D', 'F', 1,
					       0,   0,	 0,   32 };
	struct sc_err err = SC_ERR_INIT;

	assert_int_equal(
		sc_conn_write(fx_server.conn, head, sizeof(head), &err), 0);
	assert_int_equal(sc_conn_write(fx_server.conn, sent, 10, &err), 0);
	fx_hang_up(&fx_server);
	assert_int_equal(sc_frame_recv(fx_client.conn, &frame, NULL, &err), -1);
	assert_int_equal(err.sys_errno, ECONNRESET);
}

static void peer_vanishes_in_a_frame(void **state)
{
	(void)state;
	each_kind(vanish);
}

/* ---- waiting ---------------------------------------------------------------
 */

static size_t heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* A reader that pauses: the writer waits, with no more memory than it had. */
static void slow(void)
{
	struct sequence s = { .sizes = &whole_chunk,
			      .n_sizes = 1,
			      .rounds = 24 };
	struct sc_err err = SC_ERR_INIT;
	size_t before = heap_bytes();

	start_sequence(&s);
	sc_sleep_ms(100);
	/* Sockets hold 6 MiB and 4 MiB at most: tcp(7), tcp_rmem, tcp_wmem. */
	assert_int_equal(pthread_tryjoin_np(s.thread, NULL), EBUSY);
	assert_true(heap_bytes() < before + SC_MIB);
	assert_int_equal(receive_sequence(&s, &err), s.rounds);
	pthread_join(s.thread, NULL);
	assert_false(sc_err_is_set(&s.err));
}

static void slow_reader(void **state)
{
	(void)state;
	each_kind(slow);
}

static void *read_all(void *arg)
{
	struct fx_end *e = arg;

	while (sc_conn_read(e->conn, got, sizeof(got), &e->err) == 0)
		;
	return NULL;
}

static void time_is_up(void)
{
	struct sequence s = { .sizes = &whole_chunk,
			      .n_sizes = 1,
			      .rounds = 99 };
	struct sc_err err = SC_ERR_INIT;
	char byte;

	assert_int_equal(sc_conn_read(fx_client.conn, &byte, 1, &err), -1);
	assert_int_equal(err.sys_errno, EAGAIN);
	/* What failed in one direction says nothing of the other. */
	assert_int_equal(sc_conn_write(fx_client.conn, "x", 1, &err), 0);
	assert_int_equal(sc_conn_read(fx_server.conn, &byte, 1, &err), 0);
	start_sequence(&s);
	pthread_join(s.thread, NULL);
	assert_int_equal(s.err.sys_errno, EAGAIN);
	/* Nor what failed before of what fails now. */
	fx_hang_up(&fx_server);
	read_all(&fx_client);
	assert_int_equal(fx_client.err.sys_errno, ECONNRESET);
}

static void timeouts(void **state)
{
	(void)state;
	for (int kind = 0; kind < KINDS; kind++) {
		int fds[2] = { fx_server.fd, fx_client.fd };

		join_as((enum kind)kind);
		for (int i = 0; i < 2; i++)
			sc_socket_timeout(fds[i], 50);
		time_is_up();
		again();
	}
}

/* Blocked in the middle of a chunk, in both directions; then woken. */
static void wake_both(void)
{
	struct sequence s = { .sizes = &whole_chunk,
			      .n_sizes = 1,
			      .rounds = 99 };
	struct sc_err err = SC_ERR_INIT;
	uint64_t began = sc_now_ms();

	assert_int_equal(sc_conn_write(fx_server.conn, sent, 100000, &err), 0);
	pthread_create(&fx_client.thread, NULL, read_all, &fx_client);
	sc_sleep_ms(20);
	fx_client.conn->ops->shutdown(fx_client.conn, true);
	fx_join(&fx_client);
	assert_int_equal(fx_client.err.sys_errno, ECONNRESET);
	start_sequence(&s);
	sc_sleep_ms(50);
	fx_server.conn->ops->shutdown(fx_server.conn, false);
	pthread_join(s.thread, NULL);
	assert_true(s.err.sys_errno == EPIPE || s.err.sys_errno == ECONNRESET);
	assert_true(sc_now_ms() - began < FX_SOON_MS);
}

static void shutdown_wakes_in_a_chunk(void **state)
{
	(void)state;
	each_kind(wake_both);
}

/* Cancelled while a chunk comes in: the reader stops, what the job has to say
 * still reaches the peer. */
static void say_last_words(void)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_err err = SC_ERR_INIT;

	assert_int_equal(sc_conn_write(fx_server.conn, sent, 100000, &err), 0);
	pthread_create(&fx_client.thread, NULL, read_all, &fx_client);
	sc_sleep_ms(20);
	fx_client.conn->ops->shutdown(fx_client.conn, true);
	fx_join(&fx_client);
	assert_int_equal(sc_frame_send(fx_client.conn, SC_FRAME_ERROR, 0, "why",
				       3, NULL, 0, &err),
			 0);
	assert_int_equal(sc_frame_recv(fx_server.conn, &frame, NULL, &err), 0);
	assert_int_equal(frame.type, SC_FRAME_ERROR);
	assert_memory_equal(frame.body, "why", 3);
}

static void last_words(void **state)
{
	(void)state;
	each_kind(say_last_words);
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, fx_conn_setup, fx_conn_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_of_every_size),
		TEST(tiny_frames),
		TEST(both_directions_in_turn),
		TEST(parts_and_empty_parts),
		TEST(few_system_calls),
		TEST(short_sends),
		TEST(new_keys_in_the_middle),
		TEST(kernel_where_it_can),
		TEST(too_much_for_one_key),
		TEST(bytes_flipped_on_the_wire),
		TEST(cut_off_in_the_middle),
		TEST(peer_vanishes_in_a_frame),
		TEST(slow_reader),
		TEST(timeouts),
		TEST(shutdown_wakes_in_a_chunk),
		TEST(last_words),
	};

	/* As the daemon does: OpenSSL writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
