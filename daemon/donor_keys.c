/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Encryption on the donor: the key of the redo log, and the keys that the redo
 * itself brings. Page 0 of a tablespace that was just made or encrypted is not
 * on disk yet while other pages of it are; and recovery ends when a master key
 * named in the redo is missing, even of a table that is gone.
 */
#include "daemon/donor.h"

#include "io/base/log.h"

#include <inttypes.h>
#include <string.h>

int donor_redo_key(void *ctx, struct sc_space_key *ret, struct sc_err *err)
{
	struct donor *d = ctx;
	struct sc_redo_checkpoint now;
	int rc;

	if (sc_redo_newest_checkpoint(d->fds[SC_DONOR_FD_REDO], &now, err) < 0)
		return -1;
	rc = sc_keys_unwrap(&d->keys, now.encryption_block + SC_KEY_INFO_REDO,
			    ret, err);
	if (rc == 0)
		return sc_err_set(
			err, SC_ER_CLONE_ENCRYPTION,
			"the redo log has encrypted blocks but no key in its header");
	if (rc > 0)
		sc_debug("the redo log is encrypted");
	return rc < 0 ? -1 : 0;
}

/* A key in the redo. One that nobody can unwrap ends the donor's own recovery
 * too, or is no key at all but looks so: not our failure. */
static int found(void *ctx, uint32_t space_id, const uint8_t *info,
		 struct sc_err *err)
{
	struct donor *d = ctx;
	const struct sc_space_key *key;
	struct sc_err why = SC_ERR_INIT;

	if (sc_keys_add_space(&d->keys, space_id, info, &key, &why) >= 0)
		return 0;
	if (d->job.stopping || why.code != SC_ER_CLONE_ENCRYPTION) {
		*err = why;
		return -1;
	}
	sc_warning("redo brings a key of tablespace %u that cannot be read: %s",
		   space_id, why.msg);
	return 0;
}

/* The clear text of a block that was read; plain: memory for it. */
static const uint8_t *clear_text(struct donor *d, const uint8_t *block,
				 uint64_t lsn, uint8_t *plain)
{
	struct sc_redo_block b;

	sc_redo_block_parse(block, &b);
	if (!b.encrypted)
		return block;
	sc_redo_cipher_judge(sc_redo_follow_cipher(d->follow), block, lsn, NULL,
			     plain);
	return plain;
}

int donor_scan_partial(struct donor *d, struct sc_err *err)
{
	uint8_t block[SC_REDO_BLOCK], plain[SC_REDO_BLOCK];
	uint64_t lsn;

	if (sc_redo_follow_lsn(d->follow) == d->followed_lsn ||
	    sc_redo_follow_partial(d->follow, block, &lsn) != 1)
		return 0;
	return sc_redo_notes_block(d->notes, clear_text(d, block, lsn, plain),
				   lsn, err);
}

int donor_scan_redo(struct donor *d, const uint8_t *blocks, size_t len,
		    uint64_t lsn, struct sc_err *err)
{
	uint8_t plain[SC_REDO_BLOCK];

	for (size_t at = 0; at < len; at += SC_REDO_BLOCK) {
		const uint8_t *block =
			clear_text(d, blocks + at, lsn + at, plain);

		if (sc_redo_keyscan_block(&d->keyscan, block, found, d, err) <
			    0 ||
		    sc_redo_notes_block(d->notes, block, lsn + at, err) < 0)
			return -1;
	}
	return 0;
}

int donor_seal_redo_key(struct donor *d, struct sc_err *err)
{
	struct sc_redo_checkpoint now = d->checkpoint;
	struct sc_space_key key;
	int rc;

	/* At S it is that of the image, which has C. */
	if (!d->at_image &&
	    sc_redo_newest_checkpoint(d->fds[SC_DONOR_FD_REDO], &now, err) < 0)
		return -1;
	memcpy(d->seal.redo_encryption, now.encryption_block, SC_REDO_BLOCK);
	rc = sc_keys_unwrap(&d->keys, now.encryption_block + SC_KEY_INFO_REDO,
			    &key, err);
	/* A local clone needs it here, a recipient asks for itself. */
	if (rc > 0 && d->stage)
		rc = sc_stage_redo_key(d->stage, &key, err);
	explicit_bzero(&key, sizeof(key));
	return rc < 0 ? -1 : 0;
}
