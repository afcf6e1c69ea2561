/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A temporary directory with files and InnoDB pages for tests, and the counts
 * that show what a test left open.
 */
#ifndef SC_TESTS_DIR_FIXTURE_H
#define SC_TESTS_DIR_FIXTURE_H

#include "io/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dir_fixture {
	char path[64]; /* removed with all below it by dir_fixture_close() */
	int fd;
};

void dir_fixture_open(struct dir_fixture *dir);
void dir_fixture_close(struct dir_fixture *dir);

/* Create a file beneath dirfd, its directories too. data NULL: len bytes of
 * hole. */
void dir_fixture_put(int dirfd, const char *path, const void *data, size_t len);

/* Read a whole file; *ret is malloc'ed. -1 when it is not there. */
int dir_fixture_get(int dirfd, const char *path, uint8_t **ret, size_t *len);

/* True when something of that name is there (links are not followed). */
bool dir_fixture_has(int dirfd, const char *path);

/* FSP flags of page 0. */
enum {
	FX_FLAGS_PLAIN = 0x4021, /* 16 KiB */
	FX_FLAGS_ZIP_1K = 0x4023,
	FX_FLAGS_ENCRYPTED = 0x6021,
};

/* The spec that a page 0 with these flags gives. */
struct sc_page_spec fx_spec(uint32_t flags, uint32_t space_id);

/* Make a sound page of spec->physical_size bytes: page 0 with its FSP header,
 * others full of bytes that follow from number and LSN. */
void fx_page(const struct sc_page_spec *spec, uint32_t page_no, uint64_t lsn,
	     uint8_t *page);

/* n_pages of them, malloc'ed. */
uint8_t *fx_pages(const struct sc_page_spec *spec, uint32_t n_pages,
		  uint64_t lsn);

/* Open descriptors and threads of this process. */
unsigned fx_count_fds(void);
unsigned fx_count_threads(void);

/* No more than n threads: one that was joined is in /proc for another moment,
 * which is waited for (5 s at most). */
bool fx_threads_at_most(unsigned n);

#endif
