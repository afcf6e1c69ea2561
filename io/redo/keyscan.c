/* SPDX-License-Identifier: GPL-2.0-only */
/* Encryption information in redo; see keyscan.h. */
#include "io/redo/keyscan.h"

#include "io/base/num.h"

#include <string.h>

enum { WRITE_STRING = 30, SINGLE_RECORD = 0x80 };

/* InnoDB's compressed integers: the first byte tells the form. */
static const struct {
	uint8_t mask, tag, len;
	uint32_t high; /* bits that are not stored */
} forms[] = {
	{ 0x80, 0x00, 1, 0 },	       { 0xc0, 0x80, 2, 0 },
	{ 0xe0, 0xc0, 3, 0 },	       { 0xf0, 0xe0, 4, 0 },
	{ 0xff, 0xf0, 5, 0 },	       { 0xfc, 0xf8, 2, 0xfffffc00 },
	{ 0xfe, 0xfc, 3, 0xfffe0000 }, { 0xff, 0xfe, 4, 0xff000000 },
};

/* The compressed integer that ends before `end` and begins with form i. */
static uint32_t value(const uint8_t *end, size_t i)
{
	const uint8_t *p = end - forms[i].len;
	uint32_t v = *p & (uint8_t)~forms[i].mask;

	for (p++; p < end; p++)
		v = v << 8 | *p;
	return v | forms[i].high;
}

/* Does a record that writes to page 0 of a space end before p? */
static bool is_record(const uint8_t *p, uint32_t *ret_space)
{
	if (sc_load_be16(p - 2) != SC_KEY_INFO_SIZE || p[-5] != 0)
		return false;
	for (size_t i = 0; i < SC_ARRAY_SIZE(forms); i++) {
		const uint8_t *space = p - 5 - forms[i].len;

		if ((space[0] & forms[i].mask) != forms[i].tag ||
		    (space[-1] & (uint8_t)~SINGLE_RECORD) != WRITE_STRING)
			continue;
		*ret_space = value(p - 5, i);
		return true;
	}
	return false;
}

static int look_at(const uint8_t *p, sc_redo_keyscan_fn *found, void *ctx,
		   struct sc_err *err)
{
	uint8_t info[SC_KEY_INFO_MAX] = { 0 };
	uint32_t space;

	if (p[1] != 'C' || p[2] < 'A' || p[2] > 'C' || !is_record(p, &space))
		return 0;
	memcpy(info, p, SC_KEY_INFO_SIZE);
	return found(ctx, space, info, err);
}

int sc_redo_keyscan_block(struct sc_redo_keyscan *scan, const uint8_t *plain,
			  sc_redo_keyscan_fn *found, void *ctx,
			  struct sc_err *err)
{
	struct sc_redo_block b;
	const uint8_t *p, *end;
	size_t len, keep;

	sc_redo_block_parse(plain, &b);
	len = SC_MIN(b.data_len, SC_REDO_BLOCK - SC_REDO_BLOCK_TRAILER) -
	      SC_REDO_BLOCK_HEADER;
	memcpy(scan->buf + scan->len, plain + SC_REDO_BLOCK_HEADER, len);
	scan->len += len;
	if (scan->len <= SC_KEYSCAN_KEEP)
		return 0;
	p = scan->buf + SC_KEYSCAN_BEFORE;
	end = scan->buf + scan->len - SC_KEY_INFO_SIZE + 1;
	while ((p = memchr(p, 'l', (size_t)(end - p)))) {
		if (look_at(p++, found, ctx, err) < 0)
			return -1;
		if (p >= end)
			break;
	}
	keep = SC_KEYSCAN_KEEP;
	memmove(scan->buf, scan->buf + scan->len - keep, keep);
	scan->len = keep;
	return 0;
}
