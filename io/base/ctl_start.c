/* SPDX-License-Identifier: GPL-2.0-only */
/* Bodies of the messages that begin a job; see ctl.h. Pure functions. */
#include "io/base/ctl.h"

#include "io/base/num.h"

#include <string.h>

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
		sc_dec_str(dec, ret->path[i], sizeof(ret->path[i]));
		ret->external[i] = sc_dec_u8(dec);
		if (ret->external[i] > SC_EXTERNAL_LATER)
			return false;
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
