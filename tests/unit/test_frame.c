/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames: there and back over a socket, every damage and every limit; bodies
 * and what their decoders refuse. */
#include "daemon/conn.h"
#include "io/base/num.h"
#include "io/frame.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct sc_conn *ours, *theirs;
static int raw_ours, raw_theirs; /* the descriptors of the two */
static struct sc_err err;
static struct sc_frame frame;
static uint8_t data[SC_FRAME_MAX_DATA];

static int setup(void **state)
{
	int sv[2], size = 4 << 20;

	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		setsockopt(sv[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	raw_ours = sv[0];
	raw_theirs = sv[1];
	ours = sc_conn_plain_new(raw_ours);
	theirs = sc_conn_plain_new(raw_theirs);
	return ours && theirs ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sc_frame_free(&frame);
	if (ours)
		ours->ops->free(ours);
	if (theirs)
		theirs->ops->free(theirs);
	ours = theirs = NULL;
	return 0;
}

static void again(void)
{
	teardown(NULL);
	setup(NULL);
}

static void hang_up(void)
{
	theirs->ops->free(theirs);
	theirs = NULL;
}

static void send_raw(const void *p, size_t len)
{
	assert_int_equal(send(raw_theirs, p, len, MSG_NOSIGNAL), len);
}

static void expect_refused(void *to, int sys_errno, const char *text)
{
	assert_int_equal(sc_frame_recv(ours, &frame, to, &err), -1);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
	assert_int_equal(err.sys_errno, sys_errno);
	assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
}

/* ---- frames ----------------------------------------------------------------
 */

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 24);
}

static const struct frame_case {
	uint16_t type, flags;
	size_t body_len, data_len;
} frame_cases[] = {
	{ SC_FRAME_HELLO, 0, 52, 0 },
	{ SC_FRAME_HELLO_OK, 0, 0, 0 },
	{ SC_FRAME_FILES, 0, 127, 0 },
	{ SC_FRAME_FILES, 0, 128, 0 }, /* the last that goes with its header */
	{ SC_FRAME_FILES, 0, 129, 0 },
	{ SC_FRAME_FILES, 0, 200000, 0 },
	{ SC_FRAME_REDO, 0, 8, 0 },
	{ SC_FRAME_REDO, 0, 8, 512 },
	{ SC_FRAME_CHUNK, 0, SC_CHUNK_BODY_SIZE, 1 },
	{ SC_FRAME_CHUNK, 0, SC_CHUNK_BODY_SIZE, 0 },
	{ SC_FRAME_CHUNK, SC_FRAME_ZSTD, SC_CHUNK_BODY_SIZE, 7 },
	{ SC_FRAME_CHUNK, 0, SC_CHUNK_BODY_SIZE, SC_FRAME_MAX_DATA },
	{ SC_FRAME_DONE, 0, 0, 0 },
	{ SC_FRAME_ERROR, 0, 1024, 0 },
	{ SC_FRAME_CHANGE, 0, 200000, 0 },
	{ SC_FRAME_CHANGE_END, 0, 12, 0 },
};

static void *send_case(void *arg)
{
	const struct frame_case *c = arg;
	static struct sc_err e;
	uint8_t *p = malloc(SC_FRAME_MAX_DATA);
	int rc;

	fill(p, SC_FRAME_MAX_DATA);
	rc = sc_frame_send(theirs, c->type, c->flags, p, c->body_len, p,
			   c->data_len, &e);
	free(p);
	return rc < 0 ? &e : NULL;
}

static void one_frame(const struct frame_case *c)
{
	static uint8_t want[SC_FRAME_MAX_DATA];
	pthread_t thread;
	void *failed;

	fill(want, sizeof(want));
	memset(data, 0, sizeof(data));
	assert_int_equal(
		pthread_create(&thread, NULL, send_case, (void *)(uintptr_t)c),
		0);
	if (sc_frame_recv(ours, &frame, data, &err) < 0)
		fail_msg("type %u: %s", c->type, err.msg);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(frame.type, c->type);
	assert_int_equal(frame.flags, c->flags);
	assert_int_equal(frame.body_len, c->body_len);
	assert_int_equal(frame.data_len, c->data_len);
	assert_memory_equal(frame.body_len ? frame.body : want, want,
			    c->body_len);
	assert_memory_equal(data, want, c->data_len);
}

static void every_frame_arrives(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(frame_cases); i++) {
		one_frame(&frame_cases[i]);
		bytes += SC_FRAME_HEADER_SIZE + frame_cases[i].body_len +
			 frame_cases[i].data_len;
	}
	assert_true(theirs->bytes_out == bytes);
}

/* The bytes of a small frame as they go out. */
static size_t bytes_of(const struct frame_case *c, uint8_t *raw, size_t cap)
{
	size_t len = SC_FRAME_HEADER_SIZE + c->body_len + c->data_len;

	assert_true(len <= cap);
	assert_null(send_case((void *)(uintptr_t)c));
	assert_int_equal(recv(raw_ours, raw, cap, MSG_DONTWAIT), len);
	return len;
}

static const struct frame_case small_cases[] = {
	{ SC_FRAME_HELLO, 0, 52, 0 },
	{ SC_FRAME_FILES, 0, 100, 0 },
	{ SC_FRAME_REDO, 0, 8, 512 },
	{ SC_FRAME_CHUNK, 0, SC_CHUNK_BODY_SIZE, 64 },
	{ SC_FRAME_CHUNK, SC_FRAME_ZSTD, SC_CHUNK_BODY_SIZE, 7 },
	{ SC_FRAME_DONE, 0, 0, 0 },
};

/* The data has digests of its own and is left out. */
static void every_flipped_bit_is_refused(void **state)
{
	uint8_t raw[1024];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(small_cases); i++) {
		size_t len = bytes_of(&small_cases[i], raw, sizeof(raw));
		size_t bits = (len - small_cases[i].data_len) * 8;

		for (size_t bit = 0; bit < bits; bit++) {
			raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
			send_raw(raw, len);
			hang_up();
			if (sc_frame_recv(ours, &frame, data, &err) == 0)
				fail_msg("case %zu, bit %zu", i, bit);
			assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
			raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
			again();
		}
	}
}

static void every_truncation_is_refused(void **state)
{
	uint8_t raw[1024];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(small_cases); i++) {
		size_t len = bytes_of(&small_cases[i], raw, sizeof(raw));

		for (size_t n = 0; n < len; n++) {
			if (n)
				send_raw(raw, n);
			hang_up();
			expect_refused(data, ECONNRESET, "data connection");
			again();
		}
	}
}

/* A header with the right digest over nonsense. */
static void send_header(uint16_t type, uint16_t flags, uint32_t body_len,
			uint32_t data_len)
{
	uint8_t h[SC_FRAME_HEADER_SIZE];

	sc_store_le32(h, SC_FRAME_MAGIC);
	sc_store_le16(h + 4, type);
	sc_store_le16(h + 6, flags);
	sc_store_le32(h + 8, body_len);
	sc_store_le32(h + 12, data_len);
	sc_store_le64(h + 16, sc_digest64(h, 16, NULL, 0));
	send_raw(h, sizeof(h));
}

static void bad_headers(void **state)
{
	static const struct {
		uint16_t type, flags;
		uint32_t body_len, data_len;
		const char *text;
	} cases[] = {
		{ 0, 0, 0, 0, "unknown frame type" },
		{ SC_FRAME_TYPE_MAX + 1, 0, 0, 0, "unknown frame type" },
		{ 65535, 0, 0, 0, "unknown frame type" },
		{ SC_FRAME_DONE, 1, 0, 0, "unknown frame flags" },
		{ SC_FRAME_REDO, 1, 8, 0, "unknown frame flags" },
		{ SC_FRAME_CHUNK, 2, 32, 0, "unknown frame flags" },
		{ SC_FRAME_CHUNK, 0x8001, 32, 0, "unknown frame flags" },
		{ SC_FRAME_DONE, 0, 1, 0, "frame too long" },
		{ SC_FRAME_HELLO, 0, 65, 0, "frame too long" },
		{ SC_FRAME_HELLO, 0, 52, 1, "frame too long" },
		{ SC_FRAME_SEAL, 0, SC_FRAME_MAX_BODY + 1, 0,
		  "frame too long" },
		{ SC_FRAME_SEAL, 0, UINT32_MAX, 0, "frame too long" },
		{ SC_FRAME_CHUNK, 0, SC_CHUNK_BODY_SIZE + 1, 0,
		  "frame too long" },
		{ SC_FRAME_CHUNK, 0, 32, SC_FRAME_MAX_DATA + 1,
		  "frame too long" },
		{ SC_FRAME_REDO, 0, 8, UINT32_MAX, "frame too long" },
		{ SC_FRAME_CHANGE, 0, (1 << 20) + 1, 0, "frame too long" },
		{ SC_FRAME_CHANGE, 0, 5, 1, "frame too long" },
		{ SC_FRAME_CHANGE, 1, 5, 0, "unknown frame flags" },
		{ SC_FRAME_CHANGE_END, 0, 13, 0, "frame too long" },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		send_header(cases[i].type, cases[i].flags, cases[i].body_len,
			    cases[i].data_len);
		expect_refused(data, EPROTO, cases[i].text);
		again();
	}
}

/* A stranger cannot make us take megabytes. */
static void limit_of_the_receiver(void **state)
{
	(void)state;
	frame.limit = 64;
	assert_null(send_case((void *)(uintptr_t)&small_cases[0]));
	assert_int_equal(sc_frame_recv(ours, &frame, NULL, &err), 0);
	send_header(SC_FRAME_SEAL, 0, 65, 0);
	expect_refused(NULL, EPROTO, "frame too long");
}

static void data_where_none_is_expected(void **state)
{
	(void)state;
	assert_null(send_case((void *)(uintptr_t)&small_cases[2]));
	expect_refused(NULL, EPROTO, "unexpected data frame");
}

static void other_protocols(void **state)
{
	(void)state;
	send_raw("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 37);
	expect_refused(data, EPROTO, "not a snapclone frame");
}

static void sender_keeps_the_limits(void **state)
{
	static const struct frame_case cases[] = {
		{ SC_FRAME_DONE, 0, 1, 0 },
		{ SC_FRAME_ERROR, 0, 1025, 0 },
		{ SC_FRAME_DONE, 0, 0, 1 },
		{ 0, 0, 0, 0 },
		{ SC_FRAME_TYPE_MAX + 1, 0, 0, 0 },
		{ SC_FRAME_CHUNK, 0, 32, SC_FRAME_MAX_DATA + 1 },
	};
	static const uint8_t body[2000];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_err e = SC_ERR_INIT;

		assert_int_equal(sc_frame_send(theirs, cases[i].type, 0, body,
					       cases[i].body_len, data,
					       cases[i].data_len, &e),
				 -1);
		assert_int_equal(e.code, SC_ER_CLONE_PROTOCOL);
	}
	assert_true(theirs->bytes_out == 0);
}

static void encoder_out_of_memory(void **state)
{
	struct sc_enc enc = { .failed = true };

	(void)state;
	assert_int_equal(sc_frame_send_enc(theirs, SC_FRAME_HELLO, &enc, &err),
			 -1);
	assert_string_equal(err.msg, "out of memory for frame 1");
}

static void peer_gone(void **state)
{
	(void)state;
	hang_up();
	assert_int_equal(
		sc_frame_send(ours, SC_FRAME_DONE, 0, NULL, 0, NULL, 0, &err),
		-1);
	assert_int_equal(err.sys_errno, EPIPE);
}

static void bad_keeps_the_first_error(void **state)
{
	(void)state;
	sc_err_set(&err, SC_ER_CLONE_DONOR, "first");
	assert_int_equal(sc_frame_bad(&err, "second"), -1);
	assert_string_equal(err.msg, "first");
	assert_int_equal(err.sys_errno, 0);
}

static void *read_main(void *arg)
{
	return sc_frame_recv(ours, &frame, NULL, arg) < 0 ? arg : NULL;
}

static void shutdown_wakes_the_reader(void **state)
{
	pthread_t thread;
	void *failed;

	(void)state;
	for (int read_only = 0; read_only < 2; read_only++) {
		assert_int_equal(pthread_create(&thread, NULL, read_main, &err),
				 0);
		usleep(5000);
		ours->ops->shutdown(ours, read_only);
		pthread_join(thread, &failed);
		assert_ptr_equal(failed, &err);
		assert_int_equal(err.sys_errno, ECONNRESET);
		/* What the job has to say last can still be said. */
		err = (struct sc_err)SC_ERR_INIT;
		assert_int_equal(sc_frame_send(ours, SC_FRAME_DONE, 0, NULL, 0,
					       NULL, 0, &err),
				 read_only ? 0 : -1);
		again();
	}
}

/* ---- bodies ----------------------------------------------------------------
 */

/* Decode the first len bytes, copied so that ASan sees over-reads. */
typedef int decode_fn(struct sc_dec *dec);

static int decode_copy(decode_fn *decode, const uint8_t *body, size_t len)
{
	uint8_t *copy = malloc(len);
	struct sc_dec dec = sc_dec_init(copy, len);
	int rc;

	memcpy(copy, body, len);
	rc = decode(&dec);
	free(copy);
	return rc;
}

static void expect_whole_only(decode_fn *decode, struct sc_enc *enc)
{
	size_t len = enc->len;

	sc_enc_u8(enc, 0);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(decode_copy(decode, enc->data, n), -1);
	assert_int_equal(decode_copy(decode, enc->data, len), 0);
	assert_int_equal(decode_copy(decode, enc->data, len + 1), -1);
	for (size_t bit = 0; bit < len * 8; bit++) {
		enc->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		decode_copy(decode, enc->data, len);
		enc->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	sc_enc_free(enc);
}

static const struct sc_hello hello = { 1, 128, { 1, 2 }, { [31] = 3 } };

static int decode_hello(struct sc_dec *dec)
{
	struct sc_hello got = { 0 };

	return sc_frame_get_hello(dec, &got) < 0   ? -1
	       : memcmp(&got, &hello, sizeof(got)) ? 1
						   : 0;
}

static void hello_body(void **state)
{
	struct sc_enc enc = { 0 };

	(void)state;
	sc_frame_put_hello(&enc, &hello);
	expect_whole_only(decode_hello, &enc);
}

static int decode_redo_begin(struct sc_dec *dec)
{
	struct sc_redo_begin got = { 0 };

	if (sc_frame_get_redo_begin(dec, &got) < 0)
		return -1;
	return got.checkpoint_lsn == 9000 && got.uuid == 77 &&
			       !strcmp(got.creator, "MySQL 9.7.4")
		       ? 0
		       : 1;
}

static void redo_begin_body(void **state)
{
	struct sc_redo_begin m = { 9000, 77, "MySQL 9.7.4" };
	struct sc_enc enc = { 0 };

	(void)state;
	sc_frame_put_redo_begin(&enc, &m);
	expect_whole_only(decode_redo_begin, &enc);
}

static int decode_chunk(struct sc_dec *dec)
{
	struct sc_chunk got;

	if (sc_frame_get_chunk(dec, &got) < 0)
		return -1;
	return got.file == 7 && got.len == 100 && got.off == 3 << 20 &&
			       got.digest[15] == 9 && got.map.bits[0] == 1
		       ? 0
		       : 1;
}

static void chunk_body(void **state)
{
	struct sc_chunk m = { 7, 100, 3 << 20, { [15] = 9 }, { { 1 } } };
	uint8_t body[SC_CHUNK_BODY_SIZE];
	struct sc_enc enc = { 0 };

	(void)state;
	sc_frame_put_chunk(body, &m);
	sc_enc_raw(&enc, body, sizeof(body));
	expect_whole_only(decode_chunk, &enc);
}

static void chunk_ranges(void **state)
{
	static const struct {
		uint32_t len;
		uint64_t off;
		int want;
	} cases[] = { { 1, 0, 0 },
		      { SC_CHUNK_SIZE, SC_CHUNK_SIZE, 0 },
		      { 1, (uint64_t)SC_CHUNK_SIZE << 30, 0 },
		      { 0, 0, -1 },
		      { SC_CHUNK_SIZE + 1, 0, -1 },
		      { UINT32_MAX, 0, -1 },
		      { 1, 1, -1 },
		      { 1, SC_CHUNK_SIZE / 2, -1 },
		      { 1, UINT64_MAX, -1 } };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_chunk m = { .len = cases[i].len,
				      .off = cases[i].off };
		uint8_t body[SC_CHUNK_BODY_SIZE];
		struct sc_dec dec = sc_dec_init(body, sizeof(body));

		sc_frame_put_chunk(body, &m);
		assert_int_equal(sc_frame_get_chunk(&dec, &m), cases[i].want);
	}
}

/* A block that the chunk does not have. */
static void chunk_map_beyond_the_end(void **state)
{
	struct sc_chunk m = { .len = 3 * SC_BLOCK_SIZE + 1,
			      .map.bits = { 0x0f } };
	uint8_t body[SC_CHUNK_BODY_SIZE];
	struct sc_dec dec = sc_dec_init(body, sizeof(body));

	(void)state;
	sc_frame_put_chunk(body, &m);
	assert_int_equal(sc_frame_get_chunk(&dec, &m), 0);
	m.map.bits[0] = 0x1f;
	dec = sc_dec_init(body, sizeof(body));
	sc_frame_put_chunk(body, &m);
	assert_int_equal(sc_frame_get_chunk(&dec, &m), -1);
}

static int decode_seal(struct sc_dec *dec)
{
	struct sc_seal got;
	int rc = sc_frame_get_seal(dec, &got);

	if (rc == 0 &&
	    (got.n_sizes != 3 || got.sizes[2] != 300 || got.mark.end_lsn != 5 ||
	     strcmp(got.mark.gtid_executed, "a:1") ||
	     strcmp(got.donor_uuid, "uuid") || strcmp(got.provider, "dm") ||
	     got.image_lsn != 4 || got.swap_us != 6 || got.undo_us != 7))
		rc = 1;
	sc_seal_free(&got);
	return rc;
}

static void seal_body(void **state)
{
	uint64_t sizes[] = { 100, 200, 300 };
	struct sc_seal m = { .mark = { .end_lsn = 5,
				       .binlog_file = "b.1",
				       .gtid_flushed = (char *)"",
				       .gtid_executed = (char *)"a:1" },
			     .donor_uuid = "uuid",
			     .provider = "dm",
			     .image_lsn = 4,
			     .swap_us = 6,
			     .undo_us = 7,
			     .sizes = sizes,
			     .n_sizes = 3 };
	struct sc_enc enc = { 0 };

	(void)state;
	sc_frame_put_seal(&enc, &m);
	expect_whole_only(decode_seal, &enc);
}

/* A count of sizes that the body cannot hold allocates nothing. */
static void seal_with_a_huge_count(void **state)
{
	static const uint32_t counts[] = { 1, 0x20000000, UINT32_MAX };
	static const uint8_t zeroes[SC_REDO_ENCRYPTION_SIZE];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(counts); i++) {
		CLEANUP_ENC struct sc_enc enc = { 0 };
		struct sc_seal got;
		struct sc_dec dec;

		sc_enc_str(&enc, "uuid");
		sc_enc_str(&enc, "live");
		sc_enc_u64(&enc, 0);
		sc_enc_raw(&enc, zeroes, sizeof(zeroes));
		sc_enc_u32(&enc, counts[i]);
		dec = sc_dec_init(enc.data, enc.len);
		assert_int_equal(sc_frame_get_seal(&dec, &got), -1);
		assert_null(got.sizes);
		sc_seal_free(&got);
	}
}

/* The longest list there can be must not fail at the very end of a clone. */
static void longest_seal_fits_its_frame(void **state)
{
	(void)state;
	assert_true((uint64_t)SC_MAX_FILES * 8 + SC_CTL_MAX_BODY + 64 <=
		    SC_FRAME_MAX_BODY);
}

static const struct file_case {
	unsigned kind;
	uint64_t size;
	uint32_t page_size;
	const char *path;
	bool ok;
} file_cases[] = {
	{ SC_FILE_PAGES, 0, 16384, "db/t.ibd", true },
	{ SC_FILE_PAGES, INT64_MAX / 2, 1024, "ibdata1", true },
	{ SC_FILE_PAGES, 1, 65536, "undo_001", true },
	{ SC_FILE_OPAQUE, 1, 0, "ib_buffer_pool", true },
	{ SC_FILE_OPAQUE, 1, 0, "undo_12_trunc.log", true },
	{ SC_FILE_OPAQUE, 1, 0, "99-x.rules", false },
	{ SC_FILE_OPAQUE, 1, 0, "db/ib_buffer_pool", false },
	{ SC_FILE_OPAQUE, 1, 0, "undo_x_trunc.log", false },
	{ SC_FILE_OPAQUE, 1, 0, "undo_001", false },
	{ SC_FILE_OPAQUE, 1, 0, "db/t.ibd", false },
	{ 0, 1, 16384, "t", false },
	{ 3, 1, 16384, "t", false },
	{ 255, 1, 16384, "t", false },
	{ SC_FILE_PAGES, (uint64_t)INT64_MAX + 1, 16384, "t", false },
	{ SC_FILE_PAGES, 1, 0, "t", false },
	{ SC_FILE_PAGES, 1, 512, "t", false },
	{ SC_FILE_PAGES, 1, 12288, "t", false },
	{ SC_FILE_PAGES, 1, 131072, "t", false },
	{ SC_FILE_PAGES, 1, 16384, "", false },
	{ SC_FILE_PAGES, 1, 16384, "../t", false },
	{ SC_FILE_PAGES, 1, 16384, "/etc/t", false },
	{ SC_FILE_PAGES, 1, 16384, "#clone/x", false },
	{ SC_FILE_OPAQUE, 1, 0, "#innodb_redo/#ib_redo0", false },
};

static void file_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(file_cases); i++) {
		const struct file_case *c = &file_cases[i];
		struct sc_file m = { .path = (char *)(uintptr_t)c->path,
				     .kind = (enum sc_file_kind)c->kind,
				     .size = c->size,
				     .spec = { .physical_size = c->page_size,
					       .space_id = 7,
					       .flags = 9 } };
		struct sc_filelist list = { 0 };
		struct sc_err e = SC_ERR_INIT;
		CLEANUP_ENC struct sc_enc enc = { 0 };
		struct sc_dec dec;
		int rc;

		sc_frame_put_file(&enc, &m);
		dec = sc_dec_init(enc.data, enc.len);
		rc = sc_frame_get_file(&dec, &list, &e);
		if (rc != (c->ok ? 0 : -1))
			fail_msg("'%s' case %zu: %d", c->path, i, rc);
		assert_int_equal(list.n, c->ok);
		if (c->ok) {
			assert_string_equal(list.files[0].path, c->path);
			assert_int_equal(list.files[0].size, c->size);
			assert_int_equal(list.files[0].spec.space_id, 7);
			assert_int_equal(dec.left, 0);
		}
		sc_filelist_free(&list);
	}
}

static void sizes_that_add_up_to_nonsense(void **state)
{
	struct sc_filelist list = { 0 };
	int rc = 0;

	(void)state;
	for (int i = 0; i < 3 && rc == 0; i++) {
		struct sc_file m = { .path = (char *)"ib_buffer_pool",
				     .kind = SC_FILE_OPAQUE,
				     .size = INT64_MAX / 2 };
		CLEANUP_ENC struct sc_enc enc = { 0 };
		struct sc_dec dec;

		sc_frame_put_file(&enc, &m);
		dec = sc_dec_init(enc.data, enc.len);
		rc = sc_frame_get_file(&dec, &list, &err);
	}
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.msg, "beyond all measure"));
	sc_filelist_free(&list);
}

/* ---- changes
 * ----------------------------------------------------------------- */

/* A drop, a rename, an added file. */
static void put_changes(struct sc_enc *enc)
{
	struct sc_file_rename rename = { 7, (char *)(uintptr_t) "db/new.ibd" };
	struct sc_file add = { .path = (char *)(uintptr_t) "db/add.ibd",
			       .kind = SC_FILE_PAGES,
			       .size = 3 << 20,
			       .stored = 2 << 20,
			       .spec = { .physical_size = 16384,
					 .space_id = 9 } };

	sc_frame_put_drop(enc, 3);
	sc_frame_put_rename(enc, &rename);
	sc_frame_put_add(enc, &add);
}

static int get_changes(struct sc_dec *dec, struct sc_file_changes *changes)
{
	struct sc_err e = SC_ERR_INIT;

	while (dec->left) {
		if (sc_frame_get_change(dec, changes, &e) < 0) {
			assert_int_equal(e.code, SC_ER_CLONE_PROTOCOL);
			return -1;
		}
	}
	return 0;
}

static void change_records(void **state)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	CLEANUP_CHANGES struct sc_file_changes got = { 0 };
	struct sc_dec dec;

	(void)state;
	put_changes(&enc);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(get_changes(&dec, &got), 0);
	assert_int_equal(got.n_drops, 1);
	assert_int_equal(got.drops[0], 3);
	assert_int_equal(got.n_renames, 1);
	assert_int_equal(got.renames[0].file, 7);
	assert_string_equal(got.renames[0].path, "db/new.ibd");
	assert_int_equal(got.adds.n, 1);
	assert_string_equal(got.adds.files[0].path, "db/add.ibd");
	assert_int_equal(got.adds.files[0].size, 3 << 20);
	assert_int_equal(got.adds.files[0].stored, 2 << 20);
	assert_int_equal(got.adds.files[0].spec.space_id, 9);
}

/* Cut off anywhere but between two records. */
static void truncated_changes(void **state)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	size_t whole[3] = { 5, 5 + 9 + 10, 0 };

	(void)state;
	put_changes(&enc);
	whole[2] = enc.len;
	for (size_t n = 1; n <= enc.len; n++) {
		CLEANUP_CHANGES struct sc_file_changes got = { 0 };
		uint8_t *copy = malloc(n);
		struct sc_dec dec = sc_dec_init(copy, n);
		bool ok = n == whole[0] || n == whole[1] || n == whole[2];

		memcpy(copy, enc.data, n);
		if (get_changes(&dec, &got) != (ok ? 0 : -1))
			fail_msg("%zu bytes", n);
		free(copy);
	}
}

static void bad_changes(void **state)
{
	static const char *const paths[] = { "", "../t", "/etc/t", "#clone/x",
					     "a//b" };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(paths); i++) {
		CLEANUP_CHANGES struct sc_file_changes got = { 0 };
		CLEANUP_ENC struct sc_enc enc = { 0 };
		struct sc_file_rename rename = { 1,
						 (char *)(uintptr_t)paths[i] };
		struct sc_dec dec;

		sc_frame_put_rename(&enc, &rename);
		dec = sc_dec_init(enc.data, enc.len);
		assert_int_equal(get_changes(&dec, &got), -1);
		assert_int_equal(got.n_renames, 0);
	}
	for (unsigned op = 0; op < 256; op += op ? 63 : 4) {
		CLEANUP_CHANGES struct sc_file_changes got = { 0 };
		uint8_t body[64] = { (uint8_t)op };
		struct sc_dec dec = sc_dec_init(body, sizeof(body));

		assert_int_equal(get_changes(&dec, &got), -1);
	}
}

static int decode_change_end(struct sc_dec *dec)
{
	uint32_t drops[2] = { 0 };
	struct sc_file_rename renames[3] = { 0 };
	struct sc_file_changes m = { .drops = drops,
				     .n_drops = 2,
				     .renames = renames,
				     .n_renames = 3,
				     .adds.n = 4 };

	return sc_frame_get_change_end(dec, &m);
}

static void change_end_body(void **state)
{
	struct sc_file_changes m = { .n_drops = 2,
				     .n_renames = 3,
				     .adds.n = 4 };
	struct sc_enc enc = { 0 };

	(void)state;
	for (size_t *n = NULL, i = 0; i < 3; i++) {
		CLEANUP_ENC struct sc_enc other = { 0 };
		struct sc_dec dec;

		n = i == 0 ? &m.n_drops : i == 1 ? &m.n_renames : &m.adds.n;
		++*n;
		sc_frame_put_change_end(&other, &m);
		--*n;
		dec = sc_dec_init(other.data, other.len);
		assert_int_equal(decode_change_end(&dec), -1);
	}
	sc_frame_put_change_end(&enc, &m);
	expect_whole_only(decode_change_end, &enc);
}

#define SOCKET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SOCKET_TEST(every_frame_arrives),
		SOCKET_TEST(every_flipped_bit_is_refused),
		SOCKET_TEST(every_truncation_is_refused),
		SOCKET_TEST(bad_headers),
		SOCKET_TEST(limit_of_the_receiver),
		SOCKET_TEST(data_where_none_is_expected),
		SOCKET_TEST(other_protocols),
		SOCKET_TEST(sender_keeps_the_limits),
		SOCKET_TEST(encoder_out_of_memory),
		SOCKET_TEST(peer_gone),
		SOCKET_TEST(bad_keeps_the_first_error),
		SOCKET_TEST(shutdown_wakes_the_reader),
		cmocka_unit_test(hello_body),
		cmocka_unit_test(redo_begin_body),
		cmocka_unit_test(chunk_body),
		cmocka_unit_test(chunk_ranges),
		cmocka_unit_test(chunk_map_beyond_the_end),
		cmocka_unit_test(seal_body),
		cmocka_unit_test(seal_with_a_huge_count),
		cmocka_unit_test(longest_seal_fits_its_frame),
		cmocka_unit_test(file_records),
		cmocka_unit_test(sizes_that_add_up_to_nonsense),
		cmocka_unit_test(change_records),
		cmocka_unit_test(truncated_changes),
		cmocka_unit_test(bad_changes),
		cmocka_unit_test(change_end_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
