/* SPDX-License-Identifier: GPL-2.0-only */
/* snapcloned: settings, then one of the two ways to serve. */
#include "daemon/server.h"

#include "io/base/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct sc_err err = SC_ERR_INIT;
	struct sc_config config;

	if (sc_config_load(&config, argc, argv, &err) < 0) {
		fprintf(stderr, "snapcloned: %s\n", err.msg);
		return 2;
	}
	if (config.help) {
		sc_config_usage();
		return EXIT_SUCCESS;
	}
	if (config.version) {
		printf("snapcloned %s (control version %d)\n", SC_VERSION,
		       SC_CTL_VERSION);
		return EXIT_SUCCESS;
	}
	umask(0); /* modes are given where files are made */
	sc_log_setup(config.log_level, NULL, NULL);
	sc_engine_setup(config.engine);
	return config.embedded ? sc_serve_embedded(&config) : sc_serve(&config);
}
