/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables of device-mapper targets; see dm_table.h. */
#include "daemon/dm_table.h"

#include "io/base/num.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>

/* Longest parameters we write ourselves. */
#define MAX_PARAMS 512

int sc_dm_table_add(struct sc_dm_table *table, uint64_t start, uint64_t len,
		    const char *type, const char *params, struct sc_err *err)
{
	struct sc_dm_target *more = reallocarray(table->targets, table->n + 1,
						 sizeof(*table->targets));
	struct sc_dm_target *t;

	if (!more)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	table->targets = more;
	t = &more[table->n];
	*t = (struct sc_dm_target){ .start = start, .len = len };
	snprintf(t->type, sizeof(t->type), "%s", type);
	t->params = strdup(params ? params : "");
	if (!t->params)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "out of memory");
	table->n++;
	return 0;
}

void sc_dm_table_free(struct sc_dm_table *table)
{
	for (unsigned i = 0; i < table->n; i++) {
		char *params = table->targets[i].params;

		explicit_bzero(params, strlen(params));
		free(params);
	}
	free(table->targets);
	*table = (struct sc_dm_table){ 0 };
}

int sc_dm_table_one(struct sc_dm_table *ret, uint64_t sectors, const char *type,
		    struct sc_err *err, const char *params, ...)
{
	char text[MAX_PARAMS];
	va_list ap;
	int rc;

	*ret = (struct sc_dm_table){ 0 };
	va_start(ap, params);
	rc = vsnprintf(text, sizeof(text), params, ap);
	va_end(ap);
	if (rc >= (int)sizeof(text))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "parameters of a %s target are too long",
				  type);
	rc = sc_dm_table_add(ret, 0, sectors, type, text, err);
	explicit_bzero(text, sizeof(text));
	return rc;
}

bool sc_dm_table_equal(const struct sc_dm_table *a, const struct sc_dm_table *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		const struct sc_dm_target *x = &a->targets[i],
					  *y = &b->targets[i];

		if (x->start != y->start || x->len != y->len ||
		    strcmp(x->type, y->type) || strcmp(x->params, y->params))
			return false;
	}
	return true;
}

uint64_t sc_dm_table_sectors(const struct sc_dm_table *table)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < table->n; i++)
		sum += table->targets[i].len;
	return sum;
}

bool sc_dm_table_uses(const struct sc_dm_table *table, const char *type,
		      dev_t dev)
{
	char want[32];
	size_t len;

	if (!table->n || strcmp(table->targets[0].type, type) != 0)
		return false;
	len = (size_t)snprintf(want, sizeof(want), "%u:%u", major(dev),
			       minor(dev));
	return !strncmp(table->targets[0].params, want, len) &&
	       strchr(" ", table->targets[0].params[len]);
}

bool sc_dm_table_is_origin(const struct sc_dm_table *table, dev_t real)
{
	return table->n == 1 &&
	       sc_dm_table_uses(table, "snapshot-origin", real);
}

/* ---- which origins can be doubled ---------------------------------------- */

static const struct {
	const char *type;
	bool tests_only;
} copyable[] = {
	{ "linear", false }, { "striped", false }, { "crypt", false },
	{ "delay", true },   { "flakey", true },   { "dust", true },
	{ "error", true },
};

/* The rest, with what is to be done about it. */
static const struct {
	const char *prefix, *text;
} refused[] = {
	{ "thin", "a second instance would corrupt the pool's metadata" },
	{ "cache", "a second instance would corrupt the cache's metadata" },
	{ "writecache", "a second instance would corrupt the cache" },
	{ "raid", "a second instance would corrupt the array's metadata" },
	{ "mirror", "a second instance would corrupt the mirror's log" },
	{ "snapshot-origin",
	  "the volume has a snapshot already: remove it (lvs shows which)" },
	{ "snapshot", "the volume is a snapshot itself" },
	{ "multipath", "put a logical volume on it" },
};

static bool is_copyable(const char *type)
{
#ifdef SC_TEST_HOOKS
	const bool tests = true;
#else
	const bool tests = false;
#endif

	for (size_t i = 0; i < SC_ARRAY_SIZE(copyable); i++) {
		if (!strcmp(type, copyable[i].type))
			return tests || !copyable[i].tests_only;
	}
	return false;
}

static const char *why_refused(const char *type)
{
	for (size_t i = 0; i < SC_ARRAY_SIZE(refused); i++) {
		if (!strncmp(type, refused[i].prefix,
			     strlen(refused[i].prefix)))
			return refused[i].text;
	}
	return "it is not known that two instances of it may exist";
}

/* Parameters: <cipher> <key> <iv offset> <device> <offset> [<n> <options>].
 * Source: the kernel's admin-guide/device-mapper/dm-crypt.rst. */
static int crypt_copyable(const char *params, const char *name,
			  struct sc_err *err)
{
	const char *key = strchr(params, ' ');

	if (key && key[1] == ':')
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"the key of %s is in the kernel's keyring, where it cannot be read for a second device; open the volume with `cryptsetup open --disable-keyring`, or use the reflink or live provider",
			name);
	if (strstr(params, "integrity:"))
		return sc_err_set(
			err, SC_ER_INTERNAL_ERROR,
			"%s is encrypted with integrity tags, a second instance would corrupt them; use the reflink or live provider",
			name);
	return 0;
}

int sc_dm_table_copyable(const struct sc_dm_table *table, const char *name,
			 struct sc_err *err)
{
	if (!table->n)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "the device %s has no table", name);
	for (unsigned i = 0; i < table->n; i++) {
		const struct sc_dm_target *t = &table->targets[i];

		if (!is_copyable(t->type))
			return sc_err_set(
				err, SC_ER_INTERNAL_ERROR,
				"%s is of the kind %s, not linear, striped or crypt: %s; use the reflink or live provider",
				name, t->type, why_refused(t->type));
		if (!strcmp(t->type, "crypt") &&
		    crypt_copyable(t->params, name, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- crypt ----------------------------------------------------------------
 */

/* The first crypt target's "cipher key": where the cipher ends, and the number
 * of key bytes. NULL when there is none. */
static const char *crypt_like(const struct sc_dm_table *like,
			      size_t *cipher_len, size_t *key_bytes)
{
	for (unsigned i = 0; like && i < like->n; i++) {
		const char *params = like->targets[i].params;

		if (strcmp(like->targets[i].type, "crypt") != 0)
			continue;
		*cipher_len = strcspn(params, " ");
		*key_bytes =
			params[*cipher_len]
				? strcspn(params + *cipher_len + 1, " ") / 2
				: 0;
		return params;
	}
	return NULL;
}

int sc_dm_table_random_crypt(struct sc_dm_table *ret,
			     const struct sc_dm_table *like, dev_t lower,
			     uint64_t start, uint64_t sectors,
			     struct sc_err *err)
{
	static const char plain_cipher[] = "aes-xts-plain64";
	size_t cipher_len = sizeof(plain_cipher) - 1, key_bytes = 64;
	const char *cipher = crypt_like(like, &cipher_len, &key_bytes);
	uint8_t key[128];
	char hex[2 * sizeof(key) + 1];
	int rc;

	if (!key_bytes || key_bytes > sizeof(key))
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "crypt key of %zu bytes", key_bytes);
	if (getrandom(key, key_bytes, 0) != (ssize_t)key_bytes)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot make a random key");
	for (size_t i = 0; i < key_bytes; i++)
		snprintf(hex + 2 * i, 3, "%02x", key[i]);
	rc = sc_dm_table_one(ret, sectors, "crypt", err, "%.*s %s 0 %u:%u %llu",
			     (int)cipher_len, cipher ? cipher : plain_cipher,
			     hex, major(lower), minor(lower),
			     (unsigned long long)start);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(hex, sizeof(hex));
	return rc;
}

/* ---- status ---------------------------------------------------------------
 */

int sc_dm_fill_parse(const char *status, struct sc_dm_fill *ret)
{
	unsigned long long used, total;
	char end;

	*ret = (struct sc_dm_fill){ 0 };
	if (!strcmp(status, "Invalid") || !strcmp(status, "Overflow") ||
	    !strcmp(status, "Unknown") || !strcmp(status, "Merge failed"))
		return 0;
	if (sscanf(status, "%llu/%llu%c", &used, &total, &end) < 2 || !total ||
	    used > total)
		return -1;
	ret->valid = true;
	ret->used = used * SC_DM_SECTOR;
	ret->total = total * SC_DM_SECTOR;
	return 0;
}
