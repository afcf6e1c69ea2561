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

void sc_ctl_put_limits(struct sc_enc *enc, const struct sc_ctl_limits *m)
{
	sc_enc_u32(enc, m->data_bandwidth);
	sc_enc_u32(enc, m->network_bandwidth);
}

int sc_ctl_get_limits(struct sc_dec *dec, struct sc_ctl_limits *ret)
{
	ret->data_bandwidth = sc_dec_u32(dec);
	ret->network_bandwidth = sc_dec_u32(dec);
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
