/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A directory's files as text, to be compared: path, mode, size, time and inode
 * of everything below. One thread.
 */
#ifndef SC_FAULT_LISTING_H
#define SC_FAULT_LISTING_H

#include "io/base/err.h"

/* To be freed; NULL: it cannot be read, or has too many files. */
char *listing_make(const char *root);

/* 0 when the directory is as a listing of it says, else -1 with the first
 * difference. */
int listing_same(const char *root, const char *want, struct sc_err *err);

#endif
