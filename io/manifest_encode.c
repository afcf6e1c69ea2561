/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of a manifest made of their parts; see manifest_impl.h. */
#include "io/manifest_json.h"

#include "io/base/cleanup.h"

#include <string.h>

/* False when it did not work; the rest is then not tried. */
static bool put_number(json_t *to, const char *name, uint64_t value)
{
	return value <= INT64_MAX &&
	       json_object_set_new(to, name, json_integer((json_int_t)value)) ==
		       0;
}

/* Some texts are there only when they say something. */
static bool is_left_out(enum manifest_kind kind, const void *at)
{
	const char *text;

	if (kind != TEXT_IF_ANY)
		return false;
	text = *(const char *const *)at;
	return !text || !*text;
}

/* A text of the donor's: on one line, and '?' for what is no UTF-8. */
static bool put_text(json_t *to, const char *name, const char *text)
{
	CLEANUP_FREE char *copy = strdup(text ? text : "");
	char *end = copy;
	json_t *value;

	for (const char *p = copy; p && *p; p++) {
		if (*p != '\n' && *p != '\r')
			*end++ = *p;
	}
	if (!copy)
		return false;
	*end = '\0';
	value = json_string(copy);
	for (end = copy; !value && *end; end++)
		*end = *end & 0x80 ? '?' : *end;
	if (!value)
		value = json_string(copy);
	return json_object_set_new(to, name, value) == 0;
}

static char *dump(json_t *json, bool ok)
{
	return json && ok ? json_dumps(json, JSON_COMPACT) : NULL;
}

char *manifest_put_head(const struct sc_manifest_head *head)
{
	CLEANUP_JSON json_t *json = json_object();
	bool ok = put_number(json, "snapclone_manifest", MANIFEST_FORMAT);

	for (size_t i = 0; i < MANIFEST_FIELDS && ok; i++) {
		const char *name = manifest_fields[i].name;
		const void *at = (const char *)head + manifest_fields[i].offset;

		if (is_left_out(manifest_fields[i].kind, at))
			continue;
		if (manifest_fields[i].kind == TEXT ||
		    manifest_fields[i].kind == TEXT_IF_ANY)
			ok = put_text(json, name, *(const char *const *)at);
		else if (manifest_fields[i].kind == FLAG)
			ok = !json_object_set_new(
				json, name, json_boolean(*(const bool *)at));
		else if (manifest_fields[i].kind == LSN_OR_NULL &&
			 !*(const uint64_t *)at)
			ok = !json_object_set_new(json, name, json_null());
		else
			ok = put_number(json, name, *(const uint64_t *)at);
	}
	return dump(json, ok);
}

static bool put_digests(json_t *json, const uint8_t (*digests)[SC_DIGEST_SIZE],
			size_t n)
{
	char text[2 * SC_DIGEST_SIZE * MANIFEST_LINE_DIGESTS + 1];

	manifest_put_hex(text, (const uint8_t *)digests, n * SC_DIGEST_SIZE);
	return json_object_set_new(json, "xxh3_128", json_string(text)) == 0;
}

/* File names are bytes, JSON is UTF-8. */
static bool put_path(json_t *json, const char *path)
{
	char text[2 * SC_PATH_MAX + 1];
	json_t *value = json_string(path);

	if (value)
		return json_object_set_new(json, "path", value) == 0;
	manifest_put_hex(text, (const uint8_t *)path, strlen(path));
	return json_object_set_new(json, "path_hex", json_string(text)) == 0;
}

char *manifest_put_file(const struct sc_file *file, uint64_t sealed_size,
			const uint8_t (*digests)[SC_DIGEST_SIZE], size_t n)
{
	CLEANUP_JSON json_t *json = json_object();
	bool pages = file->kind == SC_FILE_PAGES;
	bool ok =
		put_path(json, file->path) &&
		!json_object_set_new(json, "kind",
				     json_string(pages ? "pages" : "opaque")) &&
		put_number(json, "size", sealed_size) &&
		put_number(json, "digested", file->shared ? 0 : file->size) &&
		put_number(json, "stored", file->stored) &&
		(!file->shared ||
		 !json_object_set_new(json, "shared", json_true()));

	if (pages)
		ok = ok && put_number(json, "space_id", file->spec.space_id) &&
		     put_number(json, "page_size", file->spec.physical_size) &&
		     put_number(json, "flags", file->spec.flags);
	return dump(json, ok && put_digests(json, digests, n));
}

char *manifest_put_digests(const uint8_t (*digests)[SC_DIGEST_SIZE], size_t n)
{
	CLEANUP_JSON json_t *json = json_object();

	return dump(json, put_digests(json, digests, n));
}

char *manifest_put_tail(const struct manifest_tail *tail)
{
	CLEANUP_JSON json_t *json = json_object();
	char text[2 * SC_DIGEST_SIZE + 1];
	bool ok = put_number(json, "files", tail->files) &&
		  put_number(json, "chunks", tail->chunks);

	manifest_put_hex(text, tail->digest, SC_DIGEST_SIZE);
	return dump(json, ok && !json_object_set_new(json, "manifest_xxh3_128",
						     json_string(text)));
}
