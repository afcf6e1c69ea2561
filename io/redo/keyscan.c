/* SPDX-License-Identifier: GPL-2.0-only */
/* Encryption information in redo; see keyscan.h. */
#include "io/redo/keyscan.h"

#include "io/base/num.h"
#include "io/redo/records.h"

#include <string.h>

/* Does a record that writes to page 0 of a space end before p? */
static bool is_record(const uint8_t *p, uint32_t *ret_space)
{
	if (sc_load_be16(p - 2) != SC_KEY_INFO_SIZE || p[-5] != 0)
		return false;
	for (unsigned i = 0; i < SC_REDO_INT_FORMS; i++) {
		size_t len = sc_redo_int_before(p - 5, i, ret_space);

		if (len && (p[-6 - (ptrdiff_t)len] &
			    (uint8_t)~SC_REDO_SINGLE) == SC_REDO_WRITE_STRING)
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
