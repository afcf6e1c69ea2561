/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Builds the recipient's redo log from the blocks the donor sent: [C, E] is
 * written straight into the final #ib_redo<N> files, each block checked as it
 * arrives, and the server recovers from it as after a crash. Until finish()
 * the first and the last file have no header, so a server refuses a half-built
 * directory.
 *
 * One thread. The directory must be empty of redo files and on no running
 * server's path. Nothing is durable before finish() returned 0.
 */
#ifndef SC_IO_REDO_BUILD_H
#define SC_IO_REDO_BUILD_H

#include "io/base/err.h"
#include "io/redo/cipher.h"
#include "io/redo/format.h"

#include <sys/types.h>

struct sc_redo_build_params {
	uint32_t uuid;		 /* of the donor's log */
	const char *creator;	 /* "MySQL 9.7.4": the donor's; never "MySQL
				  * Clone" nor "MEB", which change recovery */
	uint64_t checkpoint_lsn; /* C */
	uint32_t page_size;	 /* innodb_page_size, 4 to 64 KiB */
	uint64_t max_file_size;	 /* bytes, multiple of 64 KiB, up to 16 GiB; 0 =
				  * 1 GiB. Only the last file is shorter */
	const uint8_t *encryption_block; /* see set_encryption(), or NULL */
	uid_t uid; /* owner of the files, (uid_t)-1 = as created */
	gid_t gid;
	mode_t mode; /* 0 = 0640 */
};

struct sc_redo_build;

/* redo_dirfd: borrowed, duplicated. params: borrowed for the call. Returns 0
 * or -1 (a parameter out of range, the directory not empty, I/O). */
int sc_redo_build_open(int redo_dirfd,
		       const struct sc_redo_build_params *params,
		       struct sc_redo_build **ret, struct sc_err *err);

/*
 * The encryption block of the donor's live checkpoint file, 512 bytes, copied:
 * taken at the seal, as redo encryption may be switched meanwhile. Any time
 * before finish().
 */
void sc_redo_build_set_encryption(struct sc_redo_build *b,
				  const uint8_t *block);

/*
 * The key of the donor's log, to cut a last block that is encrypted. Any time
 * before finish(). 0 or -1 (out of memory).
 */
int sc_redo_build_set_key(struct sc_redo_build *b,
			  const struct sc_space_key *key, struct sc_err *err);

/* Close without finishing; the files stay and are no valid redo log. NULL is
 * legal; also after finish(). */
void sc_redo_build_free(struct sc_redo_build *b);
static inline void sc_redo_build_cleanup(struct sc_redo_build **b)
{
	sc_redo_build_free(*b);
}
#define CLEANUP_REDO_BUILD __attribute__((cleanup(sc_redo_build_cleanup)))

/*
 * Append blocks. lsn: of the first, multiple of 512; the first call must bring
 * the block of C, each further one the block after the last. len: bytes,
 * multiple of 512. Only the very last block may be partial. Returns 0, or -1:
 * a gap, a block that is not the one of its LSN, torn, I/O. Encrypted blocks
 * are taken by their headers: sc_redo_check() judges them, with the key.
 * After an error only free() may follow.
 */
int sc_redo_build_append(struct sc_redo_build *b, uint64_t lsn,
			 const void *data, size_t len, struct sc_err *err);

/* LSN up to which redo was appended, as the server counts. */
uint64_t sc_redo_build_lsn(const struct sc_redo_build *b);

/*
 * End the log at end_lsn: cut its block, drop what was appended behind, pad
 * and fsync files and directory. Returns 0, or -1: end_lsn below C or above
 * sc_redo_build_lsn(), or no position a log can end at; a last block that is
 * encrypted without a key; I/O.
 */
int sc_redo_build_finish(struct sc_redo_build *b, uint64_t end_lsn,
			 struct sc_err *err);

#endif
