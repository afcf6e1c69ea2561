/* SPDX-License-Identifier: GPL-2.0-only */
/* Bodies of the data channel's frames, encoded and decoded; see frame.h.
 * Pure functions; decoders validate every field. */
#include "io/frame.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

void sc_frame_put_hello(struct sc_enc *enc, const struct sc_hello *m)
{
	sc_enc_u16(enc, m->version);
	sc_enc_u16(enc, m->stream);
	sc_enc_raw(enc, m->job_id, sizeof(m->job_id));
	sc_enc_raw(enc, m->token, sizeof(m->token));
}

int sc_frame_get_hello(struct sc_dec *dec, struct sc_hello *ret)
{
	ret->version = sc_dec_u16(dec);
	ret->stream = sc_dec_u16(dec);
	sc_dec_raw(dec, ret->job_id, sizeof(ret->job_id));
	sc_dec_raw(dec, ret->token, sizeof(ret->token));
	return sc_dec_end(dec);
}

void sc_frame_put_file(struct sc_enc *enc, const struct sc_file *m)
{
	sc_enc_u8(enc, (uint8_t)m->kind);
	sc_enc_u64(enc, m->size);
	sc_enc_u64(enc, m->stored);
	sc_enc_u32(enc, m->spec.physical_size);
	sc_enc_u32(enc, m->spec.space_id);
	sc_enc_u32(enc, m->spec.flags);
	sc_enc_str(enc, m->path);
}

/* Nothing checks what is in it: so only what a donor lists. */
static bool is_opaque_name(const char *path)
{
	enum sc_file_kind kind;

	return !strchr(path, '/') && sc_file_wanted(path, 0, &kind) &&
	       kind == SC_FILE_OPAQUE;
}

static bool file_ok(const char *path, unsigned kind, uint64_t size,
		    const struct sc_page_spec *spec)
{
	if (!sc_path_ok(path) || size > INT64_MAX)
		return false;
	if (kind == SC_FILE_OPAQUE)
		return is_opaque_name(path);
	return kind == SC_FILE_PAGES &&
	       sc_is_power_of_two(spec->physical_size) &&
	       spec->physical_size >= SC_PAGE_SIZE_MIN &&
	       spec->physical_size <= SC_PAGE_SIZE_MAX;
}

int sc_frame_get_file(struct sc_dec *dec, struct sc_filelist *list,
		      struct sc_err *err)
{
	struct sc_page_spec spec = { 0 };
	char path[SC_PATH_MAX];
	unsigned kind = sc_dec_u8(dec);
	uint64_t size = sc_dec_u64(dec), stored = sc_dec_u64(dec);

	spec.physical_size = sc_dec_u32(dec);
	spec.space_id = sc_dec_u32(dec);
	spec.flags = sc_dec_u32(dec);
	sc_dec_str(dec, path, sizeof(path));
	if (dec->failed || !file_ok(path, kind, size, &spec))
		return sc_frame_bad(err, "malformed file record");
	if (size > UINT64_MAX / 4 - list->bytes)
		return sc_frame_bad(err, "file sizes beyond all measure");
	if (sc_filelist_add(list, path, (enum sc_file_kind)kind, size, &spec,
			    err) < 0)
		return -1;
	sc_filelist_set_stored(list, stored);
	return 0;
}

void sc_frame_put_drop(struct sc_enc *enc, uint32_t file)
{
	sc_enc_u8(enc, SC_CHANGE_DROP);
	sc_enc_u32(enc, file);
}

void sc_frame_put_rename(struct sc_enc *enc, const struct sc_file_rename *m)
{
	sc_enc_u8(enc, SC_CHANGE_RENAME);
	sc_enc_u32(enc, m->file);
	sc_enc_str(enc, m->path);
}

void sc_frame_put_add(struct sc_enc *enc, const struct sc_file *m)
{
	sc_enc_u8(enc, SC_CHANGE_ADD);
	sc_frame_put_file(enc, m);
}

static int get_drop(struct sc_dec *dec, struct sc_file_changes *changes,
		    struct sc_err *err)
{
	uint32_t file = sc_dec_u32(dec);

	/* More than there can be files: memory for them is not to be had. */
	if (dec->failed || changes->n_drops >= SC_MAX_FILES)
		return sc_frame_bad(err, "malformed change record");
	return sc_file_changes_drop(changes, file, err);
}

static int get_rename(struct sc_dec *dec, struct sc_file_changes *changes,
		      struct sc_err *err)
{
	uint32_t file = sc_dec_u32(dec);
	char path[SC_PATH_MAX];

	sc_dec_str(dec, path, sizeof(path));
	if (dec->failed || !sc_path_ok(path) ||
	    changes->n_renames >= SC_MAX_FILES)
		return sc_frame_bad(err, "malformed change record");
	return sc_file_changes_rename(changes, file, path, err);
}

int sc_frame_get_change(struct sc_dec *dec, struct sc_file_changes *changes,
			struct sc_err *err)
{
	switch (sc_dec_u8(dec)) {
	case SC_CHANGE_DROP:
		return get_drop(dec, changes, err);
	case SC_CHANGE_RENAME:
		return get_rename(dec, changes, err);
	case SC_CHANGE_ADD:
		return sc_frame_get_file(dec, &changes->adds, err);
	default:
		return sc_frame_bad(err, "malformed change record");
	}
}

void sc_frame_put_change_end(struct sc_enc *enc,
			     const struct sc_file_changes *m)
{
	sc_enc_u32(enc, (uint32_t)m->n_drops);
	sc_enc_u32(enc, (uint32_t)m->n_renames);
	sc_enc_u32(enc, (uint32_t)m->adds.n);
}

int sc_frame_get_change_end(struct sc_dec *dec,
			    const struct sc_file_changes *changes)
{
	uint32_t drops = sc_dec_u32(dec), renames = sc_dec_u32(dec);
	uint32_t adds = sc_dec_u32(dec);

	return sc_dec_end(dec) == 0 && drops == changes->n_drops &&
			       renames == changes->n_renames &&
			       adds == changes->adds.n
		       ? 0
		       : -1;
}

void sc_frame_put_redo_begin(struct sc_enc *enc, const struct sc_redo_begin *m)
{
	sc_enc_u64(enc, m->checkpoint_lsn);
	sc_enc_u32(enc, m->uuid);
	sc_enc_str(enc, m->creator);
}

int sc_frame_get_redo_begin(struct sc_dec *dec, struct sc_redo_begin *ret)
{
	ret->checkpoint_lsn = sc_dec_u64(dec);
	ret->uuid = sc_dec_u32(dec);
	sc_dec_str(dec, ret->creator, sizeof(ret->creator));
	return sc_dec_end(dec);
}

void sc_frame_put_chunk(uint8_t body[static SC_CHUNK_BODY_SIZE],
			const struct sc_chunk *m)
{
	sc_store_le32(body, m->file);
	sc_store_le32(body + 4, m->len);
	sc_store_le64(body + 8, m->off);
	memcpy(body + 16, m->digest, SC_DIGEST_SIZE);
	memcpy(body + 16 + SC_DIGEST_SIZE, m->map.bits, SC_BLOCKMAP_SIZE);
}

int sc_frame_get_chunk(struct sc_dec *dec, struct sc_chunk *ret)
{
	ret->file = sc_dec_u32(dec);
	ret->len = sc_dec_u32(dec);
	ret->off = sc_dec_u64(dec);
	sc_dec_raw(dec, ret->digest, SC_DIGEST_SIZE);
	sc_dec_raw(dec, ret->map.bits, SC_BLOCKMAP_SIZE);
	if (ret->len == 0 || ret->len > SC_CHUNK_SIZE ||
	    ret->off % SC_CHUNK_SIZE || !sc_blockmap_ok(&ret->map, ret->len))
		return -1;
	return sc_dec_end(dec);
}

void sc_seal_free(struct sc_seal *seal)
{
	sc_ctl_seal_free(&seal->mark);
	free(seal->sizes);
	*seal = (struct sc_seal){ 0 };
}

void sc_frame_put_seal(struct sc_enc *enc, const struct sc_seal *m)
{
	sc_enc_str(enc, m->donor_uuid);
	sc_enc_str(enc, m->provider);
	sc_enc_u64(enc, m->image_lsn);
	sc_enc_u64(enc, m->swap_us);
	sc_enc_u64(enc, m->undo_us);
	sc_enc_raw(enc, m->redo_encryption, sizeof(m->redo_encryption));
	sc_enc_u32(enc, (uint32_t)m->n_sizes);
	for (size_t i = 0; i < m->n_sizes; i++)
		sc_enc_u64(enc, m->sizes[i]);
	sc_ctl_put_seal(enc, &m->mark);
}

int sc_frame_get_seal(struct sc_dec *dec, struct sc_seal *ret)
{
	uint32_t n;

	*ret = (struct sc_seal){ 0 };
	sc_dec_str(dec, ret->donor_uuid, sizeof(ret->donor_uuid));
	sc_dec_str(dec, ret->provider, sizeof(ret->provider));
	ret->image_lsn = sc_dec_u64(dec);
	ret->swap_us = sc_dec_u64(dec);
	ret->undo_us = sc_dec_u64(dec);
	sc_dec_raw(dec, ret->redo_encryption, sizeof(ret->redo_encryption));
	n = sc_dec_u32(dec);
	if (dec->failed || n > dec->left / sizeof(uint64_t))
		return -1;
	ret->sizes = malloc(n * sizeof(uint64_t) + 1);
	if (!ret->sizes) {
		dec->no_memory = true;
		return -1;
	}
	ret->n_sizes = n;
	for (uint32_t i = 0; i < n; i++)
		ret->sizes[i] = sc_dec_u64(dec);
	return sc_ctl_get_seal(dec, &ret->mark);
}
