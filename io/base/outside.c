/* SPDX-License-Identifier: GPL-2.0-only */
/* The note of what a clone made elsewhere; see outside.h. */
#include "io/base/outside.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLONE_DIR "#clone"
#define NOTE_NAME "#snapclone_outside"
#define NOTE CLONE_DIR "/" NOTE_NAME
/* Names of 2^21 files at most; this is more than any server has elsewhere. */
#define NOTE_MAX (1u << 30)
#define ID_CAP 64

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "directory of the clone: %s", what);
}

static int open_note(struct sc_outside *note, int target, uid_t uid, gid_t gid,
		     struct sc_err *err)
{
	CLEANUP_CLOSE int dir =
		openat(target, CLONE_DIR,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return failed(errno, CLONE_DIR, err);
	note->fd = openat(
		dir, NOTE_NAME,
		O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (note->fd < 0 || (geteuid() == 0 && fchown(note->fd, uid, gid) < 0))
		return failed(errno, NOTE, err);
	return fsync(dir) < 0 ? failed(errno, CLONE_DIR, err) : 0;
}

int sc_outside_add(struct sc_outside *note, int target, uid_t uid, gid_t gid,
		   const char *name, struct sc_err *err)
{
	CLEANUP_FREE char *line = NULL;
	int n = asprintf(&line, "%s\n", name), rc;

	if (n < 0) {
		line = NULL;
		return failed(ENOMEM, NOTE, err);
	}
	if (note->fd < 0 && open_note(note, target, uid, gid, err) < 0)
		return -1;
	rc = sc_write_full(note->fd, line, (size_t)n);
	return rc < 0 ? failed(-rc, NOTE, err) : 0;
}

/* Not the device: its number may be another one after a reboot. */
static void identify(const struct stat *st, char *ret, size_t cap)
{
	snprintf(ret, cap, "%ju %jd.%09ld ", (uintmax_t)st->st_ino,
		 (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

int sc_outside_add_final(struct sc_outside *note, int target, uid_t uid,
			 gid_t gid, const struct stat *st, const char *name,
			 struct sc_err *err)
{
	CLEANUP_FREE char *line = NULL;
	char id[ID_CAP];

	identify(st, id, sizeof(id));
	if (asprintf(&line, "%s%s", id, name) < 0) {
		line = NULL;
		return failed(ENOMEM, NOTE, err);
	}
	return sc_outside_add(note, target, uid, gid, line, err);
}

int sc_outside_sync(struct sc_outside *note, struct sc_err *err)
{
	if (note->fd >= 0 && fsync(note->fd) < 0)
		return failed(errno, NOTE, err);
	return 0;
}

void sc_outside_close(struct sc_outside *note)
{
	if (note->fd >= 0)
		close(note->fd);
	note->fd = -1;
}

/* All of the note, "" when there is none; the caller frees. NULL with err. */
static char *read_note(int target, struct sc_err *err)
{
	CLEANUP_CLOSE int fd =
		openat(target, NOTE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = { 0 };
	char *text;
	ssize_t n = 0;

	if (fd < 0 ? errno != ENOENT : fstat(fd, &st) < 0) {
		failed(errno, NOTE, err);
		return NULL;
	}
	text = st.st_size > NOTE_MAX ? NULL : calloc(1, (size_t)st.st_size + 1);
	if (text && fd >= 0)
		n = sc_pread_full(fd, text, (size_t)st.st_size, 0);
	if (text && n >= 0)
		return text;
	failed(text ? (int)-n : ENOMEM, NOTE, err);
	free(text);
	return NULL;
}

static int cannot_remove(int sys_errno, const char *name, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot remove %s", name);
}

/* Is the file of that name the one that the id tells of? An empty id: any. 1, 0
 * or -errno. */
static int is_noted(int dir, const char *base, const char *id, size_t len)
{
	char found[ID_CAP];
	struct stat st;

	if (!len)
		return 1;
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	identify(&st, found, sizeof(found));
	return strlen(found) == len && !memcmp(found, id, len);
}

/* The note is its owner's, who may have written any name into it: one who can
 * do more removes only from directories that are the owner's too. */
static bool may_remove(int dir, const struct stat *owner)
{
	struct stat st;

	return geteuid() != 0 || owner->st_uid == 0 ||
	       (fstat(dir, &st) == 0 &&
		sc_dir_belongs(&st, owner->st_uid, owner->st_gid));
}

/* name: behind its id in line. 0 or -errno. */
static int remove_noted(const char *line, char *name, int flags,
			const struct stat *owner)
{
	char *slash = strrchr(name, '/');
	CLEANUP_CLOSE int dir = -1;
	int rc;

	*slash = '\0';
	dir = open(slash == name ? "/" : name,
		   O_PATH | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	if (dir < 0)
		return -errno;
	if (!may_remove(dir, owner))
		return -EPERM;
	rc = is_noted(dir, slash + 1, line, (size_t)(name - line));
	if (rc <= 0)
		return rc;
	return unlinkat(dir, slash + 1, flags) < 0 ? -errno : 0;
}

/* line: its '/' at the end, if it is a directory, is cut off. 0 or -1. */
static int remove_one(char *line, const struct stat *owner, struct sc_err *err)
{
	char *name = strchr(line, '/');
	size_t len = name ? strlen(name) : 0;
	bool dir = len > 1 && name[len - 1] == '/';
	int rc;

	if (!name)
		return 0;
	name[len - dir] = '\0';
	rc = remove_noted(line, name, dir ? AT_REMOVEDIR : 0, owner);
	return rc == 0 || rc == -ENOENT || rc == -ENOTDIR
		       ? 0
		       : cannot_remove(-rc, name, err);
}

int sc_outside_remove(int target, struct sc_err *err)
{
	CLEANUP_FREE char *text = read_note(target, err);
	unsigned stay = 0;
	struct stat owner;
	char *line;

	if (!text)
		return -1;
	if (fstat(target, &owner) < 0)
		return failed(errno, "fstat", err);
	/* A line that a crash cut off was not in use. */
	line = strrchr(text, '\n');
	*(line ? line + 1 : text) = '\0';
	/* The last one first: directories after what is in them. */
	for (char *end = text + strlen(text); end > text; end = line) {
		end[-1] = '\0';
		line = memrchr(text, '\n', (size_t)(end - 1 - text));
		line = line ? line + 1 : text;
		stay += remove_one(line, &owner, err) < 0;
	}
	return stay ? sc_err_context(err, "%u files or directories stay", stay)
		    : 0;
}

void sc_outside_forget(int target)
{
	(void)unlinkat(target, NOTE, 0);
}
