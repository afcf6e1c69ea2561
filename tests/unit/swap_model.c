/* SPDX-License-Identifier: GPL-2.0-only */
/* The model of the start-up swap; see swap_model.h. */
#include "tests/unit/swap_model.h"

#include "tests/unit/dir_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_PROGRESS "#clone/#status_in_progress"
#define ERROR "#clone/#status_error"
#define RECOVERY "#clone/#status_recovery"
#define OLD_FILES "#clone/#old_files"
#define REPLACE_FILES "#clone/#replace_files"
#define NEW_FILES "#clone/#new_files"
#define DDL_FILES "#clone/#ddl_files"

/* Which of X, X.#clone_save and X.#clone are there. */
enum {
	DATA = 1,
	SAVED = 2,
	CLONED = 4,
};

typedef void entry_fn(struct swap_start *s, const char *path);

const char *swap_end_name(enum swap_end end)
{
	static const char *const names[] = { "under way", "refused",
					     "fatal",	  "killed",
					     "failed",	  "rolled back",
					     "none",	  "done" };

	return names[end];
}

/* ---- changes, counted ------------------------------------------------------
 */

static bool may(struct swap_start *s)
{
	if (s->end)
		return false;
	if (s->steps == SWAP_ALL)
		return true;
	if (!s->steps)
		s->end = SWAP_KILLED;
	else
		s->steps--;
	return !s->end;
}

static void fatal(struct swap_start *s, const char *what, const char *path)
{
	if (s->end)
		return;
	s->end = SWAP_FATAL;
	snprintf(s->why, sizeof(s->why), "%s: %.200s", what, path);
}

static bool has(const struct swap_start *s, const char *path)
{
	return dir_fixture_has(s->datadir, path);
}

static void append_line(struct swap_start *s, const char *path,
			const char *text)
{
	int fd;

	if (!may(s))
		return;
	fd = openat(s->datadir, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		    0640);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fatal(s, "cannot write", path);
	close(fd);
}

static void move(struct swap_start *s, const char *path, const char *from,
		 const char *to)
{
	char a[2048], b[2048];

	snprintf(a, sizeof(a), "%s%s", path, from);
	snprintf(b, sizeof(b), "%s%s", path, to);
	if (may(s) && renameat(s->datadir, a, s->datadir, b) < 0)
		fatal(s, "cannot rename", a);
}

static void drop(struct swap_start *s, const char *path);

static void drop_dir(struct swap_start *s, const char *path)
{
	int fd = openat(s->datadir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct dirent *de;
	char name[2048];

	while (dir && !s->end && (de = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, de->d_name);
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			drop(s, name);
	}
	closedir(dir);
	if (may(s))
		unlinkat(s->datadir, path, AT_REMOVEDIR);
}

/* A file, a directory with all below it, or nothing. Failures are logged. */
static void drop(struct swap_start *s, const char *path)
{
	struct stat st;

	if (fstatat(s->datadir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISDIR(st.st_mode))
		drop_dir(s, path);
	else if (may(s))
		unlinkat(s->datadir, path, 0);
}

static void drop_suffixed(struct swap_start *s, const char *path,
			  const char *suffix)
{
	char name[2048];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	drop(s, name);
}

/* False when there is no such list. */
static bool for_each(struct swap_start *s, const char *list, entry_fn *fn)
{
	char *text, *line, *save = NULL;
	size_t len;

	if (dir_fixture_get(s->datadir, list, (uint8_t **)&text, &len) < 0)
		return false;
	for (line = strtok_r(text, "\n", &save); line && !s->end;
	     line = strtok_r(NULL, "\n", &save))
		fn(s, line);
	free(text);
	return true;
}

/* ---- one file
 * ----------------------------------------------------------------
 */

static int state_of(const struct swap_start *s, const char *path)
{
	char name[2048];
	int state = has(s, path) ? DATA : 0;

	snprintf(name, sizeof(name), "%s.#clone_save", path);
	state |= has(s, name) ? SAVED : 0;
	snprintf(name, sizeof(name), "%s.#clone", path);
	return state | (has(s, name) ? CLONED : 0);
}

/* Replaced: DATA+CLONED -> SAVED+CLONED -> DATA+SAVED. */
static void forward(struct swap_start *s, const char *path)
{
	switch (state_of(s, path)) {
	case DATA | CLONED:
		move(s, path, "", ".#clone_save");
		/* fall through */
	case SAVED | CLONED:
		move(s, path, ".#clone", "");
		/* fall through */
	case DATA | SAVED:
	case DATA:
		break;
	default:
		fatal(s, "roll forward of a file in an invalid state", path);
	}
}

static void finish(struct swap_start *s, const char *path)
{
	forward(s, path);
	if (!s->end && state_of(s, path) == (DATA | SAVED))
		drop_suffixed(s, path, ".#clone_save");
}

static void back(struct swap_start *s, const char *path)
{
	switch (state_of(s, path)) {
	case DATA | SAVED:
		move(s, path, "", ".#clone");
		/* fall through */
	case SAVED | CLONED:
		move(s, path, ".#clone_save", "");
		/* fall through */
	case DATA | CLONED:
		drop_suffixed(s, path, ".#clone");
		/* fall through */
	case DATA:
		break;
	default:
		fatal(s, "roll back of a file in an invalid state", path);
	}
}

/* Only in the old data; with another file's help it is skipped. */
static bool is_pair(int state)
{
	return state == (DATA | CLONED) || state == (SAVED | CLONED) ||
	       state == (DATA | SAVED);
}

static void old_forward(struct swap_start *s, const char *path)
{
	int state = state_of(s, path);

	if (state == DATA)
		move(s, path, "", ".#clone_save");
	else if (state && state != SAVED && !is_pair(state))
		fatal(s, "an old file in an invalid state", path);
}

static void old_finish(struct swap_start *s, const char *path)
{
	old_forward(s, path);
	if (!s->end && state_of(s, path) == SAVED)
		drop_suffixed(s, path, ".#clone_save");
}

static void old_back(struct swap_start *s, const char *path)
{
	int state = state_of(s, path);

	if (state == SAVED)
		move(s, path, ".#clone_save", "");
	else if (state && state != DATA && !is_pair(state))
		fatal(s, "roll back of an old file in an invalid state", path);
}

/* ---- the start
 * ---------------------------------------------------------------
 */

static void each_and_drop(struct swap_start *s, const char *list, entry_fn *fn)
{
	if (for_each(s, list, fn))
		drop(s, list);
}

static void roll_back(struct swap_start *s)
{
	if (!has(s, ERROR))
		append_line(s, ERROR, "");
	each_and_drop(s, OLD_FILES, old_back);
	each_and_drop(s, REPLACE_FILES, back);
	each_and_drop(s, NEW_FILES, drop);
	each_and_drop(s, DDL_FILES, drop);
	drop(s, ERROR);
}

static void all_forward(struct swap_start *s)
{
	/* Without the list of replaced files old ones are left alone. */
	if (!has(s, REPLACE_FILES))
		drop(s, OLD_FILES);
	for_each(s, OLD_FILES, old_forward);
	for_each(s, REPLACE_FILES, forward);
}

static void all_finish(struct swap_start *s, bool fresh)
{
	s->past_return = true;
	each_and_drop(s, OLD_FILES, old_finish);
	if (for_each(s, REPLACE_FILES, finish) && fresh)
		append_line(s, RECOVERY, "end\n");
	drop(s, NEW_FILES);
	drop(s, REPLACE_FILES);
}

/* The state of the last entry tells whether it was all done before. */
static bool done_before(struct swap_start *s)
{
	char *text, *last;
	size_t len;
	bool done;

	if (dir_fixture_get(s->datadir, REPLACE_FILES, (uint8_t **)&text,
			    &len) < 0)
		return true;
	if (len)
		text[len - 1] = '\0';
	last = strrchr(text, '\n');
	done = len && state_of(s, last ? last + 1 : text) == DATA;
	free(text);
	return done;
}

static void recover(struct swap_start *s)
{
	bool swaps = has(s, REPLACE_FILES) || has(s, NEW_FILES);
	bool fresh = !done_before(s);

	all_forward(s);
	if (fresh) {
		drop(s, RECOVERY);
		append_line(s, RECOVERY, "begin\n");
	}
	if (s->end)
		return;
	if (s->fails_early) {
		roll_back(s);
		if (fresh)
			append_line(s, RECOVERY, "0\n");
		s->end = s->end ? s->end : SWAP_FAILED;
		return;
	}
	all_finish(s, fresh);
	if (!s->end)
		s->end = swaps ? SWAP_DONE : SWAP_NONE;
}

enum swap_end swap_start(struct swap_start *s)
{
	s->end = SWAP_UNDER_WAY;
	s->past_return = false;
	s->why[0] = '\0';
	if (has(s, IN_PROGRESS)) {
		s->end = SWAP_REFUSED;
		snprintf(s->why, sizeof(s->why), "%s", IN_PROGRESS);
		return s->end;
	}
	if (!has(s, ERROR)) {
		recover(s);
		return s->end;
	}
	roll_back(s);
	if (!s->end)
		s->end = SWAP_ROLLED_BACK;
	return s->end;
}

enum swap_end swap_start_once(int datadir, bool fails_early,
			      const char **ret_why)
{
	static struct swap_start s;

	s = (struct swap_start){ .datadir = datadir,
				 .fails_early = fails_early,
				 .steps = SWAP_ALL };
	swap_start(&s);
	if (ret_why)
		*ret_why = s.why;
	return s.end;
}
