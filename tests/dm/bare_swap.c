/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Suspends and resumes a device with the table it has, as often as asked, by
 * the same one ioctl that swaps an image in: what that costs without an image.
 *
 *   bare_swap MAJOR:MINOR TIMES    prints the microseconds of each
 */
#include "daemon/dm_dev.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

static int swap_once(dev_t dev, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table table = { 0 };
	uint64_t us;

	if (sc_dm_read(dev, false, &table, err) < 0 ||
	    sc_dm_load(dev, &table, err) < 0 || sc_dm_swap(dev, &us, err) < 0)
		return -1;
	printf("%" PRIu64 "\n", us);
	return 0;
}

int main(int argc, char **argv)
{
	struct sc_err error = SC_ERR_INIT;
	unsigned major, minor;

	if (argc != 3 || sscanf(argv[1], "%u:%u", &major, &minor) != 2)
		errx(2, "usage: bare_swap MAJOR:MINOR TIMES");
	if (sc_dm_setup(&error) < 0)
		errx(1, "%s", error.msg);
	for (int n = atoi(argv[2]); n > 0; n--) {
		if (swap_once(makedev(major, minor), &error) < 0)
			errx(1, "%s", error.msg);
	}
	return 0;
}
