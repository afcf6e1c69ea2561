/* SPDX-License-Identifier: GPL-2.0-only */
/* Bodies of the COM_CLONE dialogue; see com.h. Pure functions. */
#include "plugin/com.h"

#include "io/base/num.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists --------------------------------------------------------------- */

static void add_owned(struct sc_list *list, char *s)
{
	char **items =
		s ? realloc(list->items, (list->count + 1) * sizeof(*items))
		  : NULL;

	if (!items) {
		free(s);
		list->failed = true;
		return;
	}
	list->items = items;
	items[list->count++] = s;
}

void sc_list_add(struct sc_list *list, const char *s)
{
	if (!list->failed)
		add_owned(list, strdup(s));
}

void sc_list_free(struct sc_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct sc_list){ 0 };
}

static void put_list(struct sc_enc *enc, const struct sc_list *list)
{
	sc_enc_u32(enc, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++)
		sc_enc_str(enc, list->items[i]);
	enc->failed |= list->failed;
}

static int get_list(struct sc_dec *dec, struct sc_list *ret)
{
	uint32_t count = sc_dec_u32(dec);

	*ret = (struct sc_list){ 0 };
	if (count > SC_LIST_MAX)
		return -1;
	while (count-- > 0 && !dec->failed && !ret->failed)
		add_owned(ret, sc_dec_strdup(dec, SC_LIST_STRING_MAX));
	return dec->failed || ret->failed ? -1 : 0;
}

void sc_com_config_free(struct sc_com_config *config)
{
	sc_list_free(&config->variables);
	sc_list_free(&config->plugins);
	sc_list_free(&config->collations);
}

/* ---- bodies -------------------------------------------------------------- */

void sc_com_put_hello(struct sc_enc *enc, const struct sc_com_hello *m)
{
	sc_enc_u32(enc, m->version);
	sc_enc_str(enc, m->software);
}

int sc_com_get_hello(struct sc_dec *dec, struct sc_com_hello *ret)
{
	ret->version = sc_dec_u32(dec);
	sc_dec_str(dec, ret->software, sizeof(ret->software));
	return sc_dec_end(dec);
}

void sc_com_put_config(struct sc_enc *enc, const struct sc_com_config *m)
{
	put_list(enc, &m->variables);
	put_list(enc, &m->plugins);
	put_list(enc, &m->collations);
}

int sc_com_get_config(struct sc_dec *dec, struct sc_com_config *ret)
{
	*ret = (struct sc_com_config){ 0 };
	if (get_list(dec, &ret->variables) < 0 ||
	    get_list(dec, &ret->plugins) < 0 ||
	    get_list(dec, &ret->collations) < 0)
		return -1;
	if (ret->variables.count % 2 || ret->plugins.count % 2)
		return -1;
	return sc_dec_end(dec);
}

void sc_com_put_start(struct sc_enc *enc, const struct sc_com_start *m)
{
	sc_enc_u8(enc, m->tls);
	sc_enc_u8(enc, m->block_ddl);
	sc_enc_u8(enc, m->compress);
	sc_enc_u32(enc, m->ddl_timeout);
	sc_enc_u32(enc, m->streams);
	sc_enc_u32(enc, m->data_bandwidth);
	sc_enc_u32(enc, m->network_bandwidth);
}

static bool get_bool(struct sc_dec *dec)
{
	uint8_t v = sc_dec_u8(dec);

	dec->failed |= v > 1;
	return v == 1;
}

int sc_com_get_start(struct sc_dec *dec, struct sc_com_start *ret)
{
	ret->tls = get_bool(dec);
	ret->block_ddl = get_bool(dec);
	ret->compress = get_bool(dec);
	ret->ddl_timeout = sc_dec_u32(dec);
	ret->streams = sc_dec_u32(dec);
	ret->data_bandwidth = sc_dec_u32(dec);
	ret->network_bandwidth = sc_dec_u32(dec);
	if (ret->streams < 1 || ret->streams > SC_MAX_STREAMS)
		return -1;
	return sc_dec_end(dec);
}

void sc_com_put_poll(struct sc_enc *enc, const struct sc_com_poll *m)
{
	sc_enc_u8(enc, m->seen);
	sc_enc_u16(enc, m->wait_ms);
	sc_enc_u32(enc, m->data_bandwidth);
	sc_enc_u32(enc, m->network_bandwidth);
}

int sc_com_get_poll(struct sc_dec *dec, struct sc_com_poll *ret)
{
	ret->seen = sc_dec_u8(dec);
	ret->wait_ms = sc_dec_u16(dec);
	ret->data_bandwidth = sc_dec_u32(dec);
	ret->network_bandwidth = sc_dec_u32(dec);
	if (ret->seen >= SC_DONOR_PHASE_COUNT || ret->wait_ms > SC_COM_POLL_MS)
		return -1;
	return sc_dec_end(dec);
}

void sc_com_put_state(struct sc_enc *enc, const struct sc_com_state *m)
{
	sc_enc_u8(enc, m->phase);
	if (m->phase == SC_DONOR_READY) {
		sc_enc_u16(enc, m->port);
		sc_enc_raw(enc, m->job_id, sizeof(m->job_id));
		sc_enc_raw(enc, m->key, sizeof(m->key));
		sc_enc_u32(enc, m->files);
		sc_enc_u64(enc, m->bytes);
	} else if (m->phase == SC_DONOR_FAILED) {
		sc_enc_u32(enc, m->error_no);
		sc_enc_str(enc, m->error_text);
	}
}

int sc_com_get_state(struct sc_dec *dec, struct sc_com_state *ret)
{
	*ret = (struct sc_com_state){ .phase = sc_dec_u8(dec) };
	if (ret->phase == SC_DONOR_READY) {
		ret->port = sc_dec_u16(dec);
		sc_dec_raw(dec, ret->job_id, sizeof(ret->job_id));
		sc_dec_raw(dec, ret->key, sizeof(ret->key));
		ret->files = sc_dec_u32(dec);
		ret->bytes = sc_dec_u64(dec);
		if (ret->port == 0)
			return -1;
	} else if (ret->phase == SC_DONOR_FAILED) {
		ret->error_no = sc_dec_u32(dec);
		sc_dec_str(dec, ret->error_text, sizeof(ret->error_text));
	}
	if (ret->phase >= SC_DONOR_PHASE_COUNT)
		return -1;
	return sc_dec_end(dec);
}

int sc_com_get_error(const uint8_t *body, size_t len, uint32_t *ret_nr,
		     char *text, size_t cap)
{
	if (len < 4)
		return -1;
	*ret_nr = sc_load_le32(body);
	len = SC_MIN(len - 4, cap - 1);
	memcpy(text, body + 4, len);
	text[len] = '\0';
	return 0;
}
