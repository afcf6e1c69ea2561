/* SPDX-License-Identifier: GPL-2.0-only */
/* Verbs of the command line. argv[0] is the verb; they return the exit status:
 * 0, 1 for a failure (verify: something differs), 2 for wrong usage (verify:
 * also when it could not verify). */
#ifndef SC_CLI_H
#define SC_CLI_H

#include <stdio.h>

int sc_cmd_check(int argc, char **argv);
int sc_cmd_cleanup(int argc, char **argv);
int sc_cmd_status(int argc, char **argv);
int sc_cmd_verify(int argc, char **argv);

/* text.c: write what somebody else has worded, names of files for example:
 * nothing of it is a command to the terminal. */
void sc_cli_put(FILE *to, const char *text);

#endif
