/* SPDX-License-Identifier: GPL-2.0-only */
/* The COM_CLONE dialogue. First byte: which body follows; what is sound is
 * encoded again: the same bytes. */
#include "plugin/com.c"
#include "tests/fuzz/fuzz.h"

enum { CONFIG, START, POLL, STATE, HELLO, ERROR_TEXT, KINDS };

static void same(const struct fuzz_in *in, struct sc_enc *enc)
{
	FUZZ_CHECK(!enc->failed && enc->len == in->left);
	FUZZ_CHECK(!enc->len || !memcmp(enc->data, in->p, enc->len));
	sc_enc_free(enc);
}

#define SIMPLE(name)                                                           \
	static void try_##name(const struct fuzz_in *in)                       \
	{                                                                      \
		struct sc_dec dec = sc_dec_init(in->p, in->left);              \
		struct sc_com_##name m = { 0 };                                \
		struct sc_enc enc = { 0 };                                     \
                                                                               \
		if (sc_com_get_##name(&dec, &m) < 0)                           \
			return;                                                \
		sc_com_put_##name(&enc, &m);                                   \
		same(in, &enc);                                                \
	}

SIMPLE(start)
SIMPLE(poll)
SIMPLE(state)
SIMPLE(hello)

static void try_config(const struct fuzz_in *in)
{
	CLEANUP_CONFIG struct sc_com_config m = { 0 };
	struct sc_dec dec = sc_dec_init(in->p, in->left);
	struct sc_enc enc = { 0 };

	if (sc_com_get_config(&dec, &m) < 0)
		return;
	sc_com_put_config(&enc, &m);
	same(in, &enc);
}

static void try_error(const struct fuzz_in *in)
{
	char text[64];
	uint32_t nr;

	if (sc_com_get_error(in->p, in->left, &nr, text, sizeof(text)) == 0)
		FUZZ_CHECK(strnlen(text, sizeof(text)) < sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[KINDS])(const struct fuzz_in *) = {
		try_config, try_start, try_poll,
		try_state,  try_hello, try_error,
	};
	struct fuzz_in in = { data, size };
	uint8_t kind = fuzz_u8(&in);

	if (kind < KINDS)
		kinds[kind](&in);
	return 0;
}
