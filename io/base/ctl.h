/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control channel: messages between the plugin in mysqld (or the CLI) and
 * the daemon on a Unix stream socket, with descriptors (SCM_RIGHTS).
 *
 * A message is a 12-byte header {u32 magic, u16 type, u16 zero, u32 length},
 * little-endian, and a body; descriptors travel with the first byte of the
 * header. The receiver checks magic, type and the length limit of the type
 * before it reads the body. docs/protocol.md has the sequence.
 *
 * Version rule: the version is exchanged in HELLO and must be equal on both
 * sides; any change of a message bumps it.
 */
#ifndef SC_BASE_CTL_H
#define SC_BASE_CTL_H

#include "io/base/codec.h"
#include "io/base/err.h"
#include "io/base/keylist.h"
#include "io/base/roots.h"

#include <stdbool.h>
#include <stdint.h>

#define SC_VERSION "0.1.0"
#define SC_CTL_VERSION 7
#define SC_CTL_MAGIC 0x4c544353u /* "SCTL" */
#define SC_CTL_HEADER_SIZE 12
#define SC_CTL_MAX_FDS 16
#define SC_CTL_MAX_BODY (16u << 20) /* GTID sets can be megabytes */

/* Where a service listens, unless clone_daemon_socket or the config says else.
 */
#define SC_SERVICE_SOCKET "/run/snapclone/snapcloned.sock"
/* Abstract socket of an embedded daemon: this prefix and its pid. */
#define SC_EMBEDDED_SOCKET_PREFIX "snapclone/embedded-"

#define SC_JOB_ID_SIZE 16
#define SC_JOB_KEY_SIZE 32
#define SC_UUID_LEN 36
#define SC_MAX_STREAMS 128
#define SC_MAX_DISCARDED 256

enum sc_ctl_type {
	SC_CTL_HELLO = 1, /* both ways: struct sc_ctl_hello */
	SC_CTL_DONOR_START =
		2, /* plugin: struct sc_ctl_donor_start, descriptors */
	SC_CTL_DONOR_READY = 3, /* daemon: struct sc_ctl_donor_ready */
	SC_CTL_FOLLOWED = 4,	/* daemon: u64 LSN up to which redo was read */
	SC_CTL_COPIED = 5, /* daemon: a pass is done; LOCKED, please; no body */
	SC_CTL_SEAL = 6,   /* plugin: struct sc_ctl_seal */
	SC_CTL_SEALED = 7, /* daemon: sizes taken, the lock may go; no body */
	SC_CTL_REDO_DONE =
		8, /* daemon: followed >= E, consumer may go; no body */
	SC_CTL_RECIPIENT_START = 9, /* plugin: struct sc_ctl_recipient_start */
	SC_CTL_PROGRESS = 10,	    /* daemon: struct sc_ctl_progress */
	SC_CTL_DONE = 11,   /* daemon: struct sc_ctl_done; the job succeeded */
	SC_CTL_ERROR = 12,  /* daemon: struct sc_ctl_error; the job failed and
			       everything it made is undone, or the message
			       says what is not yet */
	SC_CTL_CANCEL = 13, /* plugin: end the job; answered by ERROR 1317 */
	SC_CTL_LOG = 14,    /* embedded daemon: u8 level, string */
	SC_CTL_STATUS = 15, /* CLI: no body */
	SC_CTL_STATUS_REPLY =
		16, /* daemon: u32 n, n x struct sc_ctl_job_status, string:
		       what an image has left, or "" */
	SC_CTL_STAGED = 17,  /* daemon, in place: struct sc_ctl_done; complete
				and checked, waiting for PREPARE */
	SC_CTL_PREPARE = 18, /* plugin: write the lists; no body */
	SC_CTL_PREPARED =
		19,	     /* daemon: a rollback is still possible; no body */
	SC_CTL_COMMIT = 20,  /* plugin: the next start swaps; no body. Answered
				by DONE */
	SC_CTL_CLEAN = 21,   /* plugin, instead of a job: undo what is left in
				the data directory and the other directories
				of tablespaces: struct sc_ctl_places, their
				descriptors */
	SC_CTL_CLEANED = 22, /* daemon: nothing is left; no body */
	SC_CTL_KEYS_WANTED = 23, /* daemon: names of master keys it needs */
	SC_CTL_KEYS = 24,    /* plugin: those of them that the keyring has; to a
				recipient all keys of the clone */
	SC_CTL_LOCKED = 25,  /* plugin: struct sc_ctl_locked. DDL is held off */
	SC_CTL_SETTLED = 26, /* daemon: struct sc_ctl_settled, the answer */
	SC_CTL_IMAGED = 27,  /* daemon: the image is made, the lock may go; no
				body */
	SC_CTL_LIMITS = 28,  /* plugin, to a donor: struct sc_ctl_limits; from
				now on */
	SC_CTL_TYPE_MAX = 28,
};

/* What a look under the lock has found. */
enum sc_settled {
	SC_SETTLED_DONE = 0, /* the files are right: seal now */
	SC_SETTLED_MORE,     /* too much to copy under the lock: let go of it;
				COPIED comes again */
	SC_SETTLED_RESTART,  /* redo was lost: hold redo files anew, then LOCKED
				again: everything is copied again */
	SC_SETTLED_IMAGE,    /* redo was lost: E is S; seal with that */
	SC_SETTLED_COUNT,
};

/* Most names in one KEYS_WANTED. */
#define SC_CTL_MAX_REFS 64

/* Stages as in clone_progress; the order is that of its rows. */
enum sc_stage {
	SC_STAGE_NONE = 0,
	SC_STAGE_DROP_DATA,
	SC_STAGE_FILE_COPY,
	SC_STAGE_PAGE_COPY,
	SC_STAGE_REDO_COPY,
	SC_STAGE_FILE_SYNC,
	SC_STAGE_RESTART,
	SC_STAGE_RECOVERY,
	SC_STAGE_COUNT,
};

/* States as in clone_status and clone_progress. */
enum sc_state {
	SC_STATE_NOT_STARTED = 0,
	SC_STATE_IN_PROGRESS,
	SC_STATE_COMPLETED,
	SC_STATE_FAILED,
	SC_STATE_COUNT,
};

/* "FILE COPY", "In Progress": the stock plugin's texts; NULL out of range. */
const char *sc_stage_name(unsigned stage);
const char *sc_state_name(unsigned state);

/* clone_provider: who makes the image. */
enum sc_provider_choice {
	SC_PROVIDER_AUTO = 0,
	SC_PROVIDER_DM,
	SC_PROVIDER_BTRFS,
	SC_PROVIDER_REFLINK,
	SC_PROVIDER_LIVE,
	SC_PROVIDER_COUNT,
};

/* "AUTO", "DM", ...; NULL out of range. */
const char *sc_provider_choice_name(unsigned choice);

struct sc_ctl_hello {
	uint32_t version;  /* SC_CTL_VERSION */
	char software[32]; /* SC_VERSION, for messages only */
};

/*
 * Begin a donor job, or with `local` a whole local clone.
 * Descriptors, in order: data directory, redo directory (#innodb_redo), spool
 * directory (redo waits there for the recipient); local also: target
 * directory, its parent; then the further directories of tablespaces (roots).
 */
enum {
	SC_DONOR_FD_DATADIR,
	SC_DONOR_FD_REDO,
	SC_DONOR_FD_SPOOL,
	SC_DONOR_FD_TARGET,
	SC_DONOR_FD_PARENT,
	SC_DONOR_FDS_LOCAL,
	SC_DONOR_FDS_REMOTE = SC_DONOR_FD_TARGET,
	SC_DONOR_FDS_MAX = SC_DONOR_FDS_LOCAL + SC_MAX_ROOTS - 1
};

/* Directories of tablespaces besides the data directory, which is index 0.
 * Their descriptors come with the message, in that order. */
struct sc_ctl_roots {
	uint8_t n;				   /* 1..SC_MAX_ROOTS */
	char path[SC_MAX_ROOTS][SC_ROOT_PATH_MAX]; /* absolute; but of 0 */
	uint8_t external[SC_MAX_ROOTS];		   /* enum sc_external */
	uint8_t undo;				   /* of undo tablespaces */
	uint8_t n_system; /* as many as innodb_data_file_path */
	uint8_t system[SC_MAX_SYSTEM_FILES]; /* names, in its order */
};

/* The same of a server whose data is replaced in place. Body of CLEAN. */
struct sc_ctl_places {
	char data_file_path[1024]; /* innodb_data_file_path */
	struct sc_ctl_roots roots;
};

struct sc_ctl_donor_start {
	uint8_t job_id[SC_JOB_ID_SIZE];
	uint8_t key[SC_JOB_KEY_SIZE]; /* one-time, from getrandom(2) */
	bool tls; /* data connections are TLS 1.3 with the key */
	bool local;
	bool autotune;		    /* local: use fewer if more do not help */
	bool compress;		    /* chunks, where it pays; not local */
	bool buffered;		    /* the server keeps its data files in the
				       page cache: read them through it */
	bool block_ddl;		    /* the backup lock is held to the end */
	uint8_t provider;	    /* enum sc_provider_choice */
	uint32_t streams;	    /* data streams at most, 1..128 */
	uint32_t buffer_size;	    /* bytes in flight per stream, 1..256 MiB */
	uint32_t data_bandwidth;    /* MiB/s, 0 = no limit */
	uint32_t network_bandwidth; /* MiB/s, 0 = no limit */
	uint32_t page_size;	    /* innodb_page_size, bytes */
	/* LSN at a moment when no DDL ran, held off until the daemon follows
	 * the redo; 0: there was no such moment, DDL went on for too long. */
	uint64_t quiet_lsn;
	/* Tablespaces that were discarded then: an IMPORT TABLESPACE, which
	 * writes no redo, may bring them back. More than fit: UINT32_MAX. */
	uint32_t n_discarded;
	uint32_t discarded[SC_MAX_DISCARDED];
	char bind_address[64]; /* numeric address to listen on */
	char peer[256];	       /* for logs and status: who asked */
	char donor_uuid[SC_UUID_LEN + 1];
	char data_file_path[1024];  /* innodb_data_file_path */
	char doublewrite_dir[1024]; /* innodb_doublewrite_dir: relative when it
				       is below the data directory, "" = that */
	char target_name[256]; /* local: name of the target in its parent */
	struct sc_ctl_roots roots;
};

struct sc_ctl_donor_ready {
	uint16_t port; /* where the daemon listens; 0 when local */
	uint32_t files;
	uint64_t bytes;		 /* estimate of the base copy */
	uint64_t checkpoint_lsn; /* C */
};

struct sc_ctl_locked {
	uint64_t lsn; /* what DDL did is in the redo below it, on disk */
	/* No DDL ran from a FLUSH LOCAL BINARY LOGS until IMAGED: the clone may
	 * end at S. */
	bool quiet_image;
};

/* MiB/s, 0 = no limit. */
struct sc_ctl_limits {
	uint32_t data_bandwidth, network_bandwidth;
};

struct sc_ctl_settled {
	uint8_t what;	    /* enum sc_settled */
	uint64_t image_lsn; /* S; SC_SETTLED_IMAGE only, else 0 */
	char why[512];	    /* likewise: how redo was lost */
};

/*
 * E and what belongs to it (design: step 5). When redo was lost E is S, which
 * has no position; G is then what the donor has executed later, at the seal:
 * the GTIDs of the clone are those that recovery finds, between F and G.
 */
struct sc_ctl_seal {
	uint64_t end_lsn;
	/* Wall clock: what was committed before it is in the clone. Just before
	 * log_status was read; when redo was lost, before the image. */
	uint64_t seal_begin_us;
	uint64_t binlog_position;
	char binlog_file[512]; /* empty: binary log off, or redo was lost */
	char redo_lost[512];   /* a sentence about it; empty: it was not */
	char *gtid_flushed;    /* F, owned */
	char *gtid_executed;   /* G, owned */
};

/* Begin a recipient job. Descriptors: target directory, its parent; in place
 * the data directory and the further directories of tablespaces. */
#define SC_RECIPIENT_FDS_MAX (1 + SC_MAX_ROOTS)
struct sc_ctl_recipient_start {
	uint8_t job_id[SC_JOB_ID_SIZE];
	uint8_t key[SC_JOB_KEY_SIZE];
	bool tls;
	bool in_place;
	bool autotune; /* use fewer streams if more do not help */
	uint32_t streams;
	uint32_t data_bandwidth; /* MiB/s, 0 = no limit */
	uint32_t network_bandwidth;
	uint32_t page_size;
	uint16_t port;
	char address[64];      /* numeric */
	char peer[256];	       /* donor as the user named it, host:port */
	char target_name[256]; /* empty in place */
	/* Of a new directory only external tablespaces lie elsewhere. */
	struct sc_ctl_places places;
};

struct sc_ctl_progress {
	uint8_t stage; /* enum sc_stage */
	uint8_t state; /* enum sc_state */
	uint32_t threads;
	uint64_t estimate; /* bytes */
	uint64_t data;	   /* bytes */
	uint64_t network;  /* bytes on the wire */
};

struct sc_ctl_done {
	struct sc_ctl_seal seal;
	uint64_t checkpoint_lsn;
};

struct sc_ctl_error {
	uint32_t code; /* MySQL error number */
	char message[512];
};

struct sc_ctl_job_status {
	uint8_t job_id[SC_JOB_ID_SIZE];
	uint8_t role; /* 0 donor, 1 recipient, 2 local */
	uint8_t stage;
	uint8_t state;
	uint32_t threads;
	uint64_t started_us; /* wall clock */
	uint64_t estimate, data, network;
	uint64_t redo; /* bytes of delta so far */
	/* Of a donor's image: the longest a write may have waited, and how full
	 * its copy-on-write area is (both 0: it has none). */
	uint64_t swap_us, undo_us;
	uint64_t area_used, area_bytes;
	char provider[16]; /* empty: no image yet */
	char peer[256];
	char message[512]; /* error, when failed */
};

/* Encode a body; the caller frees enc and checks enc->failed. */
void sc_ctl_put_hello(struct sc_enc *enc, const struct sc_ctl_hello *m);
void sc_ctl_put_donor_start(struct sc_enc *enc,
			    const struct sc_ctl_donor_start *m);
void sc_ctl_put_donor_ready(struct sc_enc *enc,
			    const struct sc_ctl_donor_ready *m);
void sc_ctl_put_locked(struct sc_enc *enc, const struct sc_ctl_locked *m);
void sc_ctl_put_limits(struct sc_enc *enc, const struct sc_ctl_limits *m);
void sc_ctl_put_settled(struct sc_enc *enc, const struct sc_ctl_settled *m);
void sc_ctl_put_seal(struct sc_enc *enc, const struct sc_ctl_seal *m);
void sc_ctl_put_recipient_start(struct sc_enc *enc,
				const struct sc_ctl_recipient_start *m);
void sc_ctl_put_progress(struct sc_enc *enc, const struct sc_ctl_progress *m);
void sc_ctl_put_done(struct sc_enc *enc, const struct sc_ctl_done *m);
void sc_ctl_put_error(struct sc_enc *enc, const struct sc_ctl_error *m);
void sc_ctl_put_job_status(struct sc_enc *enc,
			   const struct sc_ctl_job_status *m);

/* Decode and validate. 0, or -1 when the body is malformed or out of range.
 * The ones for seal and done allocate: free with sc_ctl_seal_free() also after
 * a failure. */
int sc_ctl_get_hello(struct sc_dec *dec, struct sc_ctl_hello *ret);
int sc_ctl_get_donor_start(struct sc_dec *dec, struct sc_ctl_donor_start *ret);
int sc_ctl_get_donor_ready(struct sc_dec *dec, struct sc_ctl_donor_ready *ret);
int sc_ctl_get_locked(struct sc_dec *dec, struct sc_ctl_locked *ret);
int sc_ctl_get_limits(struct sc_dec *dec, struct sc_ctl_limits *ret);
int sc_ctl_get_settled(struct sc_dec *dec, struct sc_ctl_settled *ret);
int sc_ctl_get_seal(struct sc_dec *dec, struct sc_ctl_seal *ret);
int sc_ctl_get_recipient_start(struct sc_dec *dec,
			       struct sc_ctl_recipient_start *ret);
void sc_ctl_put_places(struct sc_enc *enc, const struct sc_ctl_places *m);
int sc_ctl_get_places(struct sc_dec *dec, struct sc_ctl_places *ret);
int sc_ctl_get_progress(struct sc_dec *dec, struct sc_ctl_progress *ret);
int sc_ctl_get_done(struct sc_dec *dec, struct sc_ctl_done *ret);
int sc_ctl_get_error(struct sc_dec *dec, struct sc_ctl_error *ret);
/* One status record of several: does not require the body to end here. */
int sc_ctl_get_job_status(struct sc_dec *dec, struct sc_ctl_job_status *ret);
void sc_ctl_seal_free(struct sc_ctl_seal *seal);

/* A received message; zero-initialise, clear after use. */
struct sc_ctl_msg {
	uint16_t type;
	uint32_t len;
	uint8_t *body;		 /* owned */
	int fds[SC_CTL_MAX_FDS]; /* owned; set to -1 what you take */
	int nfds;
};

static inline struct sc_dec sc_ctl_body(const struct sc_ctl_msg *msg)
{
	return sc_dec_init(msg->body, msg->len);
}

/* Free the body, close descriptors not taken. */
void sc_ctl_msg_clear(struct sc_ctl_msg *msg);
#define CLEANUP_MSG __attribute__((cleanup(sc_ctl_msg_clear)))

/*
 * Send one message; blocks at most SC_CTL_STALL_MS without progress. fds may
 * be NULL. Callers serialise senders of one socket. 0 or -1; a peer that is
 * gone has sys_errno EPIPE.
 */
#define SC_CTL_STALL_MS 10000
int sc_ctl_send(int sock, uint16_t type, const void *body, size_t len,
		const int *fds, int nfds, struct sc_err *err);
/* Send an encoded body and free it; out of memory in it is reported. */
int sc_ctl_send_enc(int sock, uint16_t type, struct sc_enc *enc, const int *fds,
		    int nfds, struct sc_err *err);

/*
 * Receive one message into msg (cleared first). Waits timeout_ms for its first
 * byte (-1: no limit), then SC_CTL_STALL_MS at most between further bytes.
 * Returns 1, 0 on timeout, -1 on error; sys_errno is ECONNRESET when the peer
 * closed the socket, EPROTO for garbage. One reader per socket.
 */
int sc_ctl_recv(int sock, struct sc_ctl_msg *msg, int timeout_ms,
		struct sc_err *err);

/* Exchange HELLO as the side that connected; fails with a message that names
 * both versions and says what to do. Its halves, for a side that has something
 * else to do meanwhile: say ours, hear theirs. */
int sc_ctl_say_hello(int sock, struct sc_err *err);
int sc_ctl_hear_hello(int sock, int timeout_ms, struct sc_err *err);
int sc_ctl_handshake(int sock, int timeout_ms, struct sc_err *err);

#endif
