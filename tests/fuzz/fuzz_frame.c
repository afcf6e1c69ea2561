/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames of either direction: what a peer sends on a data connection. First
 * byte odd: the hashes stay as they are. Sound bodies are encoded again: the
 * same bytes. Chunks are unpacked as a recipient does it.
 */
#include "tests/fuzz/fuzz.h"

#include "io/frame.h"
#include "io/squeeze.h"
#include "tests/fuzz/frames.h"

#include <stdlib.h>
#include <string.h>

static uint8_t chunk_buf[SC_CHUNK_SIZE];

static void same(const struct sc_dec *body, struct sc_enc *enc)
{
	FUZZ_CHECK(!enc->failed && enc->len == body->left);
	FUZZ_CHECK(!enc->len || !memcmp(enc->data, body->p, enc->len));
	sc_enc_free(enc);
}

static void try_hello(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_enc enc = { 0 };
	struct sc_hello m;

	if (sc_frame_get_hello(&dec, &m) < 0)
		return;
	sc_frame_put_hello(&enc, &m);
	same(body, &enc);
}

static void try_redo_begin(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_enc enc = { 0 };
	struct sc_redo_begin m;

	if (sc_frame_get_redo_begin(&dec, &m) < 0)
		return;
	sc_frame_put_redo_begin(&enc, &m);
	same(body, &enc);
}

static void try_seal(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_enc enc = { 0 };
	struct sc_seal m;

	if (sc_frame_get_seal(&dec, &m) == 0) {
		sc_frame_put_seal(&enc, &m);
		same(body, &enc);
	}
	sc_seal_free(&m);
}

static void try_files(struct sc_dec dec, const struct sc_dec *body)
{
	struct sc_filelist list = { 0 };
	struct sc_err err = SC_ERR_INIT;
	struct sc_enc enc = { 0 };
	int rc = 0;

	while (rc == 0 && dec.left)
		rc = sc_frame_get_file(&dec, &list, &err);
	for (size_t i = 0; rc == 0 && i < list.n; i++)
		sc_frame_put_file(&enc, &list.files[i]);
	/* Not the same bytes: a size on disk beyond the size is cut. */
	FUZZ_CHECK(rc < 0 || enc.len == body->left);
	sc_enc_free(&enc);
	sc_filelist_free(&list);
}

/* To a list of a few files, where they fit. */
static void apply(const struct sc_file_changes *changes)
{
	struct sc_page_spec spec = { .physical_size = 16384,
				     .logical_size = 16384 };
	struct sc_filelist list = { 0 };
	struct sc_err err = SC_ERR_INIT;

	while (list.n < 4)
		FUZZ_CHECK(sc_filelist_add(&list, "db/t.ibd", SC_FILE_PAGES,
					   list.n * 16384, &spec, &err) == 0);
	if (sc_file_changes_ok(changes, &list)) {
		FUZZ_CHECK(sc_file_changes_apply(changes, &list, &err) == 0);
		FUZZ_CHECK(list.n == 4 + changes->adds.n);
	}
	sc_filelist_free(&list);
}

static void try_change(struct sc_dec dec, const struct sc_dec *body)
{
	CLEANUP_CHANGES struct sc_file_changes changes = { 0 };
	struct sc_err err = SC_ERR_INIT;
	struct sc_enc enc = { 0 };
	int rc = 0;

	while (rc == 0 && dec.left)
		rc = sc_frame_get_change(&dec, &changes, &err);
	for (size_t i = 0; rc == 0 && i < changes.n_drops; i++)
		sc_frame_put_drop(&enc, changes.drops[i]);
	for (size_t i = 0; rc == 0 && i < changes.n_renames; i++)
		sc_frame_put_rename(&enc, &changes.renames[i]);
	for (size_t i = 0; rc == 0 && i < changes.adds.n; i++)
		sc_frame_put_add(&enc, &changes.adds.files[i]);
	/* Not the same bytes: by kind. */
	FUZZ_CHECK(rc < 0 || enc.len == body->left);
	if (rc == 0)
		apply(&changes);
	sc_enc_free(&enc);
}

/* As take_chunk() in daemon/recipient_chunks.c. */
static int take_chunk(struct sc_conn *conn, const struct sc_frame *frame,
		      struct sc_squeeze *sq, struct sc_err *err)
{
	struct sc_dec dec = sc_frame_body(frame);
	bool zstd = frame->flags & SC_FRAME_ZSTD;
	struct sc_chunk chunk;
	uint32_t len;

	if (sc_frame_get_chunk(&dec, &chunk) < 0)
		return sc_frame_bad(err, "malformed CHUNK");
	len = sc_blockmap_bytes(&chunk.map, chunk.len);
	FUZZ_CHECK(len <= chunk.len);
	if (zstd ? !len : frame->data_len != len)
		return sc_frame_bad(err, "malformed CHUNK");
	if (frame->data_len &&
	    sc_conn_read(conn, zstd ? sc_unsqueeze_buffer(sq) : chunk_buf,
			 frame->data_len, err) < 0)
		return -1;
	if (zstd && sc_unsqueeze(sq, frame->data_len, chunk_buf, len, err) < 0)
		return -1;
	sc_blockmap_unpack(&chunk.map, chunk_buf, chunk.len);
	FUZZ_CHECK(sc_blockmap_pack(&chunk.map, chunk_buf, chunk.len) == len);
	return 0;
}

static void (*const bodies[SC_FRAME_TYPE_MAX + 1])(struct sc_dec,
						   const struct sc_dec *) = {
	[SC_FRAME_HELLO] = try_hello,		[SC_FRAME_FILES] = try_files,
	[SC_FRAME_REDO_BEGIN] = try_redo_begin, [SC_FRAME_SEAL] = try_seal,
	[SC_FRAME_CHANGE] = try_change,
};

static int take_frame(struct sc_conn *conn, struct sc_frame *frame,
		      struct sc_squeeze *sq, struct sc_err *err)
{
	struct sc_dec body;

	if (sc_frame_recv_head(conn, frame, true, err) < 0)
		return -1;
	FUZZ_CHECK(frame->type && frame->type <= SC_FRAME_TYPE_MAX);
	body = sc_frame_body(frame);
	if (frame->type == SC_FRAME_CHUNK)
		return take_chunk(conn, frame, sq, err);
	if (bodies[frame->type])
		bodies[frame->type](body, &body);
	return frame->data_len
		       ? sc_conn_read(conn, chunk_buf, frame->data_len, err)
		       : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FRAME struct sc_frame frame = { 0 };
	struct fuzz_in in = { data, size };
	bool as_is = fuzz_u8(&in) & 1;
	uint8_t *stream = fuzz_frames(in.p, in.left);
	struct sc_squeeze *sq = sc_squeeze_new();
	struct sc_err err = SC_ERR_INIT;
	struct fuzz_conn conn;

	FUZZ_CHECK(sq);
	fuzz_conn_init(&conn, as_is ? in.p : stream, in.left);
	while (take_frame(&conn.base, &frame, sq, &err) == 0)
		;
	FUZZ_CHECK(sc_err_is_set(&err));
	sc_squeeze_free(sq);
	free(stream);
	return 0;
}
