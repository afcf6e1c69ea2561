/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * InnoDB's encryption information: the key of a tablespace or of the redo log,
 * wrapped in a master key that the keyring holds. It stands on page 0 of a
 * tablespace, in the encryption block of the redo file with the checkpoint, and
 * in the redo record that writes it to page 0.
 *
 *	offset  size
 *	     0     3  magic: "lCC" (8.0 and later), "lCB" (5.7.12), "lCA"
 *	     3     4  master key id, big-endian; 0 = InnoDB's built-in key
 *	     7    36  uuid of the server that made the master key
 *	    43    64  key (32) and initial vector (32), AES-256-ECB
 *	   107     4  CRC-32C of these 64 bytes in clear, big-endian
 *
 * 5.7 may have written the id in 8 bytes, which moves the rest. Pure functions.
 * Source: os0enc.h, Encryption::fill_encryption_info() and
 * decode_encryption_info() in os0enc.cc.
 */
#ifndef SC_IO_KEYS_H
#define SC_IO_KEYS_H

#include "io/aes.h"
#include "io/base/err.h"
#include "io/base/keylist.h"
#include "io/pages.h"

#include <stdint.h>

/* Encryption::INFO_SIZE; INFO_MAX_SIZE has room for an id of 8 bytes. */
#define SC_KEY_INFO_SIZE 111
#define SC_KEY_INFO_MAX 115

/* What wraps a key. */
struct sc_key_info {
	struct sc_key_ref master; /* id 0: the built-in key, no uuid */
	uint8_t wrapped[64];
	uint32_t crc;
};

/*
 * Parse encryption information. info: SC_KEY_INFO_MAX bytes. Returns 1; 0 when
 * there is none (no magic, or erased: zero behind it); -1 with err when it is
 * of 5.7.11 ("lCA": its key is found by server_id, which a recipient does not
 * have) or malformed.
 */
int sc_key_info_parse(const uint8_t info[SC_KEY_INFO_MAX],
		      struct sc_key_info *ret, struct sc_err *err);

/*
 * Unwrap the key. master: the value of info->master, or NULL for id 0. Returns
 * 0; -EKEYREJECTED when the checksum is wrong (another master key), -EIO.
 */
int sc_key_info_unwrap(struct sc_aes *aes, const struct sc_key_info *info,
		       const uint8_t master[SC_MASTER_KEY_SIZE],
		       struct sc_space_key *ret);

/* The reverse, as the server does it in version 3, for tests: 0 or -errno. */
int sc_key_info_wrap(struct sc_aes *aes, const struct sc_key_ref *ref,
		     const uint8_t master[SC_MASTER_KEY_SIZE],
		     const struct sc_space_key *key,
		     uint8_t ret[SC_KEY_INFO_MAX]);

/*
 * Where on page 0 it stands. logical, physical: page sizes in bytes as in
 * struct sc_page_spec. Always below physical - SC_KEY_INFO_MAX. Source:
 * fsp_header_get_encryption_offset() in fsp0fsp.cc.
 */
uint32_t sc_key_info_offset(uint32_t logical, uint32_t physical);

/*
 * Where a copy gets keys of tablespaces from. Any thread; what is returned is
 * valid until the copy ends.
 */
struct sc_key_source {
	/* The key that page 0 of a space has. info: SC_KEY_INFO_MAX bytes, read
	 * from a running file. 0 with *ret, NULL when there is no key in it; -1
	 * when it cannot be unwrapped, also because it was read in halves. */
	int (*page0)(struct sc_key_source *source, uint32_t space_id,
		     const uint8_t *info, const struct sc_space_key **ret,
		     struct sc_err *err);
	/* All keys known of a space, also those found in the redo: n from 0 on,
	 * NULL when there are no more. */
	const struct sc_space_key *(*known)(struct sc_key_source *source,
					    uint32_t space_id, unsigned n);
};

/* In the encryption block of a redo file: LOG_HEADER_ENCRYPTION_INFO_OFFSET. */
#define SC_KEY_INFO_REDO 48

#endif
