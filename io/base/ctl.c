/* SPDX-License-Identifier: GPL-2.0-only */
/* Bodies of control messages: encode and decode; see ctl.h. Pure functions. */
#include "io/base/ctl.h"

#include "io/base/num.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char *sc_stage_name(unsigned stage)
{
	/* Source: plugin/clone/src/clone_status.cc, init_state_names(). */
	static const char *const names[SC_STAGE_COUNT] = {
		"None",	     "DROP DATA", "FILE COPY", "PAGE COPY",
		"REDO COPY", "FILE SYNC", "RESTART",   "RECOVERY"
	};

	return stage < SC_STAGE_COUNT ? names[stage] : NULL;
}

const char *sc_state_name(unsigned state)
{
	static const char *const names[SC_STATE_COUNT] = {
		"Not Started", "In Progress", "Completed", "Failed"
	};

	return state < SC_STATE_COUNT ? names[state] : NULL;
}

const char *sc_provider_choice_name(unsigned choice)
{
	static const char *const names[SC_PROVIDER_COUNT] = {
		"AUTO", "DM", "BTRFS", "REFLINK", "LIVE"
	};

	return choice < SC_PROVIDER_COUNT ? names[choice] : NULL;
}

void sc_ctl_put_hello(struct sc_enc *enc, const struct sc_ctl_hello *m)
{
	sc_enc_u32(enc, m->version);
	sc_enc_str(enc, m->software);
}

int sc_ctl_get_hello(struct sc_dec *dec, struct sc_ctl_hello *ret)
{
	ret->version = sc_dec_u32(dec);
	sc_dec_str(dec, ret->software, sizeof(ret->software));
	return sc_dec_end(dec);
}

/* Too many are not listed at all. */
static uint32_t discarded_listed(const struct sc_ctl_donor_start *m)
{
	return m->n_discarded > SC_MAX_DISCARDED ? 0 : m->n_discarded;
}

static void put_roots(struct sc_enc *enc, const struct sc_ctl_roots *m)
{
	sc_enc_u8(enc, m->n);
	for (unsigned i = 1; i < m->n; i++) {
		sc_enc_str(enc, m->path[i]);
		sc_enc_u8(enc, m->external[i]);
	}
	sc_enc_u8(enc, m->undo);
	sc_enc_u8(enc, m->n_system);
	sc_enc_raw(enc, m->system, m->n_system);
}

/* The indexes are in range, and the paths absolute, without '/' at the end but
 * for that of the root directory. */
static bool roots_ok(const struct sc_ctl_roots *m)
{
	bool ok = m->undo < m->n;

	for (unsigned i = 1; i < m->n; i++)
		ok &= m->path[i][0] == '/';
	for (unsigned i = 0; i < m->n_system; i++)
		ok &= m->system[i] < m->n;
	return ok;
}

static bool get_roots(struct sc_dec *dec, struct sc_ctl_roots *ret)
{
	ret->n = sc_dec_u8(dec);
	if (ret->n < 1 || ret->n > SC_MAX_ROOTS)
		return false;
	for (unsigned i = 1; i < ret->n; i++) {
		uint8_t external;

		sc_dec_str(dec, ret->path[i], sizeof(ret->path[i]));
		external = sc_dec_u8(dec);
		if (external > 1)
			return false;
		ret->external[i] = external;
	}
	ret->undo = sc_dec_u8(dec);
	ret->n_system = sc_dec_u8(dec);
	if (ret->n_system > SC_MAX_SYSTEM_FILES)
		return false;
	sc_dec_raw(dec, ret->system, ret->n_system);
	return !dec->failed && roots_ok(ret);
}

void sc_ctl_put_places(struct sc_enc *enc, const struct sc_ctl_places *m)
{
	sc_enc_str(enc, m->data_file_path);
	put_roots(enc, &m->roots);
}

static bool get_places(struct sc_dec *dec, struct sc_ctl_places *ret)
{
	sc_dec_str(dec, ret->data_file_path, sizeof(ret->data_file_path));
	return get_roots(dec, &ret->roots);
}

int sc_ctl_get_places(struct sc_dec *dec, struct sc_ctl_places *ret)
{
	return get_places(dec, ret) ? sc_dec_end(dec) : -1;
}

void sc_ctl_put_donor_start(struct sc_enc *enc,
			    const struct sc_ctl_donor_start *m)
{
	sc_enc_raw(enc, m->job_id, sizeof(m->job_id));
	sc_enc_raw(enc, m->key, sizeof(m->key));
	sc_enc_u8(enc, m->tls);
	sc_enc_u8(enc, m->local);
	sc_enc_u8(enc, m->autotune);
	sc_enc_u8(enc, m->compress);
	sc_enc_u8(enc, m->buffered);
	sc_enc_u8(enc, m->block_ddl);
	sc_enc_u8(enc, m->provider);
	sc_enc_u32(enc, m->streams);
	sc_enc_u32(enc, m->buffer_size);
	sc_enc_u32(enc, m->data_bandwidth);
	sc_enc_u32(enc, m->network_bandwidth);
	sc_enc_u32(enc, m->page_size);
	sc_enc_u64(enc, m->quiet_lsn);
	sc_enc_u32(enc, m->n_discarded);
	for (uint32_t i = 0; i < discarded_listed(m); i++)
		sc_enc_u32(enc, m->discarded[i]);
	sc_enc_str(enc, m->bind_address);
	sc_enc_str(enc, m->peer);
	sc_enc_str(enc, m->donor_uuid);
	sc_enc_str(enc, m->data_file_path);
	sc_enc_str(enc, m->doublewrite_dir);
	sc_enc_str(enc, m->target_name);
	put_roots(enc, &m->roots);
}

static bool page_size_ok(uint32_t page_size)
{
	return sc_is_power_of_two(page_size) && page_size >= 4096 &&
	       page_size <= 65536;
}

static bool streams_ok(uint32_t streams)
{
	return streams >= 1 && streams <= SC_MAX_STREAMS;
}

/* The range of clone_buffer_size. */
static bool buffer_ok(uint32_t bytes)
{
	return bytes >= SC_MIB && bytes <= 256 * SC_MIB;
}

/* A single path component that is neither "." nor "..". */
static bool name_ok(const char *name)
{
	return name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

int sc_ctl_get_donor_start(struct sc_dec *dec, struct sc_ctl_donor_start *ret)
{
	bool *const flags[] = {
		&ret->tls,	&ret->local,	&ret->autotune,
		&ret->compress, &ret->buffered, &ret->block_ddl
	};
	bool flags_ok = true;

	sc_dec_raw(dec, ret->job_id, sizeof(ret->job_id));
	sc_dec_raw(dec, ret->key, sizeof(ret->key));
	for (size_t i = 0; i < SC_ARRAY_SIZE(flags); i++) {
		uint8_t v = sc_dec_u8(dec);

		flags_ok &= v <= 1;
		*flags[i] = v == 1;
	}
	ret->provider = sc_dec_u8(dec);
	ret->streams = sc_dec_u32(dec);
	ret->buffer_size = sc_dec_u32(dec);
	ret->data_bandwidth = sc_dec_u32(dec);
	ret->network_bandwidth = sc_dec_u32(dec);
	ret->page_size = sc_dec_u32(dec);
	ret->quiet_lsn = sc_dec_u64(dec);
	ret->n_discarded = sc_dec_u32(dec);
	for (uint32_t i = 0; i < discarded_listed(ret); i++)
		ret->discarded[i] = sc_dec_u32(dec);
	sc_dec_str(dec, ret->bind_address, sizeof(ret->bind_address));
	sc_dec_str(dec, ret->peer, sizeof(ret->peer));
	sc_dec_str(dec, ret->donor_uuid, sizeof(ret->donor_uuid));
	sc_dec_str(dec, ret->data_file_path, sizeof(ret->data_file_path));
	sc_dec_str(dec, ret->doublewrite_dir, sizeof(ret->doublewrite_dir));
	sc_dec_str(dec, ret->target_name, sizeof(ret->target_name));
	if (!get_roots(dec, &ret->roots) || !flags_ok ||
	    ret->provider >= SC_PROVIDER_COUNT || !streams_ok(ret->streams) ||
	    !buffer_ok(ret->buffer_size) || !page_size_ok(ret->page_size) ||
	    (ret->local && !name_ok(ret->target_name)))
		return -1;
	return sc_dec_end(dec);
}

void sc_ctl_put_donor_ready(struct sc_enc *enc,
			    const struct sc_ctl_donor_ready *m)
{
	sc_enc_u16(enc, m->port);
	sc_enc_u32(enc, m->files);
	sc_enc_u64(enc, m->bytes);
	sc_enc_u64(enc, m->checkpoint_lsn);
}

int sc_ctl_get_donor_ready(struct sc_dec *dec, struct sc_ctl_donor_ready *ret)
{
	ret->port = sc_dec_u16(dec);
	ret->files = sc_dec_u32(dec);
	ret->bytes = sc_dec_u64(dec);
	ret->checkpoint_lsn = sc_dec_u64(dec);
	return sc_dec_end(dec);
}

void sc_ctl_put_locked(struct sc_enc *enc, const struct sc_ctl_locked *m)
{
	sc_enc_u64(enc, m->lsn);
	sc_enc_u8(enc, m->quiet_image);
}

int sc_ctl_get_locked(struct sc_dec *dec, struct sc_ctl_locked *ret)
{
	uint8_t quiet_image;

	ret->lsn = sc_dec_u64(dec);
	quiet_image = sc_dec_u8(dec);
	ret->quiet_image = quiet_image == 1;
	if (!ret->lsn || quiet_image > 1)
		return -1;
	return sc_dec_end(dec);
}

void sc_ctl_put_settled(struct sc_enc *enc, const struct sc_ctl_settled *m)
{
	sc_enc_u8(enc, m->what);
	sc_enc_u64(enc, m->image_lsn);
	sc_enc_str(enc, m->why);
}

int sc_ctl_get_settled(struct sc_dec *dec, struct sc_ctl_settled *ret)
{
	ret->what = sc_dec_u8(dec);
	ret->image_lsn = sc_dec_u64(dec);
	sc_dec_str(dec, ret->why, sizeof(ret->why));
	if (ret->what >= SC_SETTLED_COUNT ||
	    (ret->what == SC_SETTLED_IMAGE) != (ret->image_lsn != 0))
		return -1;
	return sc_dec_end(dec);
}

void sc_ctl_put_seal(struct sc_enc *enc, const struct sc_ctl_seal *m)
{
	sc_enc_u64(enc, m->end_lsn);
	sc_enc_u64(enc, m->seal_begin_us);
	sc_enc_u64(enc, m->binlog_position);
	sc_enc_str(enc, m->binlog_file);
	sc_enc_str(enc, m->redo_lost);
	sc_enc_str(enc, m->gtid_flushed);
	sc_enc_str(enc, m->gtid_executed);
}

/* The fields of a seal inside a larger body. */
static void get_seal_fields(struct sc_dec *dec, struct sc_ctl_seal *ret)
{
	*ret = (struct sc_ctl_seal){ 0 };
	ret->end_lsn = sc_dec_u64(dec);
	ret->seal_begin_us = sc_dec_u64(dec);
	ret->binlog_position = sc_dec_u64(dec);
	sc_dec_str(dec, ret->binlog_file, sizeof(ret->binlog_file));
	sc_dec_str(dec, ret->redo_lost, sizeof(ret->redo_lost));
	ret->gtid_flushed = sc_dec_strdup(dec, SC_CTL_MAX_BODY);
	ret->gtid_executed = sc_dec_strdup(dec, SC_CTL_MAX_BODY);
}

int sc_ctl_get_seal(struct sc_dec *dec, struct sc_ctl_seal *ret)
{
	get_seal_fields(dec, ret);
	return sc_dec_end(dec);
}

void sc_ctl_seal_free(struct sc_ctl_seal *seal)
{
	free(seal->gtid_flushed);
	free(seal->gtid_executed);
	*seal = (struct sc_ctl_seal){ 0 };
}

void sc_ctl_put_recipient_start(struct sc_enc *enc,
				const struct sc_ctl_recipient_start *m)
{
	sc_enc_raw(enc, m->job_id, sizeof(m->job_id));
	sc_enc_raw(enc, m->key, sizeof(m->key));
	sc_enc_u8(enc, m->tls);
	sc_enc_u8(enc, m->in_place);
	sc_enc_u8(enc, m->autotune);
	sc_enc_u32(enc, m->streams);
	sc_enc_u32(enc, m->data_bandwidth);
	sc_enc_u32(enc, m->network_bandwidth);
	sc_enc_u32(enc, m->page_size);
	sc_enc_u16(enc, m->port);
	sc_enc_str(enc, m->address);
	sc_enc_str(enc, m->peer);
	sc_enc_str(enc, m->target_name);
	sc_ctl_put_places(enc, &m->places);
}

/* Of a new directory nothing else lies elsewhere. */
static bool only_external(const struct sc_ctl_roots *m)
{
	bool ok = m->undo == 0 && m->n_system == 0;

	for (unsigned i = 1; i < m->n; i++)
		ok &= m->external[i];
	return ok;
}

int sc_ctl_get_recipient_start(struct sc_dec *dec,
			       struct sc_ctl_recipient_start *ret)
{
	uint8_t tls, in_place, autotune;

	sc_dec_raw(dec, ret->job_id, sizeof(ret->job_id));
	sc_dec_raw(dec, ret->key, sizeof(ret->key));
	tls = sc_dec_u8(dec);
	in_place = sc_dec_u8(dec);
	autotune = sc_dec_u8(dec);
	ret->tls = tls == 1;
	ret->in_place = in_place == 1;
	ret->autotune = autotune == 1;
	ret->streams = sc_dec_u32(dec);
	ret->data_bandwidth = sc_dec_u32(dec);
	ret->network_bandwidth = sc_dec_u32(dec);
	ret->page_size = sc_dec_u32(dec);
	ret->port = sc_dec_u16(dec);
	sc_dec_str(dec, ret->address, sizeof(ret->address));
	sc_dec_str(dec, ret->peer, sizeof(ret->peer));
	sc_dec_str(dec, ret->target_name, sizeof(ret->target_name));
	if (!get_places(dec, &ret->places) || tls > 1 || in_place > 1 ||
	    autotune > 1 ||
	    (!ret->in_place && !only_external(&ret->places.roots)) ||
	    !streams_ok(ret->streams) || !page_size_ok(ret->page_size) ||
	    ret->in_place == name_ok(ret->target_name))
		return -1;
	return sc_dec_end(dec);
}

void sc_ctl_put_progress(struct sc_enc *enc, const struct sc_ctl_progress *m)
{
	sc_enc_u8(enc, m->stage);
	sc_enc_u8(enc, m->state);
	sc_enc_u32(enc, m->threads);
	sc_enc_u64(enc, m->estimate);
	sc_enc_u64(enc, m->data);
	sc_enc_u64(enc, m->network);
}

int sc_ctl_get_progress(struct sc_dec *dec, struct sc_ctl_progress *ret)
{
	ret->stage = sc_dec_u8(dec);
	ret->state = sc_dec_u8(dec);
	ret->threads = sc_dec_u32(dec);
	ret->estimate = sc_dec_u64(dec);
	ret->data = sc_dec_u64(dec);
	ret->network = sc_dec_u64(dec);
	if (ret->stage >= SC_STAGE_COUNT || ret->state >= SC_STATE_COUNT)
		return -1;
	return sc_dec_end(dec);
}

void sc_ctl_put_done(struct sc_enc *enc, const struct sc_ctl_done *m)
{
	sc_enc_u64(enc, m->checkpoint_lsn);
	sc_ctl_put_seal(enc, &m->seal);
}

int sc_ctl_get_done(struct sc_dec *dec, struct sc_ctl_done *ret)
{
	ret->checkpoint_lsn = sc_dec_u64(dec);
	return sc_ctl_get_seal(dec, &ret->seal);
}

void sc_ctl_put_error(struct sc_enc *enc, const struct sc_ctl_error *m)
{
	sc_enc_u32(enc, m->code);
	sc_enc_str(enc, m->message);
}

int sc_ctl_get_error(struct sc_dec *dec, struct sc_ctl_error *ret)
{
	ret->code = sc_dec_u32(dec);
	sc_dec_str(dec, ret->message, sizeof(ret->message));
	/* Without a code a failure would pass for none; codes are ints. */
	if (ret->code == 0 || ret->code > INT_MAX)
		return -1;
	return sc_dec_end(dec);
}

void sc_ctl_put_job_status(struct sc_enc *enc,
			   const struct sc_ctl_job_status *m)
{
	sc_enc_raw(enc, m->job_id, sizeof(m->job_id));
	sc_enc_u8(enc, m->role);
	sc_enc_u8(enc, m->stage);
	sc_enc_u8(enc, m->state);
	sc_enc_u32(enc, m->threads);
	sc_enc_u64(enc, m->started_us);
	sc_enc_u64(enc, m->estimate);
	sc_enc_u64(enc, m->data);
	sc_enc_u64(enc, m->network);
	sc_enc_u64(enc, m->redo);
	sc_enc_u64(enc, m->swap_us);
	sc_enc_u64(enc, m->undo_us);
	sc_enc_u64(enc, m->area_used);
	sc_enc_u64(enc, m->area_bytes);
	sc_enc_str(enc, m->provider);
	sc_enc_str(enc, m->peer);
	sc_enc_str(enc, m->message);
}

int sc_ctl_get_job_status(struct sc_dec *dec, struct sc_ctl_job_status *ret)
{
	sc_dec_raw(dec, ret->job_id, sizeof(ret->job_id));
	ret->role = sc_dec_u8(dec);
	ret->stage = sc_dec_u8(dec);
	ret->state = sc_dec_u8(dec);
	ret->threads = sc_dec_u32(dec);
	ret->started_us = sc_dec_u64(dec);
	ret->estimate = sc_dec_u64(dec);
	ret->data = sc_dec_u64(dec);
	ret->network = sc_dec_u64(dec);
	ret->redo = sc_dec_u64(dec);
	ret->swap_us = sc_dec_u64(dec);
	ret->undo_us = sc_dec_u64(dec);
	ret->area_used = sc_dec_u64(dec);
	ret->area_bytes = sc_dec_u64(dec);
	sc_dec_str(dec, ret->provider, sizeof(ret->provider));
	sc_dec_str(dec, ret->peer, sizeof(ret->peer));
	sc_dec_str(dec, ret->message, sizeof(ret->message));
	if (ret->role > 2 || ret->stage >= SC_STAGE_COUNT ||
	    ret->state >= SC_STATE_COUNT)
		return -1;
	return dec->failed ? -1 : 0;
}
