/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of valid donors; see sysvars.h. Pure. */
#include "plugin/sysvars.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* One HOST:PORT of len bytes: 1 it is host:port, 0 another, -1 malformed. */
static int match_entry(const char *entry, size_t len, const char *host,
		       unsigned port)
{
	const char *colon = memchr(entry, ':', len);
	size_t host_len = colon ? (size_t)(colon - entry) : 0;
	unsigned long value = 0;

	if (host_len == 0 || host_len + 1 == len)
		return -1;
	for (size_t i = host_len + 1; i < len; i++) {
		if (!isdigit((unsigned char)entry[i]))
			return -1;
		value = value * 10 + (unsigned long)(entry[i] - '0');
		if (value > INT32_MAX)
			return -1;
	}
	return value == port && strlen(host) == host_len &&
	       !strncasecmp(entry, host, host_len);
}

int sc_donor_list_find(const char *list, const char *host, unsigned port)
{
	int found = 0;

	if (strchr(list, ' '))
		return -1;
	for (;;) {
		size_t len = strcspn(list, ",");
		int rc = match_entry(list, len, host, port);

		if (rc < 0)
			return -1;
		found |= rc;
		if (list[len] == '\0')
			return found;
		list += len + 1;
	}
}
