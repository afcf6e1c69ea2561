/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of InnoDB's redo log (format 6: MySQL 8.0.30 to 9.x): file
 * headers, checkpoint slots and data blocks. Pure functions over 512-byte
 * blocks, no state: any thread.
 *
 * A file #ib_redo<N> is a header of four blocks, then data blocks:
 *
 *	  0  file header: format u32, uuid u32, start LSN u64, creator 32,
 *	     flags u32, crc at 508
 *	512  checkpoint slot 1: LSN u64 at 8, crc at 508
 *   1024  encryption information, zero when there is none
 *   1536  checkpoint slot 2
 *   2048  data block of the start LSN
 *
 * A data block is 12 bytes of header (number u32, data length u16 with the
 * encryption bit, first record group u16, epoch u32), 496 of records and the
 * crc at 508. An LSN counts all 512 bytes, so it never points into a header
 * or a crc: the end of a full block and the first 12 bytes of the next are the
 * same position. All integers are big-endian.
 * Source: storage/innobase/include/log0constants.h, log0files_io.h.
 */
#ifndef SC_IO_REDO_FORMAT_H
#define SC_IO_REDO_FORMAT_H

#include "io/base/num.h"

#include <stddef.h>

enum {
	SC_REDO_BLOCK = 512,	     /* OS_FILE_LOG_BLOCK_SIZE */
	SC_REDO_BLOCK_HEADER = 12,   /* LOG_BLOCK_HDR_SIZE */
	SC_REDO_BLOCK_TRAILER = 4,   /* LOG_BLOCK_TRL_SIZE */
	SC_REDO_FILE_HEADER = 2048,  /* LOG_FILE_HDR_SIZE */
	SC_REDO_SLOT1 = 512,	     /* LOG_CHECKPOINT_1 */
	SC_REDO_ENCRYPTION = 1024,   /* LOG_ENCRYPTION */
	SC_REDO_SLOT2 = 1536,	     /* LOG_CHECKPOINT_2 */
	SC_REDO_FORMAT = 6,	     /* Log_format::CURRENT */
	SC_REDO_CREATOR_MAX = 31,    /* LOG_HEADER_CREATOR_MAX_LENGTH */
	SC_REDO_FILE_MIN = 64 << 10, /* LOG_FILE_MIN_SIZE */
	SC_REDO_START_LSN = 8192,    /* LOG_START_LSN: no LSN is lower */
};

/* LOG_FILE_MAX_SIZE: 512 GiB capacity in 32 files. */
#define SC_REDO_FILE_MAX (16 * SC_GIB)

/* Flags of a file header: bit numbers of log0constants.h less one. */
enum {
	SC_REDO_NO_LOGGING = 1,
	SC_REDO_CRASH_UNSAFE = 2,
	SC_REDO_NOT_INITIALIZED = 4,
	SC_REDO_FILE_FULL = 8,
};

struct sc_redo_header {
	uint32_t format;
	uint32_t uuid;
	uint64_t start_lsn; /* of the first data block */
	char creator[33];   /* NUL-terminated, at most 31 bytes are stored */
	uint32_t flags;
};

/* block: 512 bytes. Returns 0, or -EBADMSG when the crc is wrong (*ret is
 * filled all the same). */
int sc_redo_header_parse(const uint8_t *block, struct sc_redo_header *ret);
void sc_redo_header_encode(const struct sc_redo_header *header, uint8_t *block);

/* Checkpoint slots: *ret_lsn is 0 in one never used. Returns 0 or -EBADMSG. */
int sc_redo_slot_parse(const uint8_t *block, uint64_t *ret_lsn);
void sc_redo_slot_encode(uint64_t lsn, uint8_t *block);

/* True when the encryption block says anything. */
bool sc_redo_encryption_present(const uint8_t *block);

static inline uint64_t sc_redo_align(uint64_t lsn)
{
	return sc_align_down(lsn, SC_REDO_BLOCK);
}

/* Bytes of its block that an LSN covers: 0, or 12 to 507. */
static inline uint32_t sc_redo_offset(uint64_t lsn)
{
	return (uint32_t)(lsn % SC_REDO_BLOCK);
}

/*
 * True for what can be the end of a clone: 0 or 12 to 511 in its block (the
 * server itself never gives 508 to 511, but scans to them).
 */
static inline bool sc_redo_lsn_valid(uint64_t lsn)
{
	return lsn >= SC_REDO_START_LSN &&
	       (!sc_redo_offset(lsn) ||
		sc_redo_offset(lsn) >= SC_REDO_BLOCK_HEADER);
}

/* LSN as the server counts: a block boundary is the 12 of the next block. */
static inline uint64_t sc_redo_normal_lsn(uint64_t lsn)
{
	return sc_redo_offset(lsn) ? lsn : lsn + SC_REDO_BLOCK_HEADER;
}

/* Header of a data block, and what it must be for its LSN. */
struct sc_redo_block {
	uint32_t number;	  /* 1 + lsn / 512 % 2^30 */
	uint32_t epoch;		  /* 1 + lsn / 512 / 2^30 */
	uint16_t data_len;	  /* bytes used, header included; 512 = full */
	uint16_t first_rec_group; /* 0 = no record group starts here */
	bool encrypted;
};

uint32_t sc_redo_block_number(uint64_t lsn);
uint32_t sc_redo_block_epoch(uint64_t lsn);
void sc_redo_block_parse(const uint8_t *block, struct sc_redo_block *ret);

/* Write number and epoch of lsn, data_len and first_rec_group, then the crc;
 * the payload is the caller's. */
void sc_redo_block_seal(uint8_t *block, uint64_t lsn, uint16_t data_len,
			uint16_t first_rec_group);

enum sc_redo_verdict {
	SC_REDO_FULL,	   /* valid and complete */
	SC_REDO_PARTIAL,   /* valid, data length 12 to 511 */
	SC_REDO_FOREIGN,   /* another LSN's block, zeros or garbage */
	SC_REDO_TORN,	   /* ours, but crc or lengths are wrong */
	SC_REDO_ENCRYPTED, /* ours; the crc is inside the cipher text */
	SC_REDO_UNSUMMED,  /* ours, written with innodb_log_checksums=OFF */
};

/*
 * Is this the block of that LSN? lsn: multiple of 512. ret (may be NULL)
 * receives the header in every case.
 * Source: recv_scan_log_recs() in log/log0recv.cc; a data length outside 12 to
 * 512, which the server never writes, makes the block torn here.
 */
enum sc_redo_verdict sc_redo_block_judge(const uint8_t *block, uint64_t lsn,
					 struct sc_redo_block *ret);

/*
 * Cut a valid block to end_lsn, lsn + 12 <= end_lsn <= lsn + 512: data length,
 * zeros behind it, first_rec_group 0 when it lies behind, crc. A block that
 * ends there already stays as it is. Returns 0; -ERANGE when the block has
 * less data than that or end_lsn is outside; -EINVAL when it is not the valid
 * plain block of lsn.
 * Source: copy_to_write_ahead_buffer() in log/log0write.cc, which writes
 * incomplete blocks by the same rule.
 */
int sc_redo_block_cut(uint8_t *block, uint64_t lsn, uint64_t end_lsn);

/*
 * Make the block that holds no record yet, for an end at lsn + 12 where the
 * server had not written it: the next record group would start at 12.
 */
void sc_redo_block_empty(uint8_t *block, uint64_t lsn);

#endif
