/* SPDX-License-Identifier: GPL-2.0-only */
/* snapcloned.conf. */
#include "tests/fuzz/fuzz.h"

#include "daemon/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct sc_config config = { .max_jobs = 1 };
	struct sc_err err = SC_ERR_INIT;
	char *text = fuzz_text(&in);

	if (sc_config_parse(&config, "fuzz", text, &err) == 0) {
		FUZZ_CHECK(config.n_allowed <= SC_MAX_ALLOWED_USERS);
		FUZZ_CHECK(config.max_jobs >= 1 && config.max_jobs <= 64);
		FUZZ_CHECK(memchr(config.socket, 0, sizeof(config.socket)));
	} else {
		FUZZ_CHECK(strstr(err.msg, "fuzz"));
	}
	free(text);
	return 0;
}
