/* SPDX-License-Identifier: GPL-2.0-only */
/* Control messages: bodies there and back, what decoders refuse, and the
 * socket against peers that send nonsense. */
#include "io/base/ctl.h"
#include "io/base/num.h"
#include "tests/unit/dir_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- bodies ----------------------------------------------------------------
 */

static const struct sc_ctl_hello hello_sample = { 7, "1.2.3" };
static const struct sc_ctl_donor_start donor_start_sample = {
	.job_id = { 1, 2, 3 },
	.key = { 4, 5, [31] = 6 },
	.tls = true,
	.local = true,
	.autotune = true,
	.compress = true,
	.buffered = true,
	.block_ddl = true,
	.provider = SC_PROVIDER_LIVE,
	.streams = 128,
	.buffer_size = 256u << 20,
	.data_bandwidth = 7,
	.network_bandwidth = 8,
	.page_size = 65536,
	.quiet_lsn = 1ull << 40,
	.n_discarded = 2,
	.discarded = { 17, UINT32_MAX },
	.bind_address = "::1",
	.peer = "user@host",
	.donor_uuid = "01234567-0123-0123-0123-0123456789ab",
	.data_file_path = "ibdata1:12M:autoextend",
	.roots = { .n = 3,
		   .path = { "", "/undo", "/home" },
		   .external = { false, false, true },
		   .undo = 1,
		   .n_system = 2,
		   .system = { 2, 0 } },
	.doublewrite_dir = "#dblwr",
	.target_name = "target",
};
static const struct sc_ctl_donor_ready donor_ready_sample = { 65535, 1, 2, 3 };
static const struct sc_ctl_locked locked_sample = { 1, true };
static const struct sc_ctl_limits limits_sample = { 7, 1048576 };
static const struct sc_ctl_settled settled_sample = { SC_SETTLED_IMAGE, 1,
						      "why" };
static const struct sc_ctl_seal seal_sample = {
	1, 2, 3, "binlog.000001", "lost", (char *)"a:1-2", (char *)"a:1-2,\nb:1"
};
static const struct sc_ctl_recipient_start recipient_start_sample = {
	.job_id = { 1, 2, 3 },
	.key = { 9 },
	.tls = true,
	.streams = 1,
	.data_bandwidth = 1,
	.network_bandwidth = 2,
	.page_size = 4096,
	.port = 3307,
	.address = "127.0.0.1",
	.peer = "donor:3306",
	.target_name = "clone.1",
	.places = { .roots = { .n = 1 } },
};
static const struct sc_ctl_places places_sample = {
	.data_file_path = "/home/ibdata1:12M;ibdata2:1M:autoextend",
	.roots = { .n = 2,
		   .path = { "", "/home" },
		   .n_system = 2,
		   .system = { 1, 0 } },
};
static const struct sc_ctl_progress progress_sample = { 7, 3, 1, 2, 3, 4 };
static const struct sc_ctl_done done_sample = {
	{ 1, 2, 3, "", "", (char *)"", (char *)"" }, 5
};
static const struct sc_ctl_error error_sample = { 3862, "why" };
static const struct sc_ctl_job_status job_status_sample = {
	{ 1 }, 2,  7,  3,  4,  5,    6,	     7,	       8,
	9,     10, 11, 12, 13, "dm", "peer", "message"
};

/* put_X() encodes the sample; again_X() decodes and, with enc, encodes what it
 * got. */
#define KIND(name, clear)                                                      \
	static void put_##name(struct sc_enc *enc)                             \
	{                                                                      \
		sc_ctl_put_##name(enc, &name##_sample);                        \
	}                                                                      \
	static int again_##name(struct sc_dec *dec, struct sc_enc *enc)        \
	{                                                                      \
		struct sc_ctl_##name m;                                        \
		int rc = sc_ctl_get_##name(dec, &m);                           \
                                                                               \
		if (rc == 0 && enc)                                            \
			sc_ctl_put_##name(enc, &m);                            \
		clear;                                                         \
		return rc;                                                     \
	}

KIND(hello, (void)0)
KIND(donor_start, (void)0)
KIND(donor_ready, (void)0)
KIND(locked, (void)0)
KIND(limits, (void)0)
KIND(settled, (void)0)
KIND(seal, sc_ctl_seal_free(&m))
KIND(recipient_start, (void)0)
KIND(places, (void)0)
KIND(progress, (void)0)
KIND(done, sc_ctl_seal_free(&m.seal))
KIND(error, (void)0)
KIND(job_status, (void)0)

static const struct kind {
	const char *name;
	void (*put)(struct sc_enc *enc);
	int (*again)(struct sc_dec *dec, struct sc_enc *enc);
	bool more_may_follow;
} kinds[] = {
	{ "hello", put_hello, again_hello, false },
	{ "donor_start", put_donor_start, again_donor_start, false },
	{ "donor_ready", put_donor_ready, again_donor_ready, false },
	{ "locked", put_locked, again_locked, false },
	{ "limits", put_limits, again_limits, false },
	{ "settled", put_settled, again_settled, false },
	{ "seal", put_seal, again_seal, false },
	{ "places", put_places, again_places, false },
	{ "recipient_start", put_recipient_start, again_recipient_start,
	  false },
	{ "progress", put_progress, again_progress, false },
	{ "done", put_done, again_done, false },
	{ "error", put_error, again_error, false },
	{ "job_status", put_job_status, again_job_status, true },
};

static void every_body_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(kinds); i++) {
		CLEANUP_ENC struct sc_enc first = { 0 };
		CLEANUP_ENC struct sc_enc second = { 0 };
		struct sc_dec dec;

		kinds[i].put(&first);
		dec = sc_dec_init(first.data, first.len);
		if (kinds[i].again(&dec, &second) < 0)
			fail_msg("%s is refused", kinds[i].name);
		assert_int_equal(first.len, second.len);
		assert_memory_equal(first.data, second.data, first.len);
	}
}

/* Decode a copy of exactly len bytes, so that ASan sees every over-read. */
static int decode_copy(const struct kind *kind, const uint8_t *body, size_t len)
{
	uint8_t *copy = malloc(len);
	struct sc_dec dec = sc_dec_init(copy, len);
	int rc;

	memcpy(copy, body, len);
	rc = kind->again(&dec, NULL);
	free(copy);
	return rc;
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(kinds); i++) {
		CLEANUP_ENC struct sc_enc enc = { 0 };

		kinds[i].put(&enc);
		sc_enc_u8(&enc, 0);
		for (size_t len = 0; len < enc.len - 1; len++)
			if (decode_copy(&kinds[i], enc.data, len) == 0)
				fail_msg("%s of %zu bytes", kinds[i].name, len);
		assert_int_equal(decode_copy(&kinds[i], enc.data, enc.len),
				 kinds[i].more_may_follow ? 0 : -1);
	}
}

/* No verdict expected, but no crash, leak or read out of bounds either. */
static void every_flipped_bit_is_survived(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(kinds); i++) {
		CLEANUP_ENC struct sc_enc enc = { 0 };

		kinds[i].put(&enc);
		for (size_t bit = 0; bit < enc.len * 8; bit++) {
			enc.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			decode_copy(&kinds[i], enc.data, enc.len);
			enc.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static const struct sizes_case {
	uint32_t streams, page_size;
	bool ok;
} sizes_cases[] = {
	{ 1, 4096, true },	     { 128, 65536, true },
	{ 0, 16384, false },	     { 129, 16384, false },
	{ UINT32_MAX, 4096, false }, { 1, 0, false },
	{ 1, 2048, false },	     { 1, 12288, false },
	{ 1, 131072, false },	     { 1, 1u << 31, false },
};

static int try_donor_start(const struct sc_ctl_donor_start *m)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_ctl_donor_start got;
	struct sc_dec dec;

	sc_ctl_put_donor_start(&enc, m);
	dec = sc_dec_init(enc.data, enc.len);
	return sc_ctl_get_donor_start(&dec, &got);
}

static int try_recipient_start(const struct sc_ctl_recipient_start *m)
{
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_ctl_recipient_start got;
	struct sc_dec dec;

	sc_ctl_put_recipient_start(&enc, m);
	dec = sc_dec_init(enc.data, enc.len);
	return sc_ctl_get_recipient_start(&dec, &got);
}

static void buffer_sizes(void **state)
{
	struct sc_ctl_donor_start d = donor_start_sample;

	(void)state;
	d.buffer_size = 1u << 20;
	assert_int_equal(try_donor_start(&d), 0);
	d.buffer_size--;
	assert_int_equal(try_donor_start(&d), -1);
	d.buffer_size = (256u << 20) + 1;
	assert_int_equal(try_donor_start(&d), -1);
}

/* A data directory has no name, any other target has one. */
static void in_place_has_no_name(void **state)
{
	struct sc_ctl_recipient_start r = recipient_start_sample;

	(void)state;
	r.in_place = true;
	assert_int_equal(try_recipient_start(&r), -1);
	r.target_name[0] = '\0';
	assert_int_equal(try_recipient_start(&r), 0);
	r.places = places_sample;
	assert_int_equal(try_recipient_start(&r), 0);
	r.places = recipient_start_sample.places;
	r.in_place = false;
	assert_int_equal(try_recipient_start(&r), -1);
}

static void streams_and_page_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(sizes_cases); i++) {
		const struct sizes_case *c = &sizes_cases[i];
		struct sc_ctl_donor_start d = donor_start_sample;
		struct sc_ctl_recipient_start r = recipient_start_sample;

		d.streams = r.streams = c->streams;
		d.page_size = r.page_size = c->page_size;
		assert_int_equal(try_donor_start(&d), c->ok ? 0 : -1);
		assert_int_equal(try_recipient_start(&r), c->ok ? 0 : -1);
	}
}

static void target_names(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} cases[] = { { "a", true },	{ "..a", true }, { "a b", true },
		      { "", false },	{ ".", false },	 { "..", false },
		      { "a/b", false }, { "/", false },	 { "a/", false } };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_ctl_donor_start d = donor_start_sample;
		struct sc_ctl_recipient_start r = recipient_start_sample;

		snprintf(d.target_name, sizeof(d.target_name), "%s",
			 cases[i].name);
		snprintf(r.target_name, sizeof(r.target_name), "%s",
			 cases[i].name);
		assert_int_equal(try_donor_start(&d), cases[i].ok ? 0 : -1);
		assert_int_equal(try_recipient_start(&r), cases[i].ok ? 0 : -1);
		d.local = false; /* a remote donor has no target */
		assert_int_equal(try_donor_start(&d), 0);
	}
}

static void directories(void **state)
{
	struct sc_ctl_donor_start d = donor_start_sample;

	(void)state;
	assert_int_equal(try_donor_start(&d), 0);
	d.roots.undo = 3;
	assert_int_equal(try_donor_start(&d), -1);
	d.roots.undo = 0;
	d.roots.system[1] = 3;
	assert_int_equal(try_donor_start(&d), -1);
	d.roots.system[1] = 1;
	assert_int_equal(try_donor_start(&d), 0);
	d.roots.path[2][0] = 'h';
	assert_int_equal(try_donor_start(&d), -1);
	d.roots.n = 0;
	assert_int_equal(try_donor_start(&d), -1);
}

/* Beside a new directory there are only those of external tablespaces. */
static void directories_beside_a_new_one(void **state)
{
	struct sc_ctl_recipient_start r = recipient_start_sample;

	(void)state;
	r.places.roots = (struct sc_ctl_roots){ .n = 2,
						.path = { "", "/far" },
						.external = { false, true } };
	assert_int_equal(try_recipient_start(&r), 0);
	r.places.roots.external[1] = false;
	assert_int_equal(try_recipient_start(&r), -1);
	r.places.roots.external[1] = true;
	r.places.roots.undo = 1;
	assert_int_equal(try_recipient_start(&r), -1);
}

/* Bytes that only some values are right for: refused when they are `bad`. */
static void bytes_out_of_range(void **state)
{
	static const struct {
		const char *kind;
		size_t at;
		uint8_t bad;
	} cases[] = {
		{ "donor_start", 48, 2 },     { "donor_start", 49, 2 },
		{ "donor_start", 51, 2 },     { "donor_start", 52, 255 },
		{ "donor_start", 53, 5 },     { "donor_start", 53, 255 },
		{ "recipient_start", 48, 2 }, { "progress", 0, 8 },
		{ "progress", 0, 255 },	      { "progress", 1, 4 },
		{ "job_status", 16, 3 },      { "job_status", 17, 8 },
		{ "job_status", 18, 4 },
	};

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		CLEANUP_ENC struct sc_enc enc = { 0 };
		const struct kind *k = kinds;

		while (strcmp(k->name, cases[i].kind) != 0)
			k++;
		k->put(&enc);
		assert_int_equal(decode_copy(k, enc.data, enc.len), 0);
		enc.data[cases[i].at] = cases[i].bad;
		if (decode_copy(k, enc.data, enc.len) == 0)
			fail_msg("%s: %u at %zu", k->name, cases[i].bad,
				 cases[i].at);
	}
}

/* "No error" as the code of an error would make a failure look like none. */
static void error_needs_a_code(void **state)
{
	static const uint32_t codes[] = { 0, 0x80000000, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(codes); i++) {
		struct sc_ctl_error m = { codes[i], "why" };
		CLEANUP_ENC struct sc_enc enc = { 0 };
		struct sc_dec dec;

		sc_ctl_put_error(&enc, &m);
		dec = sc_dec_init(enc.data, enc.len);
		assert_int_equal(sc_ctl_get_error(&dec, &m), -1);
	}
}

static void longest_strings(void **state)
{
	struct sc_ctl_error m = { 1, "" }, got;
	CLEANUP_ENC struct sc_enc enc = { 0 };
	struct sc_dec dec;

	(void)state;
	memset(m.message, 'x', sizeof(m.message) - 1);
	sc_ctl_put_error(&enc, &m);
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_ctl_get_error(&dec, &got), 0);
	assert_string_equal(got.message, m.message);
	sc_enc_free(&enc);
	sc_enc_u32(&enc, 1);
	sc_enc_u32(&enc, sizeof(m.message)); /* one too long */
	sc_enc_raw(&enc, m.message, sizeof(m.message) - 1);
	sc_enc_u8(&enc, 'x');
	dec = sc_dec_init(enc.data, enc.len);
	assert_int_equal(sc_ctl_get_error(&dec, &got), -1);
}

static void names_of_stages(void **state)
{
	(void)state;
	assert_string_equal(sc_stage_name(SC_STAGE_FILE_COPY), "FILE COPY");
	assert_string_equal(sc_stage_name(SC_STAGE_RECOVERY), "RECOVERY");
	assert_null(sc_stage_name(SC_STAGE_COUNT));
	assert_string_equal(sc_state_name(SC_STATE_FAILED), "Failed");
	assert_null(sc_state_name(SC_STATE_COUNT));
}

/* ---- socket ----------------------------------------------------------------
 */

static int ours, theirs; /* the two ends */
static struct sc_err err;
static struct sc_ctl_msg msg;

static int setup(void **state)
{
	int sv[2];

	(void)state;
	err = (struct sc_err)SC_ERR_INIT;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	ours = sv[0];
	theirs = sv[1];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sc_ctl_msg_clear(&msg);
	close(ours);
	if (theirs >= 0)
		close(theirs);
	return 0;
}

static void hang_up(void)
{
	close(theirs);
	theirs = -1;
}

/* Send bytes with descriptors, the way a bad peer might. */
static void send_raw(const void *p, size_t len, const int *fds, int nfds)
{
	char control[CMSG_SPACE(sizeof(int) * 64)]
		__attribute__((aligned(sizeof(size_t)))) = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *cm;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * (size_t)nfds);
	}
	assert_int_equal(sendmsg(theirs, &mh, MSG_NOSIGNAL), len);
}

static void make_header(uint8_t *h, uint32_t magic, uint16_t type,
			uint16_t zero, uint32_t len)
{
	sc_store_le32(h, magic);
	sc_store_le16(h + 4, type);
	sc_store_le16(h + 6, zero);
	sc_store_le32(h + 8, len);
}

static void expect_refused(int sys_errno, const char *text)
{
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), -1);
	assert_int_equal(err.sys_errno, sys_errno);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
	assert_int_equal(msg.nfds, 0);
	assert_null(msg.body);
}

static void message_arrives(void **state)
{
	struct sc_enc enc = { 0 };
	struct sc_ctl_progress got;
	struct sc_dec dec;

	(void)state;
	sc_ctl_put_progress(&enc, &progress_sample);
	assert_int_equal(
		sc_ctl_send_enc(theirs, SC_CTL_PROGRESS, &enc, NULL, 0, &err),
		0);
	assert_null(enc.data);
	assert_int_equal(
		sc_ctl_send(theirs, SC_CTL_SEALED, NULL, 0, NULL, 0, &err), 0);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	assert_int_equal(msg.type, SC_CTL_PROGRESS);
	dec = sc_ctl_body(&msg);
	assert_int_equal(sc_ctl_get_progress(&dec, &got), 0);
	assert_int_equal(got.network, 4);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	assert_int_equal(msg.type, SC_CTL_SEALED);
	assert_int_equal(msg.len, 0);
}

static void bytes_one_by_one(void **state)
{
	uint8_t raw[SC_CTL_HEADER_SIZE + 8];

	(void)state;
	make_header(raw, SC_CTL_MAGIC, SC_CTL_FOLLOWED, 0, 8);
	sc_store_le64(raw + SC_CTL_HEADER_SIZE, 77);
	for (size_t i = 0; i < sizeof(raw); i++)
		send_raw(raw + i, 1, NULL, 0);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	assert_int_equal(sc_load_le64(msg.body), 77);
}

static void *send_large(void *arg)
{
	static struct sc_err e;

	if (sc_ctl_send(theirs, SC_CTL_SEAL, arg, 5u << 20, NULL, 0, &e) < 0)
		return &e;
	return NULL;
}

static void large_message(void **state)
{
	uint8_t *big = malloc(5u << 20);
	pthread_t thread;
	void *failed;

	(void)state;
	for (uint32_t i = 0; i < 5u << 20; i++)
		big[i] = (uint8_t)(i * 2654435761u >> 24);
	assert_int_equal(pthread_create(&thread, NULL, send_large, big), 0);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(msg.len, 5u << 20);
	assert_memory_equal(msg.body, big, 5u << 20);
	free(big);
}

static void same_file(int a, int b)
{
	struct stat sa, sb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_true(sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev);
}

static void descriptors_arrive_in_order(void **state)
{
	int fds[5] = { open("/", O_PATH | O_CLOEXEC),
		       open("/dev/null", O_RDONLY | O_CLOEXEC), ours, theirs,
		       open("/proc", O_PATH | O_CLOEXEC) };
	unsigned before = fx_count_fds();
	int taken;

	(void)state;
	assert_int_equal(
		sc_ctl_send(theirs, SC_CTL_DONOR_START, "x", 1, fds, 5, &err),
		0);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	assert_int_equal(msg.nfds, 5);
	assert_int_equal(fx_count_fds(), before + 5);
	for (int i = 0; i < 5; i++) {
		same_file(msg.fds[i], fds[i]);
		assert_true(fcntl(msg.fds[i], F_GETFD) & FD_CLOEXEC);
	}
	taken = msg.fds[1];
	msg.fds[1] = -1;
	sc_ctl_msg_clear(&msg);
	assert_int_equal(fx_count_fds(), before + 1);
	same_file(taken, fds[1]);
	close(taken);
	close(fds[0]);
	close(fds[1]);
	close(fds[4]);
}

static void next_message_closes_descriptors(void **state)
{
	unsigned before = fx_count_fds();

	(void)state;
	sc_ctl_send(theirs, SC_CTL_RECIPIENT_START, "x", 1, &ours, 1, &err);
	sc_ctl_send(theirs, SC_CTL_SEALED, NULL, 0, NULL, 0, &err);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	assert_int_equal(msg.nfds, 1);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), 1);
	assert_int_equal(msg.nfds, 0);
	assert_int_equal(fx_count_fds(), before);
}

/* header_fds descriptors with the header, body_fds with the body. */
static const struct fds_case {
	uint16_t type;
	int header_fds, body_fds;
} fds_cases[] = {
	{ SC_CTL_RECIPIENT_START, 14, 0 }, { SC_CTL_RECIPIENT_START, 13, 1 },
	{ SC_CTL_RECIPIENT_START, 0, 14 }, { SC_CTL_FOLLOWED, 1, 0 },
	{ SC_CTL_FOLLOWED, 0, 1 },	   { SC_CTL_DONOR_START, 17, 0 },
	{ SC_CTL_DONOR_START, 18, 0 },	   { SC_CTL_DONOR_START, 20, 0 },
	{ SC_CTL_DONOR_START, 60, 0 },	   { SC_CTL_DONOR_START, 5, 60 },
};

static void too_many_descriptors(void **state)
{
	uint8_t header[SC_CTL_HEADER_SIZE];
	int fds[64];

	(void)state;
	for (size_t i = 0; i < 64; i++)
		fds[i] = ours;
	for (size_t i = 0; i < SC_ARRAY_SIZE(fds_cases); i++) {
		const struct fds_case *c = &fds_cases[i];
		unsigned before = fx_count_fds();

		make_header(header, SC_CTL_MAGIC, c->type, 0, 8);
		send_raw(header, sizeof(header), fds, c->header_fds);
		send_raw("12345678", 8, fds, c->body_fds);
		expect_refused(EPROTO, "too many descriptors");
		teardown(NULL);
		setup(NULL);
		for (size_t j = 0; j < 64; j++)
			fds[j] = ours;
		assert_int_equal(fx_count_fds(), before);
	}
}

static void bad_headers(void **state)
{
	static const struct {
		uint32_t magic;
		uint16_t type, zero;
		uint32_t len;
		const char *text;
	} cases[] = {
		{ 0x46444353, 1, 0, 0, "not a snapclone message" },
		{ 0, 1, 0, 0, "not a snapclone message" },
		{ SC_CTL_MAGIC, 1, 1, 0, "not a snapclone message" },
		{ SC_CTL_MAGIC, 0, 0, 0, "unknown message type" },
		{ SC_CTL_MAGIC, SC_CTL_TYPE_MAX + 1, 0, 0,
		  "unknown message type" },
		{ SC_CTL_MAGIC, 65535, 0, 0, "unknown message type" },
		{ SC_CTL_MAGIC, SC_CTL_HELLO, 0, 129, "message too long" },
		{ SC_CTL_MAGIC, SC_CTL_CANCEL, 0, 1, "message too long" },
		{ SC_CTL_MAGIC, SC_CTL_FOLLOWED, 0, 9, "message too long" },
		{ SC_CTL_MAGIC, SC_CTL_SEAL, 0, SC_CTL_MAX_BODY + 1,
		  "message too long" },
		{ SC_CTL_MAGIC, SC_CTL_SEAL, 0, UINT32_MAX,
		  "message too long" },
	};
	uint8_t header[SC_CTL_HEADER_SIZE];

	(void)state;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		make_header(header, cases[i].magic, cases[i].type,
			    cases[i].zero, cases[i].len);
		send_raw(header, sizeof(header), &ours, 1);
		expect_refused(EPROTO, cases[i].text);
		assert_int_equal(err.code, SC_ER_CLONE_PROTOCOL);
		err = (struct sc_err)SC_ERR_INIT;
	}
}

static void http_is_refused(void **state)
{
	(void)state;
	send_raw("GET / HTTP/1.0\r\n\r\n", 18, NULL, 0);
	expect_refused(EPROTO, "not a snapclone message");
}

static void cut_short_by_close(void **state)
{
	uint8_t raw[SC_CTL_HEADER_SIZE + 8];

	(void)state;
	make_header(raw, SC_CTL_MAGIC, SC_CTL_FOLLOWED, 0, 8);
	memset(raw + SC_CTL_HEADER_SIZE, 0, 8);
	for (size_t len = 0; len < sizeof(raw); len++) {
		if (len)
			send_raw(raw, len, &ours, len > 3);
		hang_up();
		/* A descriptor where none belongs may be noticed first. */
		assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), -1);
		assert_true(err.sys_errno == ECONNRESET ||
			    (err.sys_errno == EPROTO && len >= 12));
		assert_int_equal(msg.nfds, 0);
		teardown(NULL);
		setup(NULL);
	}
}

static void timeout_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(sc_ctl_recv(ours, &msg, 0, &err), 0);
	assert_int_equal(sc_ctl_recv(ours, &msg, 20, &err), 0);
	assert_false(sc_err_is_set(&err));
}

static void error_kept_over_garbage(void **state)
{
	(void)state;
	sc_err_set(&err, SC_ER_CLONE_DONOR, "first");
	send_raw("GET / HTTP/1.0\r\n\r\n", 18, NULL, 0);
	assert_int_equal(sc_ctl_recv(ours, &msg, 1000, &err), -1);
	assert_string_equal(err.msg, "first");
	assert_int_equal(err.sys_errno, 0);
}

static void send_to_nobody(void **state)
{
	(void)state;
	hang_up();
	assert_int_equal(
		sc_ctl_send(ours, SC_CTL_SEALED, NULL, 0, NULL, 0, &err), -1);
	assert_int_equal(err.sys_errno, EPIPE);
}

static void send_refuses_what_recv_would(void **state)
{
	static const struct {
		uint16_t type;
		size_t len;
		int nfds;
	} cases[] = { { 0, 0, 0 },
		      { SC_CTL_TYPE_MAX + 1, 0, 0 },
		      { SC_CTL_SEALED, 1, 0 },
		      { SC_CTL_HELLO, 129, 0 },
		      { SC_CTL_HELLO, 1, 1 },
		      { SC_CTL_DONOR_START, 1, 17 } };
	static const uint8_t body[256];
	int fds[8];

	(void)state;
	for (size_t i = 0; i < 8; i++)
		fds[i] = ours;
	for (size_t i = 0; i < SC_ARRAY_SIZE(cases); i++) {
		struct sc_err e = SC_ERR_INIT;

		assert_int_equal(sc_ctl_send(theirs, cases[i].type, body,
					     cases[i].len, fds, cases[i].nfds,
					     &e),
				 -1);
	}
	assert_int_equal(sc_ctl_recv(ours, &msg, 0, &err), 0);
}

static void out_of_memory_is_reported(void **state)
{
	struct sc_enc enc = { .failed = true };

	(void)state;
	assert_int_equal(
		sc_ctl_send_enc(theirs, SC_CTL_HELLO, &enc, NULL, 0, &err), -1);
	assert_string_equal(err.msg, "out of memory for control message 1");
}

/* ---- handshake -------------------------------------------------------------
 */

static void answer_hello(uint32_t version, const char *software)
{
	struct sc_ctl_hello hello = { .version = version };
	struct sc_enc enc = { 0 };

	snprintf(hello.software, sizeof(hello.software), "%s", software);
	sc_ctl_put_hello(&enc, &hello);
	sc_ctl_send_enc(theirs, SC_CTL_HELLO, &enc, NULL, 0, &err);
}

static void answer_error(uint32_t code, const char *text)
{
	struct sc_ctl_error e = { .code = code };
	struct sc_enc enc = { 0 };

	snprintf(e.message, sizeof(e.message), "%s", text);
	sc_ctl_put_error(&enc, &e);
	sc_ctl_send_enc(theirs, SC_CTL_ERROR, &enc, NULL, 0, &err);
}

static void handshake(void **state)
{
	struct sc_ctl_hello got;
	struct sc_dec dec;

	(void)state;
	answer_hello(SC_CTL_VERSION, "9.9.9");
	assert_int_equal(sc_ctl_handshake(ours, 1000, &err), 0);
	assert_int_equal(sc_ctl_recv(theirs, &msg, 1000, &err), 1);
	dec = sc_ctl_body(&msg);
	assert_int_equal(sc_ctl_get_hello(&dec, &got), 0);
	assert_int_equal(got.version, SC_CTL_VERSION);
	assert_string_equal(got.software, SC_VERSION);
}

static void expect_no_handshake(int code, const char *text)
{
	assert_int_equal(sc_ctl_handshake(ours, 20, &err), -1);
	assert_true(sc_err_is_set(&err));
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, text))
		fail_msg("'%s', expected '%s'", err.msg, text);
}

static void handshake_other_version(void **state)
{
	char both[100];

	(void)state;
	answer_hello(SC_CTL_VERSION + 1, "9.9.9");
	expect_no_handshake(SC_ER_CLONE_PROTOCOL, "HINT: install plugin");
	snprintf(
		both, sizeof(both),
		"9.9.9 speaks control version %u, this program (%s) version %u",
		SC_CTL_VERSION + 1, SC_VERSION, SC_CTL_VERSION);
	assert_non_null(strstr(err.msg, both));
}

static void handshake_refused(void **state)
{
	(void)state;
	answer_error(3634, "too many jobs");
	expect_no_handshake(3634, "snapcloned refused: too many jobs");
}

static void handshake_refused_without_a_code(void **state)
{
	(void)state;
	answer_error(0, "odd");
	expect_no_handshake(SC_ER_CLONE_PROTOCOL, "malformed ERROR");
}

static void handshake_with_something_else(void **state)
{
	(void)state;
	sc_ctl_send(theirs, SC_CTL_SEALED, NULL, 0, NULL, 0, &err);
	expect_no_handshake(SC_ER_CLONE_PROTOCOL, "expected HELLO");
}

static void handshake_malformed(void **state)
{
	(void)state;
	sc_ctl_send(theirs, SC_CTL_HELLO, "abc", 3, NULL, 0, &err);
	expect_no_handshake(SC_ER_CLONE_PROTOCOL, "expected HELLO");
}

static void handshake_with_nobody(void **state)
{
	(void)state;
	expect_no_handshake(SC_ER_INTERNAL_ERROR, "no answer");
	err = (struct sc_err)SC_ERR_INIT;
	hang_up();
	assert_int_equal(sc_ctl_handshake(ours, 20, &err), -1);
	assert_int_equal(err.sys_errno, EPIPE);
}

#define SOCKET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_body_comes_back),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_bit_is_survived),
		cmocka_unit_test(buffer_sizes),
		cmocka_unit_test(in_place_has_no_name),
		cmocka_unit_test(streams_and_page_sizes),
		cmocka_unit_test(target_names),
		cmocka_unit_test(directories),
		cmocka_unit_test(directories_beside_a_new_one),
		cmocka_unit_test(bytes_out_of_range),
		cmocka_unit_test(error_needs_a_code),
		cmocka_unit_test(longest_strings),
		cmocka_unit_test(names_of_stages),
		SOCKET_TEST(message_arrives),
		SOCKET_TEST(bytes_one_by_one),
		SOCKET_TEST(large_message),
		SOCKET_TEST(descriptors_arrive_in_order),
		SOCKET_TEST(next_message_closes_descriptors),
		SOCKET_TEST(too_many_descriptors),
		SOCKET_TEST(bad_headers),
		SOCKET_TEST(http_is_refused),
		SOCKET_TEST(cut_short_by_close),
		SOCKET_TEST(timeout_is_no_error),
		SOCKET_TEST(error_kept_over_garbage),
		SOCKET_TEST(send_to_nobody),
		SOCKET_TEST(send_refuses_what_recv_would),
		SOCKET_TEST(out_of_memory_is_reported),
		SOCKET_TEST(handshake),
		SOCKET_TEST(handshake_other_version),
		SOCKET_TEST(handshake_refused),
		SOCKET_TEST(handshake_refused_without_a_code),
		SOCKET_TEST(handshake_with_something_else),
		SOCKET_TEST(handshake_malformed),
		SOCKET_TEST(handshake_with_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
