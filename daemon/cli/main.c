/* SPDX-License-Identifier: GPL-2.0-only */
/* snapclone: the operator's command line. One verb each in cmd_<verb>.c. */
#include "daemon/cli/cli.h"

#include "io/base/ctl.h"
#include "io/base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *text;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "check", "say how a donor's files would be cloned", sc_cmd_check },
	{ "cleanup", "remove images that daemons left when they died",
	  sc_cmd_cleanup },
	{ "status", "show the jobs that run on this host", sc_cmd_status },
	{ "verify", "compare a clone with its manifest", sc_cmd_verify },
};

static int usage(FILE *to)
{
	fprintf(to, "usage: snapclone VERB [OPTION ...]\n\n");
	for (size_t i = 0; i < SC_ARRAY_SIZE(verbs); i++)
		fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].text);
	fprintf(to, "\nsnapclone VERB --help tells more; --version prints %s\n",
		SC_VERSION);
	return to == stdout ? EXIT_SUCCESS : 2;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version")) {
		printf("snapclone %s\n", SC_VERSION);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < SC_ARRAY_SIZE(verbs); i++) {
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "snapclone: unknown verb %s\n", argv[1]);
	return usage(stderr);
}
