/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Redo blocks: judged, cut, opened and closed, searched for keys; file headers
 * and checkpoint slots. Input: u8 options, u64 LSN, u16 where to cut, blocks.
 */
#include "tests/fuzz/fuzz.h"

#include "io/crc32c.h"
#include "io/redo/cipher.h"
#include "io/redo/keyscan.h"
#include "io/redo/notes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 1, SEAL = 2, ENCRYPT = 4 };

static const struct sc_space_key key = { { 1, 2, 3 }, { 4, 5, 6 } };

static int found(void *ctx, uint32_t space_id, const uint8_t *info,
		 struct sc_err *err)
{
	struct sc_key_info parsed;

	(void)ctx;
	(void)space_id;
	if (sc_key_info_parse(info, &parsed, err) < 0)
		*err = (struct sc_err)SC_ERR_INIT;
	return 0;
}

/* Its place and checksum made right, as the options say. */
static void prepare(uint8_t *block, uint64_t lsn, uint8_t options)
{
	if (options & NUMBER) {
		sc_store_be32(block, sc_redo_block_number(lsn));
		sc_store_be32(block + 8, sc_redo_block_epoch(lsn));
	}
	if (options & SEAL)
		sc_store_be32(block + 508, sc_crc32c(0, block, 508));
}

static void try_cut(struct sc_redo_cipher *c, const uint8_t *block,
		    uint64_t lsn, uint64_t end)
{
	uint8_t cut[SC_REDO_BLOCK], plain[SC_REDO_BLOCK];
	enum sc_redo_verdict v;
	struct sc_redo_block b;

	memcpy(cut, block, sizeof(cut));
	if (sc_redo_cipher_cut(c, cut, lsn, end) != 0)
		return;
	v = sc_redo_cipher_judge(c, cut, lsn, NULL, plain);
	FUZZ_CHECK(v == (end - lsn == SC_REDO_BLOCK ? SC_REDO_FULL
						    : SC_REDO_PARTIAL));
	sc_redo_block_parse(plain, &b);
	FUZZ_CHECK(b.data_len == end - lsn &&
		   (!b.first_rec_group || b.first_rec_group <= b.data_len ||
		    !memcmp(cut, block, sizeof(cut))));
}

/* plain: receives the clear text. True: it is a block of that LSN. */
static bool try_block(struct sc_redo_cipher *c, uint8_t *block, uint64_t lsn,
		      uint64_t end, uint8_t options, uint8_t *plain)
{
	uint8_t closed[SC_REDO_BLOCK], open[SC_REDO_BLOCK];
	enum sc_redo_verdict v;

	prepare(block, lsn, options);
	if (options & ENCRYPT) {
		memcpy(open, block, sizeof(open));
		open[4] &= 0x7f;
		prepare(open, lsn, options);
		FUZZ_CHECK(sc_redo_cipher_seal(c, open, block) == 0 &&
			   sc_redo_cipher_open(c, block, closed) == 0 &&
			   !memcmp(open, closed, sizeof(open)));
	}
	try_cut(c, block, lsn, end);
	try_cut(NULL, block, lsn, end);
	v = sc_redo_cipher_judge(c, block, lsn, NULL, plain);
	FUZZ_CHECK(v != SC_REDO_ENCRYPTED);
	if (v != SC_REDO_FULL && v != SC_REDO_PARTIAL)
		return false;
	FUZZ_CHECK(sc_redo_block_judge(plain, lsn, NULL) == v);
	return true;
}

static void try_header(const uint8_t *block)
{
	struct sc_redo_header header;
	uint64_t lsn;

	(void)sc_redo_header_parse(block, &header);
	FUZZ_CHECK(memchr(header.creator, 0, sizeof(header.creator)));
	(void)sc_redo_slot_parse(block, &lsn);
	(void)sc_redo_encryption_present(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t options = fuzz_u8(&in);
	uint64_t lsn = sc_redo_align(fuzz_u64(&in) >> 2) + SC_REDO_START_LSN;
	unsigned cut = fuzz_u8(&in) | fuzz_u8(&in) << 8;
	struct sc_redo_cipher *c = sc_redo_cipher_new(&key);
	struct sc_redo_notes *notes = sc_redo_notes_new();
	struct sc_redo_keyscan scan = { 0 };
	struct sc_err err = SC_ERR_INIT;

	FUZZ_CHECK(c && notes);
	for (unsigned i = 0; in.left && i < 64; i++) {
		uint8_t *block = fuzz_take(&in, SC_REDO_BLOCK);
		uint8_t plain[SC_REDO_BLOCK];

		try_header(block);
		if (try_block(c, block, lsn, lsn + cut % 600, options, plain)) {
			FUZZ_CHECK(sc_redo_keyscan_block(&scan, plain, found,
							 NULL, &err) == 0);
			FUZZ_CHECK(sc_redo_notes_block(notes, plain, lsn,
						       &err) == 0);
		}
		lsn += SC_REDO_BLOCK;
		free(block);
	}
	sc_redo_notes_free(notes);
	sc_redo_cipher_free(c);
	return 0;
}
