/* SPDX-License-Identifier: GPL-2.0-only */
/* Text that is not ours; see cli.h. */
#include "daemon/cli/cli.h"

/* How many bytes of control character there are: of ASCII's, or of U+0080 to
 * U+009F in UTF-8, of which terminals heed some too. */
static unsigned control_bytes(const unsigned char *c)
{
	if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
		return 2;
	return *c < ' ' || *c == 0x7f;
}

void sc_cli_put(FILE *to, const char *text)
{
	while (*text) {
		unsigned n = control_bytes((const unsigned char *)text);

		putc(n ? '?' : *text, to);
		text += n ? n : 1;
	}
}
