/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of a manifest, shared by manifest*.c only. */
#ifndef SC_MANIFEST_IMPL_H
#define SC_MANIFEST_IMPL_H

#include "io/manifest.h"

/* Raised when the meaning of a line changes. */
#define MANIFEST_FORMAT 1

/* Digests in one line at most (1 GiB of a file), so that lines stay short;
 * further ones are in lines of their own behind it. */
#define MANIFEST_LINE_DIGESTS 1024

/* A path of SC_PATH_MAX bytes at six characters each (\u001f), 32 per digest,
 * and the rest. */
#define MANIFEST_LINE_MAX (64u << 10)

struct manifest_tail {
	uint64_t files, chunks;
	uint8_t digest[SC_DIGEST_SIZE]; /* of all lines before */
};

/* Encode one line, without its end; to be freed. NULL: out of memory, or a
 * number out of range. */
char *manifest_put_head(const struct sc_manifest_head *head);
char *manifest_put_file(const struct sc_file *file, uint64_t sealed_size,
			const uint8_t (*digests)[SC_DIGEST_SIZE], size_t n);
char *manifest_put_digests(const uint8_t (*digests)[SC_DIGEST_SIZE], size_t n);
char *manifest_put_tail(const struct manifest_tail *tail);

/* Decode one line. 0 or -1 with err: what is wrong with it. */
int manifest_get_head(const char *line, size_t len,
		      struct sc_manifest_head *ret, struct sc_err *err);

enum manifest_line { MANIFEST_FILE, MANIFEST_DIGESTS, MANIFEST_TAIL };

struct manifest_entry {
	enum manifest_line line;
	char path[SC_PATH_MAX]; /* of a file */
	struct sc_file file;	/* path, first_chunk not set */
	struct manifest_tail tail;
	size_t n;
	uint8_t digests[MANIFEST_LINE_DIGESTS][SC_DIGEST_SIZE];
};

/* Any line but the head. */
int manifest_get_line(const char *line, size_t len, struct manifest_entry *ret,
		      struct sc_err *err);

#endif
