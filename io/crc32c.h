/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRC-32C (Castagnoli), the checksum of InnoDB's pages and redo blocks. Uses
 * the processor's instruction when it has one (x86-64 with SSE4.2 and
 * PCLMULQDQ), else tables; the choice is made per call from what the C
 * library found out at start, so there is no state here.
 */
#ifndef SC_IO_CRC32C_H
#define SC_IO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC of len bytes at p, continuing crc (the result for the bytes before; 0 to
 * begin). Inverted before and after, so that sc_crc32c(0, p, len) is what
 * InnoDB's ut_crc32() returns: 0xe3069283 for "123456789".
 * p: any alignment; may be NULL when len is 0. Thread rule: any thread.
 * Source: RFC 3720 appendix B.4; storage/innobase/ut/crc32.cc.
 */
uint32_t sc_crc32c(uint32_t crc, const void *p, size_t len);

/* The same by tables only: the fallback, also the reference in tests. */
uint32_t sc_crc32c_tables(uint32_t crc, const void *p, size_t len);

#endif
