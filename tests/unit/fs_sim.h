/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A disk that loses power, in memory: it is told every change (fs_wrap.h) and
 * makes the directories that may be found after a crash at any moment.
 *
 * Only what an fsync covers is sure: the bytes of a file by an fsync of the
 * file, a name (create, rename, unlink, mkdir) by one of its directory (of both
 * when it moves; or of the one from which its directory is removed). Of the
 * changes since then, those before the crash are lost or not, in any order;
 * tried are: all lost, all there, each one alone lost, each one alone there. A
 * rename is atomic. Less than what journalling file systems promise.
 */
#ifndef SC_TESTS_FS_SIM_H
#define SC_TESTS_FS_SIM_H

#include "tests/unit/fs_wrap.h"

#include <stddef.h>

struct fs_sim;

/* Everything below root is durable now. The path of root must not change. */
struct fs_sim *fs_sim_new(int root);
void fs_sim_free(struct fs_sim *sim);

/* For fs_hooks.after. */
void fs_sim_note(struct fs_sim *sim, const struct fs_op *op);

/* Changes and fsyncs noted so far; a crash at `at` comes after so many. */
size_t fs_sim_count(const struct fs_sim *sim);

/* dirfd: the directory after a crash, removed after the call. what: for
 * messages. */
typedef void fs_sim_fn(int dirfd, size_t at, const char *what, void *arg);

/* Every different directory that crashes at from up to and including to may
 * leave; their number. */
size_t fs_sim_crashes(struct fs_sim *sim, size_t from, size_t to, fs_sim_fn *fn,
		      void *arg);

#endif
