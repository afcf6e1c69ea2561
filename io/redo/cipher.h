/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Encrypted redo blocks. Bit 15 of the data length says that a block is
 * encrypted; innodb_redo_log_encrypt may be switched at any block, the key of
 * the log never changes while the server runs. The header stays in clear;
 * bytes 12 to 507 are AES-256-CBC with the log's key and iv, then bytes 480 to
 * 511 once more, so that the checksum at 508, which is of the clear text
 * without the bit, is hidden too.
 * Source: encrypt_log_block() and decrypt_log_block() in os/os0enc.cc,
 * log_encryption_generate_metadata() in log/log0encryption.cc.
 *
 * A cipher belongs to one thread at a time. NULL stands for "key not known".
 */
#ifndef SC_IO_REDO_CIPHER_H
#define SC_IO_REDO_CIPHER_H

#include "io/pages.h"
#include "io/redo/format.h"

struct sc_redo_cipher;

/* key: copied. NULL when out of memory. The caller frees it; its key is
 * cleared. free(NULL) is legal. */
struct sc_redo_cipher *sc_redo_cipher_new(const struct sc_space_key *key);
void sc_redo_cipher_free(struct sc_redo_cipher *c);
static inline void sc_redo_cipher_cleanup(struct sc_redo_cipher **c)
{
	sc_redo_cipher_free(*c);
}
#define CLEANUP_CIPHER __attribute__((cleanup(sc_redo_cipher_cleanup)))

/* The clear text of an encrypted block, the bit cleared; block and plain apart.
 * 0, or -EIO. Whether the key was right, only the checksum tells. */
int sc_redo_cipher_open(struct sc_redo_cipher *c, const uint8_t *block,
			uint8_t *plain);
/* The reverse. */
int sc_redo_cipher_seal(struct sc_redo_cipher *c, const uint8_t *plain,
			uint8_t *block);

/*
 * sc_redo_block_judge() for blocks of either kind: an encrypted one is judged
 * by its clear text, and ENCRYPTED only when c is NULL. ret (may be NULL) tells
 * the kind. plain: receives the clear text of a FULL or PARTIAL block, or NULL.
 */
enum sc_redo_verdict sc_redo_cipher_judge(struct sc_redo_cipher *c,
					  const uint8_t *block, uint64_t lsn,
					  struct sc_redo_block *ret,
					  uint8_t *plain);

/*
 * The same of count consecutive blocks from lsn until one is not FULL. Returns
 * the number of full ones; *ret_stop is the verdict on the next (FULL when
 * there is none).
 */
size_t sc_redo_cipher_judge_all(struct sc_redo_cipher *c, const uint8_t *blocks,
				size_t count, uint64_t lsn,
				enum sc_redo_verdict *ret_stop);

/* sc_redo_block_cut() likewise; what was encrypted is again. -ENOKEY for an
 * encrypted block when c is NULL. */
int sc_redo_cipher_cut(struct sc_redo_cipher *c, uint8_t *block, uint64_t lsn,
		       uint64_t end_lsn);

#endif
