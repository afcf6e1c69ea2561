/* SPDX-License-Identifier: GPL-2.0-only */
/* Encryption information: parse, unwrap, wrap; see keys.h. */
#include "io/keys.h"

#include "io/base/num.h"
#include "io/crc32c.h"

#include <errno.h>
#include <string.h>

enum { MAGIC = 3, ID = 3, BODY = 7, WRAPPED = 64 };

/* Source: Encryption::DEFAULT_MASTER_KEY in os0enc.h. Wraps keys made while a
 * data directory is initialised; the first start wraps them anew. */
static const uint8_t built_in[SC_MASTER_KEY_SIZE] = "DefaultMasterKey";

static int malformed(struct sc_err *err, const char *what)
{
	return sc_err_set(err, SC_ER_CLONE_ENCRYPTION,
			  "encryption information is malformed (%s)", what);
}

static int too_old(struct sc_err *err)
{
	return sc_err_set(
		err, SC_ER_CLONE_ENCRYPTION,
		"encryption information is of MySQL 5.7.11, whose keys have no server uuid; HINT: ALTER INSTANCE ROTATE INNODB MASTER KEY on the donor writes it anew");
}

int sc_key_info_parse(const uint8_t info[SC_KEY_INFO_MAX],
		      struct sc_key_info *ret, struct sc_err *err)
{
	const uint8_t *p = info + BODY;

	*ret = (struct sc_key_info){ 0 };
	if (sc_is_zero(info + MAGIC + 1, SC_KEY_INFO_SIZE - MAGIC - 1))
		return 0;
	if (!memcmp(info, "lCA", MAGIC))
		return too_old(err);
	if (memcmp(info, "lCB", MAGIC) != 0 && memcmp(info, "lCC", MAGIC) != 0)
		return 0;
	ret->master.id = sc_load_be32(info + ID);
	if (info[2] == 'B' && sc_load_be32(p) == 0)
		p += 4;
	if (ret->master.id) {
		memcpy(ret->master.uuid, p, SC_KEY_UUID_LEN);
		if (!sc_key_uuid_ok(ret->master.uuid))
			return malformed(err, "server uuid");
	}
	p += SC_KEY_UUID_LEN;
	memcpy(ret->wrapped, p, WRAPPED);
	ret->crc = sc_load_be32(p + WRAPPED);
	return 1;
}

int sc_key_info_unwrap(struct sc_aes *aes, const struct sc_key_info *info,
		       const uint8_t master[SC_MASTER_KEY_SIZE],
		       struct sc_space_key *ret)
{
	uint8_t clear[WRAPPED];
	int rc = sc_aes256_ecb(aes, false, info->master.id ? master : built_in,
			       info->wrapped, clear, WRAPPED);

	if (rc == 0 && sc_crc32c(0, clear, WRAPPED) != info->crc)
		rc = -EKEYREJECTED;
	if (rc == 0) {
		memcpy(ret->key, clear, sizeof(ret->key));
		memcpy(ret->iv, clear + sizeof(ret->key), sizeof(ret->iv));
	}
	explicit_bzero(clear, sizeof(clear));
	return rc;
}

int sc_key_info_wrap(struct sc_aes *aes, const struct sc_key_ref *ref,
		     const uint8_t master[SC_MASTER_KEY_SIZE],
		     const struct sc_space_key *key,
		     uint8_t ret[SC_KEY_INFO_MAX])
{
	uint8_t *p = ret + BODY + SC_KEY_UUID_LEN;
	uint8_t clear[WRAPPED];
	int rc;

	memset(ret, 0, SC_KEY_INFO_MAX);
	memcpy(ret, "lCC", MAGIC);
	sc_store_be32(ret + ID, ref->id);
	memcpy(ret + BODY, ref->uuid, SC_KEY_UUID_LEN);
	memcpy(clear, key->key, sizeof(key->key));
	memcpy(clear + sizeof(key->key), key->iv, sizeof(key->iv));
	sc_store_be32(p + WRAPPED, sc_crc32c(0, clear, WRAPPED));
	rc = sc_aes256_ecb(aes, true, ref->id ? master : built_in, clear, p,
			   WRAPPED);
	explicit_bzero(clear, sizeof(clear));
	return rc;
}

uint32_t sc_key_info_offset(uint32_t logical, uint32_t physical)
{
	/* FSP_EXTENT_SIZE in fsp0types.h: pages in 1, 2 or 4 MiB. */
	uint32_t extent = (uint32_t)(logical <= 16384	? SC_MIB
				     : logical <= 32768 ? 2 * SC_MIB
							: 4 * SC_MIB) /
			  logical;
	/* XDES_BITMAP and two bits per page in fsp0fsp.h. */
	uint32_t descriptor = 24 + extent / 4;

	/* FIL_PAGE_DATA and FSP_HEADER_SIZE, then the descriptors. */
	return 38 + 112 + descriptor * (physical / extent);
}
