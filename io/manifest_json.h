/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the manifest's JSON, shared by manifest_json.c, manifest_encode.c
 * and manifest_decode.c, the only users of jansson, whose json_int_t is a
 * signed 64-bit number.
 */
#ifndef SC_MANIFEST_JSON_H
#define SC_MANIFEST_JSON_H

#include "io/manifest_impl.h"

#include <jansson.h>
#include <stddef.h>

static inline void manifest_cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(manifest_cleanup_json)))

enum manifest_kind { NUMBER, LSN_OR_NULL, FLAG, TEXT, TEXT_IF_ANY };

/* The keys of the head, in their order. */
#define MANIFEST_FIELDS 26
struct manifest_field {
	const char *name;
	enum manifest_kind kind;
	size_t offset; /* in struct sc_manifest_head */
};
extern const struct manifest_field manifest_fields[MANIFEST_FIELDS];

/* Hex digits of so many bytes, and the byte that ends them. */
void manifest_put_hex(char *to, const uint8_t *from, size_t len);
/* Bytes of a text of hex digits; -1: not that, or more than max bytes. */
ssize_t manifest_get_hex(const char *text, uint8_t *to, size_t max);

#endif
