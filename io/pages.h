/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * InnoDB data pages as they lie in tablespace files: page size from page 0,
 * and the check of one page by the server's own rules (buf/checksum.cc): it was
 * written completely, not damaged since, and is the page that belongs there.
 * No state, no allocation: any thread (a struct sc_page_opener belongs to one).
 *
 * What the checksums do not cover (a flipped bit there is not found here):
 * bytes 26-33 of a plain page (flush LSN or R-tree sequence number), the LSN
 * and bytes 26-33 of a KEY_BLOCK_SIZE page, and what lies behind the
 * compressed data of a page-compressed page. The space id (34-37) is compared
 * with that of page 0.
 */
#ifndef SC_IO_PAGES_H
#define SC_IO_PAGES_H

#include "io/base/err.h"
#include "io/base/num.h"

#include <stddef.h>

enum {
	SC_PAGE_SIZE_MIN = 1024, /* KEY_BLOCK_SIZE=1 */
	SC_PAGE_SIZE_MAX = 65536,
	/* Bytes of page 0 that sc_page_spec_read() needs. */
	SC_PAGE0_NEEDED = 58,
};

/* Page types. Source: storage/innobase/include/fil0fil.h. */
enum sc_page_type {
	SC_PAGE_TYPE_ALLOCATED = 0,
	SC_PAGE_TYPE_FSP_HDR = 8,
	SC_PAGE_TYPE_COMPRESSED = 14,
	SC_PAGE_TYPE_ENCRYPTED = 15,
	SC_PAGE_TYPE_COMPRESSED_AND_ENCRYPTED = 16,
	SC_PAGE_TYPE_ENCRYPTED_RTREE = 17,
};

/* A tablespace's own key and iv, of which a page uses the first 16 bytes, as
 * page 0 and the redo header store them under the master key.
 * Source: Encryption::KEY_LEN in os0enc.h. */
struct sc_space_key {
	uint8_t key[32];
	uint8_t iv[32];
};

/* What page 0 says about the pages of its tablespace. */
struct sc_page_spec {
	uint32_t physical_size; /* bytes on disk, 1 KiB to 64 KiB */
	uint32_t logical_size;	/* bytes in memory, innodb_page_size */
	bool compressed;	/* ROW_FORMAT=COMPRESSED (KEY_BLOCK_SIZE) */
	bool encrypted;		/* pages may be encrypted */
	uint32_t space_id;
	uint32_t flags; /* FSP flags as stored */
	/* Number of the file's first page: not 0 in the second and further
	 * files of the system tablespace. Set by the caller, as is the key. */
	uint32_t first_page;
	const struct sc_space_key *key; /* borrowed; NULL: not known */
};

/*
 * Read the spec from the first bytes of page 0 of a tablespace.
 * page0: len bytes, at least SC_PAGE0_NEEDED. Returns 0; 1 when those len
 * bytes are all zero (a file just created: nothing to be said yet); -1 when
 * this is not a page 0 (also: the second file of the system tablespace, which
 * has no page 0: use the first file's spec). The checksum is not looked at.
 * Source: fsp_flags_is_valid() in fsp0fsp.ic, fsp0types.h, page0size.h.
 */
int sc_page_spec_read(const void *page0, size_t len, struct sc_page_spec *ret,
		      struct sc_err *err);

/*
 * The spec that a page 0 with these FSP flags and space id gives, for when
 * page 0 itself is not there to be read. False: no page 0 has such flags.
 */
bool sc_page_spec_from_flags(uint32_t flags, uint32_t space_id,
			     struct sc_page_spec *ret);

enum sc_page_verdict {
	SC_PAGE_OK,
	SC_PAGE_ZERO,	   /* all zero bytes: never written, may be a hole */
	SC_PAGE_UNCHECKED, /* not to be verified: see sc_page_check() */
	SC_PAGE_ENCRYPTED, /* types 15-17, and the key is not known */
	SC_PAGE_BAD,	   /* torn or damaged */
	SC_PAGE_MISPLACED, /* whole, but another page than belongs here */
};

struct sc_page_opener; /* io/page_open.h */

/*
 * Check one page's bytes. page: spec->physical_size bytes, any alignment.
 * opener: decrypts and decompresses pages of types 14-17; the caller's own,
 * NULL: these are looked at superficially and UNCHECKED or ENCRYPTED.
 * Plain pages: the low word of the LSN twice, and the crc32 checksum, twice;
 * the older algorithms "none" and "innodb" and the crc32 of big-endian
 * machines are accepted as the server accepts them with its default setting.
 * UNCHECKED with an opener: compressed and encrypted by MySQL 5.7.
 * BAD also means an encrypted or page-compressed type where the spec has no
 * such pages (one flipped bit makes them): on a running server read the spec
 * again before believing it, ALTER TABLE may have switched encryption on.
 * Source: BlockReporter::is_corrupted() in buf/checksum.cc; pages are decrypted
 * and decompressed before: os_file_io_complete() in os0file.cc.
 */
enum sc_page_verdict sc_page_check(const struct sc_page_spec *spec,
				   const void *page,
				   struct sc_page_opener *opener);

/*
 * The same, and that it is page number page_no of the spec's tablespace; else
 * MISPLACED. As the server judges: a page that says it is page 0 of space 0 is
 * taken for one that was never initialised; the space id is not compared in
 * the system tablespace (id 0). The two extents there that were the
 * doublewrite buffer before 8.0.20 hold copies of other pages, or halves of
 * them: what is not sound there is UNCHECKED.
 * Source: buf_page_io_complete() in buf0buf.cc, dblwr::v1::is_inside().
 */
enum sc_page_verdict sc_page_check_at(const struct sc_page_spec *spec,
				      const void *page, uint32_t page_no,
				      struct sc_page_opener *opener);

/* "ok", "zero", ... for messages. */
const char *sc_page_verdict_name(enum sc_page_verdict verdict);

/* True when len bytes at p are all zero. */
bool sc_is_zero(const void *p, size_t len);

/* Header fields. Source: storage/innobase/include/fil0types.h. All but those
 * of encrypted pages' bodies are in clear on every kind of page. */
static inline uint32_t sc_page_no(const void *page)
{
	return sc_load_be32((const uint8_t *)page + 4);
}

static inline uint64_t sc_page_lsn(const void *page)
{
	return sc_load_be64((const uint8_t *)page + 16);
}

static inline uint16_t sc_page_type(const void *page)
{
	return sc_load_be16((const uint8_t *)page + 24);
}

static inline uint32_t sc_page_space(const void *page)
{
	return sc_load_be32((const uint8_t *)page + 34);
}

/* Of page 0: pages of the tablespace. Source: FSP_SIZE in fsp0fsp.h. */
static inline uint32_t sc_page_space_size(const void *page0)
{
	return sc_load_be32((const uint8_t *)page0 + 46);
}

#endif
