/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of DDL; see notes_look.h. */
#include "io/redo/notes_look.h"

#include "io/base/num.h"
#include "io/base/roots.h"
#include "io/keys.h"

#include <string.h>

enum {
	/* Type, space id, page and index id of a row of the DDL log. */
	ROW_LEN = 4 + 4 + 4 + 8,
	/* Pages 0 to 2 are no index's (fsp0types.h), whatever the space. */
	FIRST_ROOT = 3,
};

/* What a byte may begin. */
enum first { NOTHING = 0, A_FILE, A_LOAD, A_ROW, A_STRING };

const uint8_t sc_note_firsts[256] = {
	[SC_REDO_FILE_CREATE] = A_FILE,
	[SC_REDO_FILE_RENAME] = A_FILE,
	[SC_REDO_FILE_DELETE] = A_FILE,
	[SC_REDO_FILE_CREATE | SC_REDO_SINGLE] = A_FILE,
	[SC_REDO_FILE_RENAME | SC_REDO_SINGLE] = A_FILE,
	[SC_REDO_FILE_DELETE | SC_REDO_SINGLE] = A_FILE,
	[SC_REDO_INDEX_LOAD | SC_REDO_SINGLE] = A_LOAD,
	[1] = A_ROW,
	[SC_REDO_WRITE_STRING] = A_STRING,
	[SC_REDO_WRITE_STRING | SC_REDO_SINGLE] = A_STRING,
};

/* Reads a record that may go on behind what is there. */
struct cursor {
	const uint8_t *p, *end;
	enum sc_note_verdict verdict;
};

/* NULL: not so many bytes are there (any more). */
static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->verdict != SC_NOTE_YES)
		return NULL;
	if ((size_t)(c->end - p) < n) {
		c->verdict = SC_NOTE_MORE;
		return NULL;
	}
	c->p += n;
	return p;
}

static uint32_t take_int(struct cursor *c)
{
	uint32_t v = 0;
	int n;

	if (c->verdict != SC_NOTE_YES)
		return 0;
	n = sc_redo_int_read(c->p, c->end, &v);
	if (n <= 0)
		c->verdict = n == 0 ? SC_NOTE_MORE : SC_NOTE_NO;
	else
		c->p += n;
	return v;
}

/* Undo tablespaces made with the server are undo_NNN. */
static bool is_tablespace(const char *path)
{
	const char *slash = strrchr(path, '/');

	return sc_is_tablespace_name(path) ||
	       !strncmp(slash ? slash + 1 : path, "undo_", 5);
}

/* Length and path of a tablespace's file, NUL-terminated. NULL: not, or not
 * yet. What is there of it is looked at, so that little waits for more. */
static const char *take_path(struct cursor *c)
{
	const uint8_t *p = take(c, 2);
	size_t len, n;

	if (!p)
		return NULL;
	len = sc_load_be16(p);
	if (len < 2 || len > SC_NOTE_PATH) {
		c->verdict = SC_NOTE_NO;
		return NULL;
	}
	n = SC_MIN(len - 1, (size_t)(c->end - c->p));
	for (size_t i = 0; i < n; i++) {
		if (c->p[i] < ' ') {
			c->verdict = SC_NOTE_NO;
			return NULL;
		}
	}
	p = take(c, len);
	if (p && (p[len - 1] || !is_tablespace((const char *)p))) {
		c->verdict = SC_NOTE_NO;
		return NULL;
	}
	return (const char *)p;
}

/* A table that is built under another name. */
static bool is_intermediate(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash ? slash + 1 : path, "#sql", 4);
}

static void look_at_file(struct cursor *c, struct sc_note_found *ret)
{
	static const enum sc_note_kind kinds[] = { SC_NOTE_CREATED,
						   SC_NOTE_RENAMED,
						   SC_NOTE_DELETED };
	uint8_t type = *take(c, 1) & (uint8_t)~SC_REDO_SINGLE;
	const uint8_t *page;
	const char *path;

	ret->kind = kinds[type - SC_REDO_FILE_CREATE];
	ret->space_id = take_int(c);
	page = take(c, 1);
	if (page && *page)
		c->verdict = SC_NOTE_NO;
	if (ret->kind == SC_NOTE_CREATED)
		take(c, 4);
	path = take_path(c);
	ret->intermediate = path && is_intermediate(path);
	if (ret->kind == SC_NOTE_RENAMED)
		take_path(c);
}

/* Ids are given one by one: so high is none. */
static void check_index(struct cursor *c, uint32_t page, const uint8_t *id)
{
	uint64_t v = sc_load_be64(id);

	if (page < FIRST_ROOT || !v || v >= 1ull << 40)
		c->verdict = SC_NOTE_NO;
}

/* Types that InnoDB writes since 8.0.30 as the first of several, or alone. */
static bool may_begin(uint8_t type)
{
	static const uint64_t low =
		1ull << 1 | 1ull << 2 | 1ull << 4 | 1ull << 8 | 1ull << 11 |
		1ull << 57 | 1ull << 58 | 1ull << 59 | 1ull << 61 | 1ull << 63 |
		0xfull << 48 /* to 51 */ | 0xfull << 19 /* to 22 */ |
		0x7full << 24 /* to 30 */ | 0x1full << 33 /* to 37 */;

	return type < 64 ? low >> type & 1 : type <= SC_REDO_LAST_TYPE;
}

/*
 * Does what follows look like the first record of a mini-transaction, as far as
 * it is there? Without that, rows with numbers are taken for MLOG_INDEX_LOAD
 * hundreds of times in 10 MB of redo.
 */
static bool may_follow(const struct cursor *c)
{
	const uint8_t *p = c->p;
	uint32_t v;
	uint8_t type;
	int n;

	if (p == c->end)
		return true;
	type = *p++ & (uint8_t)~SC_REDO_SINGLE;
	/* It names a table in a form of its own. */
	if (type == SC_REDO_TABLE_META)
		return true;
	if (!may_begin(type))
		return false;
	for (int i = 0; i < 2; i++, p += n) {
		n = sc_redo_int_read(p, c->end, &v);
		if (n <= 0)
			return n == 0;
	}
	/* Nobody logs the checksum, which comes first on a page. */
	return type > SC_REDO_8BYTES || c->end - p < 2 || sc_load_be16(p) >= 4;
}

static void look_at_load(struct cursor *c, struct sc_note_found *ret)
{
	const uint8_t *id;

	take(c, 1);
	ret->kind = SC_NOTE_LOADED;
	ret->space_id = take_int(c);
	ret->page = take_int(c);
	id = take(c, 8);
	if (!id)
		return;
	ret->index_id = sc_load_be64(id);
	check_index(c, ret->page, id);
	if (!may_follow(c))
		c->verdict = SC_NOTE_NO;
}

/* c->p: the type. The roll pointer of a row that is new has its highest bit
 * set (trx_undo_build_roll_ptr() in trx0undo.ic); a thread id has 32 bits. */
static void look_at_row(struct cursor *c, struct sc_note_found *ret)
{
	const uint8_t *row = c->p;

	if (sc_load_be32(row) != 1 || sc_load_be32(row - 8) != 0 ||
	    !(row[-15] & 0x80))
		c->verdict = SC_NOTE_NO;
	if (!take(c, ROW_LEN))
		return;
	ret->kind = SC_NOTE_BUILT;
	ret->space_id = sc_load_be32(row + 4);
	ret->page = sc_load_be32(row + 8);
	check_index(c, ret->page, row + 12);
}

static void expect_be16(struct cursor *c, uint16_t v)
{
	const uint8_t *p = take(c, 2);

	if (p && sc_load_be16(p) != v)
		c->verdict = SC_NOTE_NO;
}

/* Encryption information of zeroes, which is written nowhere else. */
static void look_at_string(struct cursor *c, struct sc_note_found *ret)
{
	const uint8_t *p;
	size_t n;

	take(c, 1);
	ret->kind = SC_NOTE_DECRYPTED;
	ret->space_id = take_int(c);
	p = take(c, 1);
	if (p && *p)
		c->verdict = SC_NOTE_NO;
	take(c, 2); /* where on the page: depends on its size */
	expect_be16(c, SC_KEY_INFO_SIZE);
	if (c->verdict != SC_NOTE_YES)
		return;
	n = SC_MIN((size_t)SC_KEY_INFO_SIZE, (size_t)(c->end - c->p));
	for (size_t i = 0; i < n; i++)
		if (c->p[i])
			c->verdict = SC_NOTE_NO;
	take(c, SC_KEY_INFO_SIZE);
}

enum sc_note_verdict sc_note_look(const uint8_t *buf, size_t len, size_t at,
				  struct sc_note_found *ret)
{
	struct cursor c = { .p = buf + at,
			    .end = buf + len,
			    .verdict = SC_NOTE_YES };

	*ret = (struct sc_note_found){ 0 };
	switch ((enum first)sc_note_firsts[buf[at]]) {
	case A_FILE:
		look_at_file(&c, ret);
		break;
	case A_LOAD:
		look_at_load(&c, ret);
		break;
	case A_ROW:
		if (at < SC_NOTE_BEFORE)
			return SC_NOTE_NO;
		c.p -= 3;
		look_at_row(&c, ret);
		break;
	case A_STRING:
		look_at_string(&c, ret);
		break;
	case NOTHING:
		return SC_NOTE_NO;
	}
	return c.verdict;
}
