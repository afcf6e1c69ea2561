/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The directories that hold a server's tablespaces: its data directory, and
 * what innodb_undo_directory, innodb_data_home_dir, innodb_data_file_path and
 * innodb_directories name besides.
 *
 * In a clone, files have one name each, whatever directory they lie in: undo
 * tablespaces and files of the system tablespace that without a directory. So a
 * name tells its directory, here, and on another server with other settings.
 * External tablespaces (general ones, and tables with DATA DIRECTORY) keep
 * their absolute name: the data dictionary has it.
 *
 * Pure functions; any thread.
 */
#ifndef SC_BASE_ROOTS_H
#define SC_BASE_ROOTS_H

#include "io/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The data directory and as many others. */
#define SC_MAX_ROOTS 12
/* In place of an index: a name that lies in none of them. */
#define SC_NO_ROOT SC_MAX_ROOTS
/* Files of the system tablespace; the server has no limit but the length of
 * innodb_data_file_path. */
#define SC_MAX_SYSTEM_FILES 64
/* Source: FN_REFLEN of the server. */
#define SC_ROOT_PATH_MAX 512

/* Does a directory hold external tablespaces? */
enum sc_external {
	SC_EXTERNAL_NO,
	SC_EXTERNAL_YES,
	/* It may, but a clone's donor had none there when the clone began: an
	 * image need not have it. Running files come later. */
	SC_EXTERNAL_LATER,
};

struct sc_system_file {
	char name[256]; /* without directory */
	uint8_t root;	/* index of its directory */
};

struct sc_roots {
	int fd[SC_MAX_ROOTS]; /* 0: the data directory; borrowed */
	/* Absolute; that of the data directory is not used. External names
	 * begin with it. */
	char path[SC_MAX_ROOTS][SC_ROOT_PATH_MAX];
	/* enum sc_external; at any depth there; never root 0. */
	uint8_t external[SC_MAX_ROOTS];
	unsigned n;    /* >= 1 */
	unsigned undo; /* index of the undo tablespaces' directory */
	struct sc_system_file system[SC_MAX_SYSTEM_FILES];
	unsigned n_system;
};

/*
 * The next file that innodb_data_file_path names, as it stands there
 * ("ibdata1:12M;/dir/ibdata2:10M:autoextend"). at: begins at the value, moves
 * on. ret: cap bytes. 1, 0 at the end, or -1 (empty or too long). Source:
 * SysTablespace::parse_params() in fsp/fsp0sysspace.cc.
 */
int sc_data_file_next(const char **at, char *ret, size_t cap);

/* A path's last component. */
const char *sc_base_name(const char *path);

/* Has it the name of a table's or general tablespace's file, *.ibd? */
bool sc_is_table_name(const char *path);

/* The rest of a path that lies below a directory, NULL when it does not. dir:
 * without '/' at its end. By their texts. */
const char *sc_path_below(const char *dir, const char *path);

/*
 * Set the files of the system tablespace. in: the index of each one's
 * directory, in order; n of them. 0 or -1 (malformed, a name twice, too many,
 * other than n).
 */
int sc_roots_set_system(struct sc_roots *roots, const char *data_file_path,
			const uint8_t *in, size_t n, struct sc_err *err);

/* Has an undo tablespace, or the log of its truncation, that name (without
 * directory)? Source: storage/innobase/include/fsp0types.h, undo::Tablespace.
 */
bool sc_undo_name(const char *name);
/* The same, but for a tablespace with a name of its own: *.ibu. */
bool sc_undo_name_implicit(const char *name);
/* A tablespace's file with a suffix: X.ibd, X.ibu. A path, or its last part. */
bool sc_is_tablespace_name(const char *path);

/* The index of the directory in which a file of the clone lies; SC_NO_ROOT: an
 * absolute name in none. */
unsigned sc_roots_find(const struct sc_roots *roots, const char *path);

/* Where a file lies: an open directory, and its path relative to that. */
struct sc_place {
	int dir; /* borrowed; -1: in no directory of the clone */
	const char *path;
};

/* The place of a file of the clone; roots NULL: everything lies in datadir. */
struct sc_place sc_roots_place(const struct sc_roots *roots, int datadir,
			       const char *path);

/* Must an image of the donor have that directory? */
static inline bool sc_roots_in_image(const struct sc_roots *roots, unsigned i)
{
	return roots->external[i] != SC_EXTERNAL_LATER;
}

/* A name of an external tablespace's file. */
static inline bool sc_is_external(const char *path)
{
	return path[0] == '/';
}

/* Is that open directory one of several? A walk of another one goes round it.
 * roots may be NULL. */
bool sc_roots_has(const struct sc_roots *roots, int dir);

/* Is a directory of that name looked into for tablespaces? The server's own
 * ones (redo, temporary tablespaces) are not. depth: of the directory it is in,
 * 0: one of the roots. */
bool sc_dir_wanted(const char *name, int depth);

/* Is that open directory, below one for external tablespaces, the data
 * directory of a server, or a clone in the making? Its files are no external
 * tablespaces. */
bool sc_is_data_directory(int dir);

/* Does a walk of an open directory for external tablespaces come to that file
 * (relative)? Not through symbolic links, nor through directories that are not
 * looked into. What is not there any more is no matter: true. */
bool sc_external_reaches(int root, const char *path);

#endif
