/* SPDX-License-Identifier: GPL-2.0-only */
/* `snapclone cleanup`: remove the images that daemons left when they died, as
 * the service does when it starts. */
#include "daemon/cli/cli.h"

#include "daemon/provider.h"
#include "io/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage(FILE *to)
{
	fprintf(to,
		"usage: snapclone cleanup\n\n"
		"Removes the images (device-mapper and btrfs snapshots) of daemons that died; those of\n"
		"daemons that live stay. Needs root. Exit status: 0 nothing of them is left, 1 something\n"
		"could not be removed, 2 wrong usage.\n");
	return to == stdout ? EXIT_SUCCESS : 2;
}

int sc_cmd_cleanup(int argc, char **argv)
{
	char *none[] = { argv[0], NULL };
	struct sc_err err = SC_ERR_INIT;
	struct sc_config config;
	int n;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (argc != 1)
		return usage(stderr);
	if (geteuid() != 0) {
		fprintf(stderr,
			"snapclone cleanup: only root can remove images\n");
		return EXIT_FAILURE;
	}
	sc_log_setup(SC_LOG_WARNING, NULL, NULL);
	if (sc_config_load(&config, 1, none, &err) < 0) {
		fprintf(stderr, "snapclone cleanup: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	n = sc_provider_reap(&config, &err);
	if (n < 0) {
		fprintf(stderr, "snapclone cleanup: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	printf("%d image%s removed\n", n, n == 1 ? "" : "s");
	return EXIT_SUCCESS;
}
