/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page size from page 0, and the verdict over a page. The checksums of other
 * times are in page_legacy.c: they are tried only after crc32 failed, so they
 * cost nothing on sound pages.
 */
#include "io/pages.h"

#include "io/crc32c.h"
#include "io/page_legacy.h"
#include "io/page_open.h"

/* Offsets in a page. Source: storage/innobase/include/fil0types.h. */
enum {
	OFF_CHECKSUM = 0,
	OFF_PAGE_NO = 4,
	OFF_LSN = 16,
	OFF_TYPE = 24,
	OFF_FLUSH_LSN = 26,
	OFF_SPACE = 34,
	OFF_DATA = 38,
	TRAILER = 8,
};

/* FSP header of page 0. Source: fsp0fsp.h (FSP_SPACE_ID, FSP_SPACE_FLAGS). */
enum { OFF_FSP_SPACE = 38, OFF_FSP_FLAGS = 54 };

/* Bits of the FSP flags. Source: fsp0types.h, "Tablespace Flag Constants". */
enum {
	FLAG_POST_ANTELOPE = 1 << 0,
	FLAG_ATOMIC_BLOBS = 1 << 5,
	FLAG_DATA_DIR = 1 << 10,
	FLAG_SHARED = 1 << 11,
	FLAG_TEMPORARY = 1 << 12,
	FLAG_ENCRYPTION = 1 << 13,
	FLAGS_KNOWN = (1 << 15) - 1,
	ZIP_SSIZE_SHIFT = 1,
	PAGE_SSIZE_SHIFT = 6,
	SSIZE_MASK = 15,
	ZIP_SSIZE_MAX = 5,  /* PAGE_ZIP_SSIZE_MAX: 16 KiB */
	PAGE_SSIZE_MIN = 3, /* UNIV_PAGE_SSIZE_MIN: 4 KiB */
	PAGE_SSIZE_MAX = 7, /* UNIV_PAGE_SSIZE_MAX: 64 KiB */
	PAGE_SIZE_ORIG = 16384,
};

bool sc_is_zero(const void *p, size_t len)
{
	const uint8_t *s = p;
	uint64_t any = 0;

	for (; len >= 64 && !any; s += 64, len -= 64)
		any = sc_load_le64(s) | sc_load_le64(s + 8) |
		      sc_load_le64(s + 16) | sc_load_le64(s + 24) |
		      sc_load_le64(s + 32) | sc_load_le64(s + 40) |
		      sc_load_le64(s + 48) | sc_load_le64(s + 56);
	for (; len && !any; s++, len--)
		any = *s;
	return !any;
}

const char *sc_page_verdict_name(enum sc_page_verdict verdict)
{
	static const char *const names[] = {
		[SC_PAGE_OK] = "ok",
		[SC_PAGE_ZERO] = "zero",
		[SC_PAGE_UNCHECKED] = "unchecked",
		[SC_PAGE_ENCRYPTED] = "encrypted",
		[SC_PAGE_BAD] = "bad",
		[SC_PAGE_MISPLACED] = "misplaced",
	};

	return (unsigned)verdict < SC_ARRAY_SIZE(names) ? names[verdict] : "?";
}

/* Twin of fsp_flags_is_valid(). */
static bool flags_valid(uint32_t flags)
{
	uint32_t zip = flags >> ZIP_SSIZE_SHIFT & SSIZE_MASK;
	uint32_t size = flags >> PAGE_SSIZE_SHIFT & SSIZE_MASK;
	bool temporary = flags & FLAG_TEMPORARY;

	if (flags & ~(uint32_t)FLAGS_KNOWN)
		return false;
	if (!(flags & FLAG_POST_ANTELOPE) != !(flags & FLAG_ATOMIC_BLOBS))
		return false;
	if (zip > ZIP_SSIZE_MAX || size > PAGE_SSIZE_MAX)
		return false;
	if (size && size < PAGE_SSIZE_MIN)
		return false;
	if ((flags & FLAG_DATA_DIR) && (temporary || (flags & FLAG_SHARED)))
		return false;
	return !((flags & FLAG_ENCRYPTION) && temporary);
}

static void spec_from_flags(struct sc_page_spec *spec, uint32_t flags)
{
	uint32_t zip = flags >> ZIP_SSIZE_SHIFT & SSIZE_MASK;
	uint32_t size = flags >> PAGE_SSIZE_SHIFT & SSIZE_MASK;

	spec->flags = flags;
	spec->encrypted = flags & FLAG_ENCRYPTION;
	spec->compressed = zip != 0;
	spec->logical_size = size ? 512u << size : PAGE_SIZE_ORIG;
	spec->physical_size = zip ? 512u << zip : spec->logical_size;
	spec->key = NULL;
}

bool sc_page_spec_from_flags(uint32_t flags, uint32_t space_id,
			     struct sc_page_spec *ret)
{
	*ret = (struct sc_page_spec){ .space_id = space_id };
	if (!flags_valid(flags))
		return false;
	spec_from_flags(ret, flags);
	return ret->physical_size <= ret->logical_size;
}

int sc_page_spec_read(const void *page0, size_t len, struct sc_page_spec *ret,
		      struct sc_err *err)
{
	const uint8_t *p = page0;
	uint32_t flags, space;

	if (len < SC_PAGE0_NEEDED)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "not a tablespace: only %zu bytes", len);
	if (sc_is_zero(p, len))
		return 1;
	flags = sc_load_be32(p + OFF_FSP_FLAGS);
	space = sc_load_be32(p + OFF_FSP_SPACE);
	/* The page 0 that a new file is created with has no type yet. Source:
	 * fil_create_tablespace() in fil/fil0fil.cc. */
	if (sc_page_no(p) || (sc_page_type(p) != SC_PAGE_TYPE_FSP_HDR &&
			      sc_page_type(p) != SC_PAGE_TYPE_ALLOCATED))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "not page 0 of a tablespace: page number %u, "
				  "page type %u",
				  sc_page_no(p), sc_page_type(p));
	if (sc_page_space(p) != space)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "page 0 is damaged: space id %u in its header"
				  " but %u in its body",
				  sc_page_space(p), space);
	if (!flags_valid(flags))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "page 0 of space %u is damaged or newer than "
				  "this program: flags 0x%x",
				  space, flags);
	spec_from_flags(ret, flags);
	ret->space_id = space;
	ret->first_page = 0;
	if (ret->physical_size > ret->logical_size)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "page 0 of space %u is damaged: compressed "
				  "page size %u above page size %u",
				  space, ret->physical_size, ret->logical_size);
	return 0;
}

/* Source: buf_calc_page_crc32(). */
static uint32_t plain_crc(const uint8_t *p, uint32_t size)
{
	return sc_crc32c(0, p + OFF_PAGE_NO, OFF_FLUSH_LSN - OFF_PAGE_NO) ^
	       sc_crc32c(0, p + OFF_DATA, size - OFF_DATA - TRAILER);
}

/* Zero but for bytes 26-33, which page compression uses on empty pages too:
 * sound for the server. */
static bool is_empty_page(const uint8_t *p, uint32_t size)
{
	return sc_is_zero(p, OFF_FLUSH_LSN) &&
	       sc_is_zero(p + OFF_SPACE, size - OFF_SPACE);
}

static enum sc_page_verdict check_plain(const uint8_t *p, uint32_t size)
{
	uint32_t sum1 = sc_load_be32(p + OFF_CHECKSUM);
	uint32_t sum2 = sc_load_be32(p + size - TRAILER);

	if (memcmp(p + OFF_LSN + 4, p + size - 4, 4))
		return SC_PAGE_BAD;
	if (sum1 == 0 && sum2 == 0 && sc_page_lsn(p) == 0)
		return is_empty_page(p, size) ? SC_PAGE_OK : SC_PAGE_BAD;
	if (sum1 == sum2 && sum1 == plain_crc(p, size))
		return SC_PAGE_OK;
	return sc_page_legacy_plain(p, size) ? SC_PAGE_OK : SC_PAGE_BAD;
}

/* Source: BlockReporter::calc_zip_checksum() and verify_zip_checksum(). */
static enum sc_page_verdict check_zip(const uint8_t *p, uint32_t size)
{
	uint32_t sum = sc_load_be32(p + OFF_CHECKSUM);
	uint32_t crc;

	/* The server takes such a page for empty or corrupt, never for one
	 * whose checksum happens to be 0. */
	if (sum == 0 && sc_page_lsn(p) == 0)
		return SC_PAGE_BAD;
	crc = sc_crc32c(0, p + OFF_PAGE_NO, OFF_LSN - OFF_PAGE_NO) ^
	      sc_crc32c(0, p + OFF_TYPE, 2) ^
	      sc_crc32c(0, p + OFF_SPACE, size - OFF_SPACE);
	if (sum == crc)
		return SC_PAGE_OK;
	return sc_page_legacy_zip(p, size) ? SC_PAGE_OK : SC_PAGE_BAD;
}

static enum sc_page_verdict check_body(const struct sc_page_spec *spec,
				       const uint8_t *p)
{
	return spec->compressed ? check_zip(p, spec->physical_size)
				: check_plain(p, spec->physical_size);
}

/* A page of types 14 to 17, whose checksum is that of the plain page. */
static enum sc_page_verdict check_closed(const struct sc_page_spec *spec,
					 const uint8_t *p,
					 struct sc_page_opener *opener)
{
	bool encrypted = sc_page_type(p) != SC_PAGE_TYPE_COMPRESSED;
	enum sc_page_verdict v;

	if (encrypted && !spec->encrypted && !spec->key)
		return SC_PAGE_BAD;
	if (opener) {
		v = sc_page_open(opener, spec, p, &p);
		return v == SC_PAGE_OK ? check_body(spec, p) : v;
	}
	if (encrypted)
		return SC_PAGE_ENCRYPTED;
	return sc_page_control_ok(spec, p) ? SC_PAGE_UNCHECKED : SC_PAGE_BAD;
}

enum sc_page_verdict sc_page_check(const struct sc_page_spec *spec,
				   const void *page,
				   struct sc_page_opener *opener)
{
	const uint8_t *p = page;
	uint16_t type = sc_page_type(p);

	if (!sc_load_le64(p) && sc_is_zero(p, spec->physical_size))
		return SC_PAGE_ZERO;
	if (type >= SC_PAGE_TYPE_COMPRESSED &&
	    type <= SC_PAGE_TYPE_ENCRYPTED_RTREE)
		return check_closed(spec, p, opener);
	return check_body(spec, p);
}

/* Pages of an extent. Source: FSP_EXTENT_SIZE in fsp0types.h. */
static uint32_t extent_pages(uint32_t page_size)
{
	return SC_MAX(64u, 1048576 / page_size);
}

/* Source: create_v1() in buf0dblwr.cc: the two extents after the first. */
static bool in_old_doublewrite(const struct sc_page_spec *spec,
			       uint32_t page_no)
{
	uint32_t n = extent_pages(spec->logical_size);

	return page_no >= n && page_no < 3 * n;
}

static bool in_place(const struct sc_page_spec *spec, const void *page,
		     uint32_t page_no)
{
	uint32_t no = sc_page_no(page), space = sc_page_space(page);

	if (no == page_no && space == spec->space_id)
		return true;
	if (no == 0 && space == 0)
		return true;
	return no == page_no && spec->space_id == 0;
}

enum sc_page_verdict sc_page_check_at(const struct sc_page_spec *spec,
				      const void *page, uint32_t page_no,
				      struct sc_page_opener *opener)
{
	enum sc_page_verdict v = sc_page_check(spec, page, opener);

	if (v == SC_PAGE_ZERO)
		return v;
	if (spec->space_id == 0 && in_old_doublewrite(spec, page_no))
		return v == SC_PAGE_BAD ? SC_PAGE_UNCHECKED : v;
	if (v != SC_PAGE_BAD && !in_place(spec, page, page_no))
		return SC_PAGE_MISPLACED;
	return v;
}
