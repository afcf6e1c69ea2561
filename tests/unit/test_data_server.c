/* SPDX-License-Identifier: GPL-2.0-only */
/* The donor's data port: who is admitted and who is not, and that cancel and
 * free end everything, whatever the peers do. */
#include "daemon/conn.h"
#include "daemon/data_server.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/num.h"
#include "io/frame.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { STREAMS = 3, GUESTS = 32 + STREAMS + 1 };
/* What does not wait for a peer ends sooner, and what does later: the limit of
 * a handshake or of the test's own reads is longer. */
enum { SOON_MS = 10000, LIMIT_MS = 20000, HANDSHAKE_MS = 30000 };

static const uint8_t job_id[SC_JOB_ID_SIZE] = { 1, 2, 3 };
static const uint8_t key[SC_JOB_KEY_SIZE] = { 7, [31] = 9 };
static const uint8_t zero[SC_JOB_KEY_SIZE];
static atomic_bool never;

static struct sc_data_server *server;
static struct sc_job job;
static struct sc_err err;
static uint16_t port;
static bool tls;
static unsigned handshake_ms; /* 0 = HANDSHAKE_MS */
/* Under valgrind all takes longer: tests/run says how much. */
static unsigned slow = 1;
static int limit_ms = LIMIT_MS;
static uint64_t job_bytes; /* what the job will send */
static unsigned fds_before, threads_before;
static atomic_uint ran[STREAMS + 1]; /* streams that were run */
/* What the streams do. */
static enum { END, FAIL, WAIT } behaviour;

/* ---- the job ---------------------------------------------------------------
 */

static int run_stream(struct sc_job *j, unsigned stream, struct sc_err *e)
{
	char byte;

	(void)j;
	ran[stream]++;
	if (behaviour == FAIL)
		return sc_err_set(e, SC_ER_CLONE_DONOR, "stream %u failed",
				  stream);
	if (behaviour == WAIT)
		return sc_conn_read(sc_data_server_conns(server)[stream], &byte,
				    1, e);
	return 0;
}

static void cancel_job(struct sc_job *j)
{
	(void)j;
	sc_data_server_cancel(server, false);
}

static const struct sc_job_ops job_ops = { .cancel = cancel_job };

/* What the log said about TLS; the log calls one at a time. */
static struct {
	unsigned n;
	char line[200];
} said;

static void keep_tls_line(void *ctx, enum sc_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	if (!strstr(line, "data connections: TLS"))
		return;
	said.n++;
	snprintf(said.line, sizeof(said.line), "%s", line);
}

static int setup(bool with_tls)
{
	struct sc_data_server_params params = { .job = &job,
						.address = "127.0.0.1",
						.tls = with_tls,
						.bytes = job_bytes,
						.streams = STREAMS,
						.key = key,
						.handshake_ms = HANDSHAKE_MS,
						.run_stream = run_stream };

	if (handshake_ms)
		params.handshake_ms = (int)handshake_ms;
	fds_before = fx_count_fds();
	threads_before = fx_count_threads();
	tls = with_tls;
	err = (struct sc_err)SC_ERR_INIT;
	behaviour = END;
	memset(&job, 0, sizeof(job));
	for (int i = 0; i <= STREAMS; i++)
		ran[i] = 0;
	sc_job_init(&job, &job_ops, NULL, job_id, 0, "peer");
	return sc_data_server_start(&params, &server, &port, &err);
}

/* Nothing stays; called when the test has closed its own connections. */
static int teardown(void **state)
{
	uint64_t began = sc_now_ms();

	(void)state;
	sc_data_server_free(server);
	sc_job_destroy(&job);
	if (sc_now_ms() - began > SOON_MS || fx_count_fds() != fds_before ||
	    !fx_threads_at_most(threads_before)) {
		print_error("%u ms, %u fds of %u, %u threads of %u\n",
			    (unsigned)(sc_now_ms() - began), fx_count_fds(),
			    fds_before, fx_count_threads(), threads_before);
		return -1;
	}
	return 0;
}

static int setup_plain(void **state)
{
	(void)state;
	return setup(false);
}

static int setup_tls(void **state)
{
	(void)state;
	return setup(true);
}

static int setup_hasty(void **state)
{
	(void)state;
	handshake_ms = 1000 * slow;
	return setup(false);
}

static int setup_hasty_tls(void **state)
{
	(void)state;
	handshake_ms = 1000 * slow;
	return setup(true);
}

static int teardown_hasty(void **state)
{
	handshake_ms = 0;
	return teardown(state);
}

/* ---- peers -----------------------------------------------------------------
 */

static int dial(void)
{
	struct sc_err e = SC_ERR_INIT;
	int fd = sc_connect("127.0.0.1", port, limit_ms, &never, &e);

	if (fd < 0)
		fail_msg("%s", e.msg);
	sc_socket_timeout(fd, limit_ms);
	return fd;
}

static struct sc_conn *over(int fd)
{
	struct sc_err e = SC_ERR_INIT;
	struct sc_conn *conn =
		tls ? sc_conn_tls_client(fd, job_id, key, NULL, &e)
		    : sc_conn_plain_new(fd);

	if (!conn)
		fail_msg("%s", e.msg);
	return conn;
}

static struct sc_hello good_hello(unsigned stream)
{
	struct sc_hello hello = { .version = SC_FRAME_VERSION,
				  .stream = (uint16_t)stream };

	memcpy(hello.job_id, job_id, sizeof(job_id));
	memcpy(hello.token, tls ? zero : key, sizeof(hello.token));
	return hello;
}

static void say(struct sc_conn *conn, const struct sc_hello *hello)
{
	struct sc_err e = SC_ERR_INIT;
	struct sc_enc enc = { 0 };

	sc_frame_put_hello(&enc, hello);
	if (sc_frame_send_enc(conn, SC_FRAME_HELLO, &enc, &e) < 0)
		fail_msg("%s", e.msg);
}

/* The server's answer: 1 admitted, 0 hung up, else -1. */
static int answer(struct sc_conn *conn)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct sc_err e = SC_ERR_INIT;

	if (sc_frame_recv(conn, &frame, NULL, &e) == 0)
		return frame.type == SC_FRAME_HELLO_OK ? 1 : -1;
	return e.sys_errno == ECONNRESET ? 0 : -1;
}

static void hang_up(struct sc_conn *conn)
{
	conn->ops->free(conn);
}

/* A recipient's connection, admitted. */
static struct sc_conn *join_stream(unsigned stream)
{
	struct sc_conn *conn = over(dial());
	struct sc_hello hello = good_hello(stream);

	say(conn, &hello);
	assert_int_equal(answer(conn), 1);
	return conn;
}

static void expect_no_entry(const struct sc_hello *hello)
{
	struct sc_conn *conn = over(dial());

	say(conn, hello);
	assert_int_equal(answer(conn), 0);
	hang_up(conn);
}

/* The server is done when those that are connected are: a stream that it has
 * just answered may still be on its way. */
static void await_ran(unsigned stream)
{
	uint64_t until = sc_now_ms() + limit_ms;

	while (!ran[stream] && sc_now_ms() < until)
		sc_sleep_ms(1);
}

/* No stranger is the job's failure. */
static void expect_unharmed(void)
{
	struct sc_conn *conns[STREAMS + 1];

	for (unsigned i = 0; i <= STREAMS; i++)
		conns[i] = join_stream(i);
	if (sc_data_server_await_control(server, limit_ms, &err) < 0 ||
	    sc_data_server_await_streams(server, &err) < 0)
		fail_msg("%s", err.msg);
	assert_false(sc_err_is_set(&job.err));
	for (unsigned i = 0; i <= STREAMS; i++) {
		if (i > 0)
			await_ran(i);
		assert_int_equal(ran[i], i > 0);
		assert_non_null(sc_data_server_conns(server)[i]);
		hang_up(conns[i]);
	}
}

/* ---- admission -------------------------------------------------------------
 */

static void streams_run_to_their_end(void **state)
{
	(void)state;
	expect_unharmed();
}

static const struct hello_case {
	unsigned version, stream, id_bit, token_bit; /* bits + 1 to flip */
} hello_cases[] = {
	{ SC_FRAME_VERSION + 1, 0, 0, 0 },
	{ 0, 0, 0, 0 },
	{ SC_FRAME_VERSION, STREAMS + 1, 0, 0 },
	{ SC_FRAME_VERSION, 65535, 0, 0 },
	{ SC_FRAME_VERSION, 0, 1, 0 },
	{ SC_FRAME_VERSION, 0, 128, 0 },
	{ SC_FRAME_VERSION, 0, 0, 1 },
	{ SC_FRAME_VERSION, 0, 0, 256 },
};

static void wrong_hellos(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(hello_cases); i++) {
		const struct hello_case *c = &hello_cases[i];
		struct sc_hello hello = good_hello(c->stream);
		unsigned id = c->id_bit - 1, token = c->token_bit - 1;

		hello.version = (uint16_t)c->version;
		if (c->id_bit)
			hello.job_id[id / 8] ^= (uint8_t)(1 << id % 8);
		if (c->token_bit)
			hello.token[token / 8] ^= (uint8_t)(1 << token % 8);
		expect_no_entry(&hello);
	}
	expect_unharmed();
}

/* Without TLS the key must be shown, under TLS it must not. */
static void token_of_the_other_mode(void **state)
{
	struct sc_hello hello = good_hello(0);

	(void)state;
	memcpy(hello.token, tls ? key : zero, sizeof(hello.token));
	expect_no_entry(&hello);
	expect_unharmed();
}

static void stream_twice(void **state)
{
	struct sc_conn *control = join_stream(0), *first = join_stream(2);
	struct sc_hello hello = good_hello(0);

	(void)state;
	expect_no_entry(&hello);
	hello = good_hello(2);
	expect_no_entry(&hello);
	hang_up(first);
	await_ran(2);
	expect_no_entry(&hello); /* not even when it has ended */
	assert_int_equal(ran[2], 1);
	hang_up(control);
}

static void data_before_control(void **state)
{
	struct sc_hello hello = good_hello(1);

	(void)state;
	expect_no_entry(&hello);
	expect_unharmed();
}

/* As soon as the recipient hears that it is admitted it may go on. */
static void data_right_behind_control(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct sc_conn *conns[STREAMS + 1];
		struct sc_hello hello;

		for (unsigned s = 0; s <= STREAMS; s++)
			conns[s] = over(dial());
		for (unsigned s = 0; s <= STREAMS; s++) {
			hello = good_hello(s);
			say(conns[s], &hello);
			if (answer(conns[s]) != 1)
				fail_msg("round %d, stream %u refused", i, s);
		}
		for (unsigned s = 0; s <= STREAMS; s++)
			hang_up(conns[s]);
		assert_int_equal(teardown(NULL), 0);
		assert_int_equal(setup(tls), 0);
	}
}

/* The bytes of a frame with a right digest over a body of zeroes. */
static size_t make_frame(uint8_t *raw, uint16_t type, uint32_t body_len)
{
	memset(raw, 0, SC_FRAME_HEADER_SIZE + body_len);
	sc_store_le32(raw, SC_FRAME_MAGIC);
	sc_store_le16(raw + 4, type);
	sc_store_le32(raw + 8, body_len);
	sc_store_le64(raw + 16, sc_digest64(raw, 16, raw + SC_FRAME_HEADER_SIZE,
					    body_len));
	return SC_FRAME_HEADER_SIZE + body_len;
}

static const struct {
	uint16_t type;
	uint32_t body_len;
} wrong_frames[] = {
	{ SC_FRAME_DONE, 0 },	  { SC_FRAME_ERROR, 10 },
	{ SC_FRAME_HELLO, 0 },	  { SC_FRAME_HELLO, 51 },
	{ SC_FRAME_HELLO, 53 },	  { SC_FRAME_HELLO, 64 },
	{ SC_FRAME_HELLO, 65 },	  { SC_FRAME_SEAL, 1000 },
	{ SC_FRAME_FILES, 2000 }, { 99, 0 },
};

static void frames_that_are_no_hello(void **state)
{
	uint8_t raw[4096];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(wrong_frames); i++) {
		struct sc_conn *conn = over(dial());
		struct sc_err e = SC_ERR_INIT;

		assert_int_equal(
			sc_conn_write(conn, raw,
				      make_frame(raw, wrong_frames[i].type,
						 wrong_frames[i].body_len),
				      &e),
			0);
		assert_int_equal(answer(conn), 0);
		hang_up(conn);
	}
	expect_unharmed();
}

static const struct {
	const char *bytes;
	size_t len;
} garbage[] = {
	{ "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 37 },
	{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	  32 },
	{ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03zzzzzzzzzzzzzzzzzzzzz",
	  32 },
	{ "SCDFxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 38 },
};

/* Raw bytes: the server hangs up at once, not when the peer does. */
static void garbage_on_the_port(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(garbage); i++) {
		uint64_t began = sc_now_ms();
		uint8_t got[512];
		ssize_t n;
		int fd = dial();

		send(fd, garbage[i].bytes, garbage[i].len, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		do /* a TLS alert may come first */
			n = recv(fd, got, sizeof(got), 0);
		while (n > 0);
		assert_true(n == 0 || errno == ECONNRESET);
		assert_true(sc_now_ms() - began < SOON_MS);
		close(fd);
	}
	expect_unharmed();
}

static void peer_that_leaves_early(void **state)
{
	uint8_t raw[256];
	size_t len = make_frame(raw, SC_FRAME_HELLO, 52);

	(void)state;
	for (size_t n = 0; n < len; n += 5) {
		int fd = dial();

		send(fd, raw, n, MSG_NOSIGNAL);
		close(fd);
	}
	expect_unharmed();
}

static void strangers_with_the_wrong_key(void **state)
{
	uint8_t other[SC_JOB_KEY_SIZE] = { 1 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct sc_err e = SC_ERR_INIT;
		uint64_t began = sc_now_ms();
		char byte;
		int fd = dial();

		assert_null(sc_conn_tls_client(fd, job_id, other, NULL, &e));
		/* Then the server lets go of the socket. */
		while (recv(fd, &byte, 1, 0) > 0)
			;
		assert_true(sc_now_ms() - began < SOON_MS);
		close(fd);
	}
	expect_unharmed();
}

static void places_for_guests_are_limited(void **state)
{
	int fds[GUESTS], one_more;
	char byte;

	(void)state;
	for (int i = 0; i < GUESTS; i++)
		fds[i] = dial();
	one_more = dial();
	assert_int_equal(recv(one_more, &byte, 1, 0), 0);
	close(one_more);
	for (int i = 0; i < GUESTS; i++)
		close(fds[i]);
	/* Their places come free; who accepts stays. */
	assert_true(fx_threads_at_most(threads_before + 1));
	expect_unharmed();
}

/* A byte now and then keeps every single read alive. */
static uint64_t ms_until_dropped(void)
{
	/* Both begin well: a frame's header, a TLS ClientHello. */
	static const char begins[2][12] = {
		"SCDF\1\0\0\0\64\0\0",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	};
	uint64_t began = sc_now_ms();
	int fd = dial();

	for (size_t i = 0;
	     send(fd, begins[tls] + i % 12, 1, MSG_NOSIGNAL) == 1 &&
	     sc_now_ms() - began < 25 * handshake_ms;
	     i++)
		sc_sleep_ms(handshake_ms / 12); /* a header takes longer */
	close(fd);
	return sc_now_ms() - began;
}

/* Never too soon; in time, but when the machine stands still for a while. */
static void slow_stranger_is_dropped(void **state)
{
	uint64_t took = 0;

	(void)state;
	for (int i = 0; i < 5 && (!took || took >= 2 * handshake_ms); i++) {
		took = ms_until_dropped();
		assert_true(took >= handshake_ms - 50);
		assert_true(took < 25 * handshake_ms);
	}
	assert_true(took < 2 * handshake_ms);
	expect_unharmed();
}

/* Who is admitted may take all the time there is. */
static void slow_stream_is_not_dropped(void **state)
{
	struct sc_conn *control = join_stream(0), *conn;
	struct sc_err e = SC_ERR_INIT;

	(void)state;
	behaviour = WAIT;
	conn = join_stream(1);
	sc_sleep_ms(2 * handshake_ms);
	assert_int_equal(sc_conn_write(conn, "x", 1, &e), 0);
	hang_up(conn);
	hang_up(control);
	sc_sleep_ms(20);
	assert_false(sc_err_is_set(&job.err));
}

/* One after the other, more than there are places. */
static void places_are_used_again(void **state)
{
	(void)state;
	for (int i = 0; i < 3 * GUESTS; i++) {
		struct sc_hello hello = good_hello(0);

		hello.job_id[0] ^= 1;
		expect_no_entry(&hello);
	}
	assert_true(fx_threads_at_most(threads_before + 3));
	expect_unharmed();
}

/* ---- ends ------------------------------------------------------------------
 */

static void failed_stream_fails_the_job(void **state)
{
	struct sc_conn *control = join_stream(0), *conn;

	(void)state;
	behaviour = FAIL;
	conn = join_stream(2);
	assert_int_equal(sc_data_server_await_streams(server, &err), -1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
	pthread_mutex_lock(&job.lock);
	assert_string_equal(job.err.msg, "stream 2 failed");
	pthread_mutex_unlock(&job.lock);
	assert_true(job.stopping);
	hang_up(conn);
	hang_up(control);
}

static void *cancel_soon(void *hard)
{
	sc_sleep_ms(30);
	sc_data_server_cancel(server, hard != NULL);
	return NULL;
}

/* What a cancel leaves open on stream 0: the words of the job, unless hard. */
static void cancel_with_streams(bool hard)
{
	struct sc_conn *conns[STREAMS + 1];
	struct sc_err e = SC_ERR_INIT;
	pthread_t thread;
	char byte;

	behaviour = WAIT;
	for (unsigned i = 0; i <= STREAMS; i++)
		conns[i] = join_stream(i);
	pthread_create(&thread, NULL, cancel_soon, hard ? &thread : NULL);
	assert_int_equal(sc_data_server_await_streams(server, &err), -1);
	pthread_join(thread, NULL);
	for (unsigned i = 1; i <= STREAMS; i++)
		assert_int_equal(answer(conns[i]), 0);
	assert_int_equal(
		sc_conn_read(sc_data_server_conns(server)[0], &byte, 1, &e),
		-1);
	e = (struct sc_err)SC_ERR_INIT;
	assert_int_equal(
		sc_conn_write(sc_data_server_conns(server)[0], "bye", 3, &e),
		hard ? -1 : 0);
	for (unsigned i = 0; i <= STREAMS; i++)
		hang_up(conns[i]);
}

static void cancel_wakes_streams(void **state)
{
	(void)state;
	cancel_with_streams(false);
}

static void hard_cancel_wakes_all(void **state)
{
	(void)state;
	cancel_with_streams(true);
}

static void nobody_after_a_cancel(void **state)
{
	struct sc_hello hello = good_hello(0);

	(void)state;
	sc_data_server_cancel(server, false);
	sc_data_server_cancel(server, true);
	expect_no_entry(&hello);
	assert_int_equal(sc_data_server_await_control(server, 1000, &err), -1);
	assert_int_equal(err.code, SC_ER_QUERY_INTERRUPTED);
}

static void cancel_wakes_who_waits_for_control(void **state)
{
	uint64_t began = sc_now_ms();
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, cancel_soon, NULL);
	assert_int_equal(sc_data_server_await_control(server, 60000, &err), -1);
	pthread_join(thread, NULL);
	assert_true(sc_now_ms() - began < SOON_MS);
}

static void nobody_comes(void **state)
{
	uint64_t began = sc_now_ms();

	(void)state;
	assert_int_equal(sc_data_server_await_control(server, 150, &err), -1);
	assert_true(sc_now_ms() - began >= 140);
	assert_true(sc_now_ms() - began < SOON_MS);
	assert_non_null(strstr(err.msg, "did not connect to the data port"));
}

/* free() alone, with peers of every kind still there; teardown looks. */
static void free_with_everybody_there(void **state)
{
	struct sc_conn *conns[STREAMS];
	uint8_t raw[256];
	uint64_t began;
	int fds[9];

	(void)state;
	behaviour = WAIT;
	for (unsigned i = 0; i < STREAMS; i++)
		conns[i] = join_stream(i);
	make_frame(raw, SC_FRAME_HELLO, 52);
	for (size_t i = 0; i < SC_ARRAY_SIZE(fds); i++) {
		fds[i] = dial();
		send(fds[i], raw, i * 4, MSG_NOSIGNAL); /* and silence */
	}
	began = sc_now_ms();
	sc_data_server_free(server);
	server = NULL;
	assert_true(sc_now_ms() - began < SOON_MS);
	assert_true(fx_threads_at_most(threads_before));
	for (unsigned i = 0; i < STREAMS; i++)
		hang_up(conns[i]);
	for (size_t i = 0; i < SC_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void free_at_once(void **state)
{
	int fd = dial();

	(void)state;
	sc_data_server_free(server);
	server = NULL;
	sc_data_server_free(NULL);
	close(fd);
}

static void address_in_use(void **state)
{
	struct sc_data_server_params params = { .job = &job,
						.address = "127.0.0.1",
						.port = port,
						.streams = 1,
						.key = key,
						.run_stream = run_stream };
	struct sc_data_server *second = NULL;
	uint16_t other;

	(void)state;
	assert_int_equal(sc_data_server_start(&params, &second, &other, &err),
			 -1);
	assert_int_equal(err.sys_errno, EADDRINUSE);
	assert_null(second);
}

static const char *who_should_encrypt(uint64_t bytes)
{
	int fd = dial();
	bool kernel = setsockopt(fd, SOL_TCP, TCP_ULP, "tls", 4) == 0;

	close(fd);
	if (bytes == 0 || bytes > SC_TLS_KERNEL_MAX)
		return "OpenSSL encrypts (too much data";
	return kernel ? "the kernel encrypts"
		      : "OpenSSL encrypts (no TLS in this kernel)";
}

/* Once per job, not per stream; and keys that need a change stay with OpenSSL.
 */
static void who_encrypts_is_said_once(void **state)
{
	static const uint64_t sizes[] = { 1, SC_TLS_KERNEL_MAX,
					  SC_TLS_KERNEL_MAX + 1, 0 };

	for (size_t i = 0; i < SC_ARRAY_SIZE(sizes); i++) {
		assert_int_equal(teardown(state), 0);
		job_bytes = sizes[i];
		said.n = 0;
		assert_int_equal(setup(true), 0);
		expect_unharmed();
		assert_int_equal(said.n, 1);
		if (!strstr(said.line, who_should_encrypt(sizes[i])))
			fail_msg("%zu: '%s'", i, said.line);
	}
}

/* ---- sockets ---------------------------------------------------------------
 */

/* Our own port when `peer`, else the other side's; 0: no TCP socket. */
static unsigned port_of(int fd, bool peer)
{
	struct sockaddr_in sin = { 0 };
	socklen_t len = sizeof(sin);
	int rc = peer ? getpeername(fd, (struct sockaddr *)&sin, &len)
		      : getsockname(fd, (struct sockaddr *)&sin, &len);

	return rc < 0 || sin.sin_family != AF_INET ? 0 : ntohs(sin.sin_port);
}

/* The descriptor of the server's end of our connection. */
static int end_of_server(int ours)
{
	for (int fd = 0; fd < 1024; fd++) {
		if (port_of(fd, true) == port_of(ours, false) &&
		    port_of(fd, false) == port)
			return fd;
	}
	fail_msg("the server has no end of this connection");
	return -1;
}

static void expect_tuned(int fd)
{
	static const struct {
		int level, name, least, most;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1, INT_MAX },
		{ SOL_SOCKET, SO_KEEPALIVE, 1, INT_MAX },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 1, 20 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 1, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 1, 4 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 1, 40000 },
	};

	for (size_t i = 0; i < SC_ARRAY_SIZE(options); i++) {
		socklen_t len = sizeof(int);
		int value = -1;

		assert_int_equal(getsockopt(fd, options[i].level,
					    options[i].name, &value, &len),
				 0);
		if (value < options[i].least || value > options[i].most)
			fail_msg("option %zu is %d", i, value);
	}
}

/* Nothing waits for an acknowledgement, and a vanished peer is noticed: with
 * TLS as without, on both ends. */
static void options_of_both_ends(void **state)
{
	struct sc_hello hello = good_hello(0);
	int ours = dial(), theirs;
	struct sc_conn *conn = over(ours);

	(void)state;
	say(conn, &hello);
	assert_int_equal(answer(conn), 1);
	theirs = end_of_server(ours);
	expect_tuned(ours);
	expect_tuned(theirs);
	hang_up(conn);
}

#define PLAIN(f)                                                               \
	{                                                                      \
#f, f, setup_plain, teardown, NULL                             \
	}
#define TLS(f)                                                                 \
	{                                                                      \
#f "_tls", f, setup_tls, teardown, NULL                        \
	}
#define HASTY(f)                                                               \
	{ #f, f, setup_hasty, teardown_hasty, NULL },                          \
	{                                                                      \
#f "_tls", f, setup_hasty_tls, teardown_hasty, NULL            \
	}
#define BOTH(f) PLAIN(f), TLS(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(streams_run_to_their_end),
		BOTH(options_of_both_ends),
		BOTH(wrong_hellos),
		BOTH(token_of_the_other_mode),
		BOTH(stream_twice),
		BOTH(data_before_control),
		BOTH(data_right_behind_control),
		BOTH(frames_that_are_no_hello),
		BOTH(garbage_on_the_port),
		BOTH(peer_that_leaves_early),
		TLS(strangers_with_the_wrong_key),
		BOTH(places_for_guests_are_limited),
		HASTY(slow_stranger_is_dropped),
		{ "slow_stream_is_not_dropped", slow_stream_is_not_dropped,
		  setup_hasty, teardown_hasty, NULL },
		PLAIN(places_are_used_again),
		BOTH(failed_stream_fails_the_job),
		BOTH(cancel_wakes_streams),
		BOTH(hard_cancel_wakes_all),
		BOTH(nobody_after_a_cancel),
		PLAIN(cancel_wakes_who_waits_for_control),
		PLAIN(nobody_comes),
		BOTH(free_with_everybody_there),
		BOTH(free_at_once),
		PLAIN(address_in_use),
		TLS(who_encrypts_is_said_once),
	};
	const char *factor = getenv("SNAPCLONE_TEST_SLOW");

	if (factor)
		slow = (unsigned)strtoul(factor, NULL, 10);
	limit_ms *= (int)slow;

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	sc_log_setup(SC_LOG_INFO, keep_tls_line, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
