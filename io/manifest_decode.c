/* SPDX-License-Identifier: GPL-2.0-only */
/* Lines of a manifest taken apart, and checked; see manifest_impl.h. */
#include "io/manifest_json.h"

#include "io/base/num.h"

#include <string.h>

/* innodb_page_size. Source: univ.i. */
#define UNIV_PAGE_SIZE_MIN 4096

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
	const char *name = manifest_fields[i].name;
	const json_t *value = json_object_get(json, name);

	switch (manifest_fields[i].kind) {
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
	for (size_t i = 0; i < MANIFEST_FIELDS; i++) {
		if (get_field(json, i, (char *)ret + manifest_fields[i].offset,
			      err) < 0)
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
	ssize_t n = text ? manifest_get_hex(text, (uint8_t *)ret->digests,
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
		n = manifest_get_hex(hex, (uint8_t *)ret->path,
				     sizeof(ret->path) - 1);
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
	if (!text || manifest_get_hex(text, ret->tail.digest, SC_DIGEST_SIZE) !=
			     SC_DIGEST_SIZE)
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
