/* SPDX-License-Identifier: GPL-2.0-only */
/* See frames.h. */
#include "tests/fuzz/frames.h"

#include "io/frame.h"
#include "tests/fuzz/fuzz.h"

uint8_t *fuzz_frames(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t *copy = fuzz_take(&in, size), *p = copy;
	size_t left = size;

	while (left >= SC_FRAME_HEADER_SIZE) {
		uint64_t body = sc_load_le32(p + 8);
		uint64_t rest = body + sc_load_le32(p + 12);

		if (body > left - SC_FRAME_HEADER_SIZE)
			break;
		sc_store_le64(p + 16,
			      sc_digest64(p, 16, p + SC_FRAME_HEADER_SIZE,
					  (size_t)body));
		rest = SC_MIN(rest, left - SC_FRAME_HEADER_SIZE);
		p += SC_FRAME_HEADER_SIZE + rest;
		left -= SC_FRAME_HEADER_SIZE + (size_t)rest;
	}
	return copy;
}
