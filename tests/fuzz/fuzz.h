/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the fuzz targets share. A target is a file fuzz_NAME.c with
 * LLVMFuzzerTestOneInput(): it takes any bytes, gives them to one parser and
 * checks what must hold of the result whatever the bytes are. It is linked
 * with libFuzzer (make fuzz), or with replay.c, which runs the seeds of
 * tests/fuzz/seeds/NAME and changed copies of them (make check).
 *
 * Where a checksum would keep everything else from being reached, a target
 * makes it right before the parser sees it; one bit of the input says not to.
 */
#ifndef SC_FUZZ_H
#define SC_FUZZ_H

#include "io/conn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Must hold, in every build; else the process aborts and names it. */
#define FUZZ_CHECK(condition)                                                  \
	do {                                                                   \
		if (!(condition))                                              \
			fuzz_failed(__FILE__, __LINE__, #condition);           \
	} while (0)
_Noreturn void fuzz_failed(const char *file, int line, const char *condition);

/* Takes the input apart; zeroes behind its end. */
struct fuzz_in {
	const uint8_t *p;
	size_t left;
};

uint8_t fuzz_u8(struct fuzz_in *in);
uint32_t fuzz_u32(struct fuzz_in *in); /* little-endian, as the next */
uint64_t fuzz_u64(struct fuzz_in *in);
/* All that is left, copied and followed by a NUL; to be freed. */
char *fuzz_text(const struct fuzz_in *in);
/* len bytes, filled up with zeroes; to be freed. Exactly so long, for ASan. */
uint8_t *fuzz_take(struct fuzz_in *in, size_t len);

/* A connection on which these bytes come, then the peer hangs up; what is
 * written goes nowhere. */
struct fuzz_conn {
	struct sc_conn base;
	struct fuzz_in in;
};
void fuzz_conn_init(struct fuzz_conn *conn, const uint8_t *data, size_t size);

/* An unnamed file with these bytes, its offset at the begin; to be closed. */
int fuzz_file(const void *data, size_t size);

/* The descriptor of a directory of the process, made empty; in memory where
 * /dev/shm is. Removed when the process ends in order. */
int fuzz_dir(void);
/* Its parent. */
int fuzz_parent(void);
/* Its name there. */
extern const char fuzz_dir_name[];
void fuzz_put(int dir, const char *name, const void *data, size_t size);

/* Sleeps take no time: they only move the clock. */

#endif
