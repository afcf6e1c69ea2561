/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page checksums of other settings and times, which the server still accepts:
 * innodb_checksum_algorithm = none and innodb, and the crc32 that big-endian
 * machines once wrote. Internal to io/pages.c.
 */
#ifndef SC_IO_PAGE_LEGACY_H
#define SC_IO_PAGE_LEGACY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * True when the page carries one of these checksums and it is right.
 * p: size bytes; the LSN words have been compared already.
 * Source: is_checksum_valid_{none,innodb,crc32}() in buf/checksum.cc.
 */
bool sc_page_legacy_plain(const uint8_t *p, uint32_t size);

/* The same for KEY_BLOCK_SIZE pages. Source: verify_zip_checksum(). */
bool sc_page_legacy_zip(const uint8_t *p, uint32_t size);

#endif
