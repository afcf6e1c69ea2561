/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opening a page: an encrypted or page-compressed page is decrypted and
 * decompressed into memory of the opener, where its checksum can be verified:
 * InnoDB's checksums are of the plain page. Allocated once per stream; one
 * thread at a time.
 */
#ifndef SC_IO_PAGE_OPEN_H
#define SC_IO_PAGE_OPEN_H

#include "io/pages.h"

/* NULL when out of memory. sc_page_opener_free() takes NULL and clears what
 * was decrypted. */
struct sc_page_opener *sc_page_opener_new(void);
void sc_page_opener_free(struct sc_page_opener *opener);

/*
 * Open a page of type 14 to 17 of a spec that may have such pages.
 * page: spec->physical_size bytes, not changed. Returns SC_PAGE_OK and in *ret
 * the plain page, valid until the opener's next use, of which everything but
 * the checksum has been looked at; SC_PAGE_ENCRYPTED when the spec has no key;
 * SC_PAGE_UNCHECKED for pages of MySQL 5.7 that are compressed and encrypted
 * (version 1: what was encrypted depends on the block size of the file system
 * they were written to); SC_PAGE_BAD.
 */
enum sc_page_verdict sc_page_open(struct sc_page_opener *opener,
				  const struct sc_page_spec *spec,
				  const void *page, const uint8_t **ret);

/*
 * Look at the control data of a page of type 14 or 16 without decompressing
 * it. False: damaged.
 */
bool sc_page_control_ok(const struct sc_page_spec *spec, const void *page);

/*
 * Bytes of a sound page, counted from its begin, that the server reads: fewer
 * than spec->physical_size for page-compressed ones.
 */
uint32_t sc_page_used_len(const struct sc_page_spec *spec, const void *page);

#endif
