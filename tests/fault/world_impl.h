/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by world*.c only. */
#ifndef SC_FAULT_WORLD_IMPL_H
#define SC_FAULT_WORLD_IMPL_H

#include "tests/fault/world.h"

#define WORLD_TARGET "clone"

/* -1 with that text. */
int world_wrong(struct sc_err *err, const char *what);

/* Make the recipient's data directory anew. 0 or -1. */
int world_make_old(struct world *w, struct sc_err *err);

/* Undo what DDL did to the donor's files. */
void world_undo_alter(struct world *w);

#endif
