/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames of the data channel, byte by byte in docs/protocol.md.
 *
 * A frame is a 24-byte header {u32 magic, u16 type, u16 flags, u32 body length,
 * u32 data length, u64 XXH3-64 of the 16 bytes before it and the body}, all
 * little-endian, then the body (fields) and the data (bulk bytes that carry
 * digests of their own: chunks an XXH3-128, redo blocks InnoDB's checksum).
 * Everything is checked against the limits of its type before it is read.
 */
#ifndef SC_FRAME_H
#define SC_FRAME_H

#include "io/base/codec.h"
#include "io/base/ctl.h"
#include "io/base/err.h"
#include "io/blockmap.h"
#include "io/conn.h"
#include "io/digest.h"
#include "io/filechange.h"

#include <stdint.h>

#define SC_FRAME_MAGIC 0x46444353u /* "SCDF" */
#define SC_FRAME_HEADER_SIZE 24
#define SC_FRAME_VERSION 6
/* SEAL: the body of its control message and a size per file. */
#define SC_FRAME_MAX_BODY (SC_CTL_MAX_BODY + 8 * SC_MAX_FILES + 1024)
#define SC_FRAME_MAX_DATA SC_CHUNK_SIZE

enum sc_frame_type {
	SC_FRAME_HELLO = 1,	 /* recipient, first on every connection */
	SC_FRAME_HELLO_OK = 2,	 /* donor's answer */
	SC_FRAME_FILES = 3,	 /* stream 0: a batch of files */
	SC_FRAME_FILES_END = 4,	 /* stream 0: the list is complete */
	SC_FRAME_REDO_BEGIN = 5, /* stream 0: what the redo is */
	SC_FRAME_REDO = 6,	 /* stream 0: blocks; none = keep-alive */
	SC_FRAME_SEAL = 7,	 /* stream 0: E and what belongs to it */
	SC_FRAME_CHUNK = 8,	 /* data streams, a pass on stream 0: a chunk */
	SC_FRAME_CHUNKS_END = 9, /* no more on this one, or in this pass */
	SC_FRAME_DONE = 10,	 /* stream 0, recipient: complete and durable */
	SC_FRAME_ERROR = 11,	 /* either side: the job failed */
	SC_FRAME_CHANGE = 12,	 /* stream 0: a batch of changed files */
	SC_FRAME_CHANGE_END = 13, /* stream 0: a pass begins */
	SC_FRAME_TYPE_MAX = 13,
};

/* CHUNK: the data is one zstd frame. */
#define SC_FRAME_ZSTD 1u

struct sc_frame {
	uint16_t type;
	uint16_t flags;
	uint32_t body_len;
	uint32_t data_len;
	uint8_t *body; /* owned by the frame, reused from call to call */
	size_t body_cap;
	uint32_t limit; /* set by the receiver: longest body it takes from a
			   peer it does not know yet; 0 = that of the type */
};

void sc_frame_free(struct sc_frame *frame);
#define CLEANUP_FRAME __attribute__((cleanup(sc_frame_free)))

static inline struct sc_dec sc_frame_body(const struct sc_frame *frame)
{
	return sc_dec_init(frame->body, frame->body_len);
}

/* Send header, body and data. 0 or -1. */
int sc_frame_send(struct sc_conn *conn, uint16_t type, uint16_t flags,
		  const void *body, size_t body_len, const void *data,
		  size_t data_len, struct sc_err *err);

/* Send with an encoded body, which is freed. */
int sc_frame_send_enc(struct sc_conn *conn, uint16_t type, struct sc_enc *enc,
		      struct sc_err *err);

/*
 * Receive a frame: header and body are read and checked, its data is read into
 * `data` (at least SC_FRAME_MAX_DATA bytes, or NULL when no type with data is
 * expected, which then is an error). 0 or -1.
 */
int sc_frame_recv(struct sc_conn *conn, struct sc_frame *frame, void *data,
		  struct sc_err *err);

/* Only header and body, checked; data_len bytes of data are still to be read.
 */
int sc_frame_recv_head(struct sc_conn *conn, struct sc_frame *frame,
		       bool data_ok, struct sc_err *err);

/* The error for a frame that is malformed or out of order. Returns -1. */
int sc_frame_bad(struct sc_err *err, const char *what);

/* ---- bodies ----------------------------------------------------------------
 */

struct sc_hello {
	uint16_t version; /* SC_FRAME_VERSION */
	uint16_t stream;  /* 0 = control, 1.. = data */
	uint8_t job_id[SC_JOB_ID_SIZE];
	uint8_t token[SC_JOB_KEY_SIZE]; /* the key without TLS, else zero */
};

struct sc_redo_begin {
	uint64_t checkpoint_lsn; /* C */
	uint32_t uuid;
	char creator[33];
};

struct sc_chunk {
	uint32_t file; /* index into the file list */
	uint32_t len;  /* logical bytes, 1..SC_CHUNK_SIZE */
	uint64_t off;  /* in the file, a multiple of SC_CHUNK_SIZE */
	uint8_t digest[SC_DIGEST_SIZE]; /* of the logical bytes */
	struct sc_blockmap map; /* blocks that follow; others are zero */
};
#define SC_CHUNK_BODY_SIZE (16 + SC_DIGEST_SIZE + SC_BLOCKMAP_SIZE)

/* A redo block: SC_REDO_BLOCK of io/redo/format.h. */
#define SC_REDO_ENCRYPTION_SIZE 512

/* The seal as the recipient needs it; sizes: one per file of the list. */
struct sc_seal {
	struct sc_ctl_seal mark;
	char donor_uuid[SC_UUID_LEN + 1];
	char provider[16];  /* that made the image: "live" */
	uint64_t image_lsn; /* S, 0: the image is not of one moment */
	uint64_t swap_us;   /* as struct sc_image */
	uint64_t undo_us;
	/* Of the donor's redo log at the seal, zero when it has none: its key,
	 * wrapped in a master key. */
	uint8_t redo_encryption[SC_REDO_ENCRYPTION_SIZE];
	uint64_t *sizes; /* owned */
	size_t n_sizes;
};
void sc_seal_free(struct sc_seal *seal);

void sc_frame_put_hello(struct sc_enc *enc, const struct sc_hello *m);
int sc_frame_get_hello(struct sc_dec *dec, struct sc_hello *ret);
void sc_frame_put_file(struct sc_enc *enc, const struct sc_file *m);
/* Decode one file of a batch and append it to the list, validated. */
int sc_frame_get_file(struct sc_dec *dec, struct sc_filelist *list,
		      struct sc_err *err);

/* Records of CHANGE. */
enum sc_change_op {
	SC_CHANGE_DROP = 1,
	SC_CHANGE_RENAME = 2,
	SC_CHANGE_ADD = 3,
};
void sc_frame_put_drop(struct sc_enc *enc, uint32_t file);
void sc_frame_put_rename(struct sc_enc *enc, const struct sc_file_rename *m);
void sc_frame_put_add(struct sc_enc *enc, const struct sc_file *m);
/* Decode one record of a batch and append it to the changes, validated but for
 * what sc_file_changes_ok() finds. */
int sc_frame_get_change(struct sc_dec *dec, struct sc_file_changes *changes,
			struct sc_err *err);
void sc_frame_put_change_end(struct sc_enc *enc,
			     const struct sc_file_changes *m);
/* Are these all the changes? 0 or -1. */
int sc_frame_get_change_end(struct sc_dec *dec,
			    const struct sc_file_changes *changes);
void sc_frame_put_redo_begin(struct sc_enc *enc, const struct sc_redo_begin *m);
int sc_frame_get_redo_begin(struct sc_dec *dec, struct sc_redo_begin *ret);
void sc_frame_put_chunk(uint8_t body[static SC_CHUNK_BODY_SIZE],
			const struct sc_chunk *m);
int sc_frame_get_chunk(struct sc_dec *dec, struct sc_chunk *ret);
void sc_frame_put_seal(struct sc_enc *enc, const struct sc_seal *m);
/* Free ret with sc_seal_free() also after a failure. */
int sc_frame_get_seal(struct sc_dec *dec, struct sc_seal *ret);

#endif
