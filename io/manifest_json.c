/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of a manifest as JSON; see manifest_impl.h. The only user of jansson,
 * whose json_int_t is a signed 64-bit number. */
#include "io/manifest_impl.h"

#include "io/base/cleanup.h"
#include "io/base/num.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(cleanup_json)))

/* innodb_page_size. Source: univ.i. */
#define UNIV_PAGE_SIZE_MIN 4096

enum kind { NUMBER, LSN_OR_NULL, FLAG, TEXT, TEXT_IF_ANY };

#define FIELD(name, kind)                                                      \
	{                                                                      \
#name, kind, offsetof(struct sc_manifest_head, name)           \
	}

static const struct {
	const char *name;
	enum kind kind;
	size_t offset;
} fields[] = {
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

/* ---- hex ----------------------------------------------------------------- */

static void put_hex(char *to, const uint8_t *from, size_t len)
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

/* Bytes of a text of hex digits; -1: not that, or more than max bytes. */
static ssize_t get_hex(const char *text, uint8_t *to, size_t max)
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

/* ---- encode -------------------------------------------------------------- */

/* False when it did not work; the rest is then not tried. */
static bool put_number(json_t *to, const char *name, uint64_t value)
{
	return value <= INT64_MAX &&
	       json_object_set_new(to, name, json_integer((json_int_t)value)) ==
		       0;
}

/* Some texts are there only when they say something. */
static bool is_left_out(enum kind kind, const void *at)
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

	for (size_t i = 0; i < SC_ARRAY_SIZE(fields) && ok; i++) {
		const char *name = fields[i].name;
		const void *at = (const char *)head + fields[i].offset;

		if (is_left_out(fields[i].kind, at))
			continue;
		if (fields[i].kind == TEXT || fields[i].kind == TEXT_IF_ANY)
			ok = put_text(json, name, *(const char *const *)at);
		else if (fields[i].kind == FLAG)
			ok = !json_object_set_new(
				json, name, json_boolean(*(const bool *)at));
		else if (fields[i].kind == LSN_OR_NULL &&
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

	put_hex(text, (const uint8_t *)digests, n * SC_DIGEST_SIZE);
	return json_object_set_new(json, "xxh3_128", json_string(text)) == 0;
}

/* File names are bytes, JSON is UTF-8. */
static bool put_path(json_t *json, const char *path)
{
	char text[2 * SC_PATH_MAX + 1];
	json_t *value = json_string(path);

	if (value)
		return json_object_set_new(json, "path", value) == 0;
	put_hex(text, (const uint8_t *)path, strlen(path));
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

	put_hex(text, tail->digest, SC_DIGEST_SIZE);
	return dump(json, ok && !json_object_set_new(json, "manifest_xxh3_128",
						     json_string(text)));
}

/* ---- decode -------------------------------------------------------------- */

static int bad(struct sc_err *err, const char *what)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", what);
}

static json_t *parse(const char *line, size_t len, struct sc_err *err)
{
	json_error_t at;
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &at);

	if (!json)
		sc_err_set(err, SC_ER_INTERNAL_ERROR, "%.200s", at.text);
	else if (!json_is_object(json))
		bad(err, "not an object");
	else
		return json;
	json_decref(json);
	return NULL;
}

static int get_number(const json_t *json, const char *name, uint64_t max,
		      uint64_t *ret, struct sc_err *err)
{
	const json_t *value = json_object_get(json, name);
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 0 || (uint64_t)n > max)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "\"%s\" is missing or out of range", name);
	*ret = (uint64_t)n;
	return 0;
}

static int get_text(const json_t *json, const char *name, const char **ret,
		    struct sc_err *err)
{
	const char *text = json_string_value(json_object_get(json, name));

	if (!text)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "\"%s\" is missing or not a text", name);
	*ret = strdup(text);
	return *ret ? 0 : bad(err, "out of memory");
}

static int get_field(const json_t *json, size_t i, void *to, struct sc_err *err)
{
	const char *name = fields[i].name;
	const json_t *value = json_object_get(json, name);

	switch (fields[i].kind) {
	case TEXT_IF_ANY:
		if (!value)
			return 0;
		return get_text(json, name, to, err);
	case TEXT:
		return get_text(json, name, to, err);
	case FLAG:
		*(bool *)to = json_is_true(value);
		return json_is_boolean(value) ? 0
					      : bad(err, "a flag is missing");
	case LSN_OR_NULL:
		if (json_is_null(value))
			return 0;
		break;
	case NUMBER:
		break;
	}
	return get_number(json, name, INT64_MAX, to, err);
}

int manifest_get_head(const char *line, size_t len,
		      struct sc_manifest_head *ret, struct sc_err *err)
{
	CLEANUP_JSON json_t *json = parse(line, len, err);
	uint64_t format;

	if (!json ||
	    get_number(json, "snapclone_manifest", INT64_MAX, &format, err) < 0)
		return -1;
	if (format != MANIFEST_FORMAT)
		return bad(err, "this format is of another release of "
				"snapclone");
	for (size_t i = 0; i < SC_ARRAY_SIZE(fields); i++) {
		if (get_field(json, i, (char *)ret + fields[i].offset, err) < 0)
			return -1;
	}
	if (ret->page_size < UNIV_PAGE_SIZE_MIN ||
	    ret->page_size > SC_PAGE_SIZE_MAX ||
	    !sc_is_power_of_two(ret->page_size))
		return bad(err, "\"page_size\" is no page size");
	return 0;
}

static int get_digests(const json_t *json, struct manifest_entry *ret,
		       struct sc_err *err)
{
	const char *text = json_string_value(json_object_get(json, "xxh3_128"));
	ssize_t n = text ? get_hex(text, (uint8_t *)ret->digests,
				   sizeof(ret->digests))
			 : -1;

	if (n < 0 || n % SC_DIGEST_SIZE)
		return bad(err, "\"xxh3_128\" is missing or no list of "
				"digests");
	ret->n = (size_t)n / SC_DIGEST_SIZE;
	return 0;
}

static int get_path(const json_t *json, struct manifest_entry *ret,
		    struct sc_err *err)
{
	const char *path = json_string_value(json_object_get(json, "path"));
	const char *hex = json_string_value(json_object_get(json, "path_hex"));
	ssize_t n = -1;

	if (path && strlen(path) < sizeof(ret->path)) {
		n = (ssize_t)strlen(path);
		memcpy(ret->path, path, (size_t)n);
	} else if (!path && hex) {
		n = get_hex(hex, (uint8_t *)ret->path, sizeof(ret->path) - 1);
	}
	if (n >= 0)
		ret->path[n] = '\0';
	if (n < 0 || strlen(ret->path) != (size_t)n || !sc_path_ok(ret->path))
		return bad(err, "\"path\" is missing or not that of a file in "
				"a clone");
	return 0;
}

static int get_spec(const json_t *json, struct sc_page_spec *ret,
		    struct sc_err *err)
{
	uint64_t space, size, flags;

	if (get_number(json, "space_id", UINT32_MAX, &space, err) < 0 ||
	    get_number(json, "page_size", SC_PAGE_SIZE_MAX, &size, err) < 0 ||
	    get_number(json, "flags", UINT32_MAX, &flags, err) < 0)
		return -1;
	if (size < SC_PAGE_SIZE_MIN || !sc_is_power_of_two(size))
		return bad(err, "\"page_size\" is no page size");
	ret->space_id = (uint32_t)space;
	ret->physical_size = ret->logical_size = (uint32_t)size;
	ret->flags = (uint32_t)flags;
	return 0;
}

static int get_file(const json_t *json, struct manifest_entry *ret,
		    struct sc_err *err)
{
	const char *kind = json_string_value(json_object_get(json, "kind"));
	const json_t *shared = json_object_get(json, "shared");
	struct sc_file *file = &ret->file;

	ret->line = MANIFEST_FILE;
	file->shared = json_is_true(shared);
	if (get_path(json, ret, err) < 0 ||
	    get_number(json, "size", INT64_MAX, &file->sealed_size, err) < 0 ||
	    get_number(json, "digested", file->shared ? 0 : file->sealed_size,
		       &file->size, err) < 0 ||
	    get_number(json, "stored",
		       file->shared ? file->sealed_size : file->size,
		       &file->stored, err) < 0 ||
	    get_digests(json, ret, err) < 0)
		return -1;
	if (shared && !file->shared)
		return bad(err, "\"shared\" is not true");
	if (kind && !strcmp(kind, "opaque"))
		file->kind = SC_FILE_OPAQUE;
	else if (kind && !strcmp(kind, "pages"))
		file->kind = SC_FILE_PAGES;
	else
		return bad(err, "\"kind\" is missing or unknown");
	return file->kind == SC_FILE_PAGES ? get_spec(json, &file->spec, err)
					   : 0;
}

static int get_tail(const json_t *json, struct manifest_entry *ret,
		    struct sc_err *err)
{
	const char *text =
		json_string_value(json_object_get(json, "manifest_xxh3_128"));

	ret->line = MANIFEST_TAIL;
	if (!text ||
	    get_hex(text, ret->tail.digest, SC_DIGEST_SIZE) != SC_DIGEST_SIZE)
		return bad(err, "\"manifest_xxh3_128\" is no digest");
	if (get_number(json, "files", SC_MAX_FILES, &ret->tail.files, err) < 0)
		return -1;
	return get_number(json, "chunks", INT64_MAX, &ret->tail.chunks, err);
}

int manifest_get_line(const char *line, size_t len, struct manifest_entry *ret,
		      struct sc_err *err)
{
	CLEANUP_JSON json_t *json = parse(line, len, err);

	ret->n = 0;
	memset(&ret->file, 0, sizeof(ret->file));
	if (!json)
		return -1;
	if (json_object_get(json, "manifest_xxh3_128"))
		return get_tail(json, ret, err);
	if (json_object_get(json, "kind"))
		return get_file(json, ret, err);
	ret->line = MANIFEST_DIGESTS;
	return get_digests(json, ret, err);
}
