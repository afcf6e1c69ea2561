/* SPDX-License-Identifier: GPL-2.0-only */
/* What both directions of the manifest's JSON need; see manifest_json.h. */
#include "io/manifest_json.h"

#include <string.h>

#define FIELD(name, kind)                                                      \
	{                                                                      \
#name, kind, offsetof(struct sc_manifest_head, name)           \
	}

const struct manifest_field manifest_fields[MANIFEST_FIELDS] = {
	FIELD(checkpoint_lsn, NUMBER), FIELD(image_lsn, LSN_OR_NULL),
	FIELD(end_lsn, NUMBER),	       FIELD(seal_begin_us, NUMBER),
	FIELD(binlog_file, TEXT),      FIELD(binlog_position, NUMBER),
	FIELD(gtid_flushed, TEXT),     FIELD(gtid_executed, TEXT),
	FIELD(redo_lost, TEXT_IF_ANY), FIELD(donor_uuid, TEXT),
	FIELD(donor_version, TEXT),    FIELD(snapclone, TEXT),
	FIELD(provider, TEXT),	       FIELD(engine, TEXT),
	FIELD(page_size, NUMBER),      FIELD(redo_encrypted, FLAG),
	FIELD(began_us, NUMBER),       FIELD(create_ms, NUMBER),
	FIELD(copy_ms, NUMBER),	       FIELD(redo_ms, NUMBER),
	FIELD(seal_ms, NUMBER),	       FIELD(streams, NUMBER),
	FIELD(redo_bytes, NUMBER),     FIELD(wire_bytes, NUMBER),
	FIELD(swap_us, NUMBER),	       FIELD(undo_us, NUMBER),
};

void manifest_put_hex(char *to, const uint8_t *from, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
	}
	*to = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t manifest_get_hex(const char *text, uint8_t *to, size_t max)
{
	size_t len = strlen(text) / 2;

	if (strlen(text) % 2 || len > max)
		return -1;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)len;
}
