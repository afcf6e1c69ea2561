/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page cache of the donor's host, left as it was: what a buffered read
 * brought in is dropped again, what was there stays. And holes. Any thread.
 */
#ifndef SC_CACHE_H
#define SC_CACHE_H

#include <stdbool.h>
#include <stdint.h>

/* True when any page of the range is in the page cache, or nobody can tell.
 * Source: cachestat(2), Linux 6.5; before it mincore(2). */
bool sc_cache_has(int fd, uint64_t off, uint64_t len);

/* Drop the range's clean pages. Source: posix_fadvise(2). */
void sc_cache_drop(int fd, uint64_t off, uint64_t len);

/* True when the range lies within the file, in one hole or behind the last
 * data. Unwritten extents count as holes. Source: lseek(2), SEEK_DATA. */
bool sc_range_is_hole(int fd, uint64_t off, uint64_t len);

#endif
