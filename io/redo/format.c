/* SPDX-License-Identifier: GPL-2.0-only */
/* Parsing and making redo file headers, checkpoint slots and data blocks. */
#include "io/redo/format.h"

#include "io/crc32c.h"
#include "io/pages.h"

#include <errno.h>

/* Offsets. Source: storage/innobase/include/log0constants.h. */
enum {
	HEADER_FORMAT = 0,
	HEADER_UUID = 4,
	HEADER_START_LSN = 8,
	HEADER_CREATOR = 16,
	HEADER_FLAGS = 48,
	SLOT_LSN = 8,
	BLOCK_NUMBER = 0,
	BLOCK_DATA_LEN = 4,
	BLOCK_FIRST_REC_GROUP = 6,
	BLOCK_EPOCH = 8,
	BLOCK_CRC = SC_REDO_BLOCK - SC_REDO_BLOCK_TRAILER,
};

static const uint32_t blocks_per_epoch = 1u << 30; /* LOG_BLOCK_MAX_NO */
static const uint32_t flush_bit = 1u << 31; /* LOG_BLOCK_FLUSH_BIT_MASK */
static const uint16_t encrypt_bit = 0x8000; /* LOG_BLOCK_ENCRYPT_BIT_MASK */
static const uint32_t no_checksum_magic =
	0xdeadbeef; /* LOG_NO_CHECKSUM_MAGIC */

static bool crc_ok(const uint8_t *block)
{
	return sc_load_be32(block + BLOCK_CRC) ==
	       sc_crc32c(0, block, BLOCK_CRC);
}

static void crc_store(uint8_t *block)
{
	sc_store_be32(block + BLOCK_CRC, sc_crc32c(0, block, BLOCK_CRC));
}

int sc_redo_header_parse(const uint8_t *block, struct sc_redo_header *ret)
{
	ret->format = sc_load_be32(block + HEADER_FORMAT);
	ret->uuid = sc_load_be32(block + HEADER_UUID);
	ret->start_lsn = sc_load_be64(block + HEADER_START_LSN);
	memset(ret->creator, 0, sizeof(ret->creator));
	memcpy(ret->creator, block + HEADER_CREATOR, SC_REDO_CREATOR_MAX);
	ret->flags = sc_load_be32(block + HEADER_FLAGS);
	return crc_ok(block) ? 0 : -EBADMSG;
}

void sc_redo_header_encode(const struct sc_redo_header *header, uint8_t *block)
{
	memset(block, 0, SC_REDO_BLOCK);
	sc_store_be32(block + HEADER_FORMAT, header->format);
	sc_store_be32(block + HEADER_UUID, header->uuid);
	sc_store_be64(block + HEADER_START_LSN, header->start_lsn);
	memcpy(block + HEADER_CREATOR, header->creator,
	       strnlen(header->creator, SC_REDO_CREATOR_MAX));
	sc_store_be32(block + HEADER_FLAGS, header->flags);
	crc_store(block);
}

int sc_redo_slot_parse(const uint8_t *block, uint64_t *ret_lsn)
{
	*ret_lsn = sc_load_be64(block + SLOT_LSN);
	return crc_ok(block) ? 0 : -EBADMSG;
}

void sc_redo_slot_encode(uint64_t lsn, uint8_t *block)
{
	memset(block, 0, SC_REDO_BLOCK);
	sc_store_be64(block + SLOT_LSN, lsn);
	crc_store(block);
}

bool sc_redo_encryption_present(const uint8_t *block)
{
	return !sc_is_zero(block, SC_REDO_BLOCK);
}

uint32_t sc_redo_block_number(uint64_t lsn)
{
	return 1 + (uint32_t)(lsn / SC_REDO_BLOCK % blocks_per_epoch);
}

uint32_t sc_redo_block_epoch(uint64_t lsn)
{
	return 1 + (uint32_t)(lsn / SC_REDO_BLOCK / blocks_per_epoch);
}

void sc_redo_block_parse(const uint8_t *block, struct sc_redo_block *ret)
{
	uint16_t len = sc_load_be16(block + BLOCK_DATA_LEN);

	ret->number = sc_load_be32(block + BLOCK_NUMBER) & ~flush_bit;
	ret->epoch = sc_load_be32(block + BLOCK_EPOCH);
	ret->data_len = len & (uint16_t)~encrypt_bit;
	ret->first_rec_group = sc_load_be16(block + BLOCK_FIRST_REC_GROUP);
	ret->encrypted = len & encrypt_bit;
}

void sc_redo_block_seal(uint8_t *block, uint64_t lsn, uint16_t data_len,
			uint16_t first_rec_group)
{
	sc_store_be32(block + BLOCK_NUMBER, sc_redo_block_number(lsn));
	sc_store_be16(block + BLOCK_DATA_LEN, data_len);
	sc_store_be16(block + BLOCK_FIRST_REC_GROUP, first_rec_group);
	sc_store_be32(block + BLOCK_EPOCH, sc_redo_block_epoch(lsn));
	crc_store(block);
}

enum sc_redo_verdict sc_redo_block_judge(const uint8_t *block, uint64_t lsn,
					 struct sc_redo_block *ret)
{
	struct sc_redo_block b;

	sc_redo_block_parse(block, &b);
	if (ret)
		*ret = b;
	if (b.number != sc_redo_block_number(lsn) ||
	    b.epoch != sc_redo_block_epoch(lsn))
		return SC_REDO_FOREIGN;
	if (b.encrypted)
		return SC_REDO_ENCRYPTED;
	if (!crc_ok(block))
		return sc_load_be32(block + BLOCK_CRC) == no_checksum_magic
			       ? SC_REDO_UNSUMMED
			       : SC_REDO_TORN;
	if (b.data_len == SC_REDO_BLOCK)
		return SC_REDO_FULL;
	return b.data_len >= SC_REDO_BLOCK_HEADER && b.data_len < SC_REDO_BLOCK
		       ? SC_REDO_PARTIAL
		       : SC_REDO_TORN;
}

int sc_redo_block_cut(uint8_t *block, uint64_t lsn, uint64_t end_lsn)
{
	uint64_t keep = end_lsn - lsn;
	struct sc_redo_block b;

	if (end_lsn < lsn + SC_REDO_BLOCK_HEADER || keep > SC_REDO_BLOCK)
		return -ERANGE;
	switch (sc_redo_block_judge(block, lsn, &b)) {
	case SC_REDO_FULL:
	case SC_REDO_PARTIAL:
		break;
	default:
		return -EINVAL;
	}
	if (b.data_len < keep)
		return -ERANGE;
	if (b.data_len == keep)
		return 0;
	if (b.first_rec_group > keep)
		b.first_rec_group = 0;
	memset(block + keep, 0, SC_REDO_BLOCK - keep);
	sc_redo_block_seal(block, lsn, (uint16_t)keep, b.first_rec_group);
	return 0;
}

void sc_redo_block_empty(uint8_t *block, uint64_t lsn)
{
	memset(block, 0, SC_REDO_BLOCK);
	sc_redo_block_seal(block, lsn, SC_REDO_BLOCK_HEADER,
			   SC_REDO_BLOCK_HEADER);
}
