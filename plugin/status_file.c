/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clone_status and clone_progress on disk, in the stock plugin's format:
 *
 *   #view_status    "state id", "begin end" (µs), source, error number, error
 *                   text, binlog file, position, GTID set (several lines)
 *   #view_progress  id, then per stage "state threads begin end estimate data
 *                   network"
 *   #status_recovery  written by InnoDB at start: begin, end (0: failed),
 *                   binlog file, position, GTID set
 */
#include "plugin/status.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLONE_DIR "#clone"
#define VIEW_STATUS "#view_status"
#define VIEW_PROGRESS "#view_progress"
#define STATUS_RECOVERY "#status_recovery"
#define REPLACE_FILES "#replace_files"

/* One line without its newline into buf (may be cut); false at the end. */
static bool read_line(FILE *in, char *buf, size_t cap)
{
	CLEANUP_FREE char *line = NULL;
	size_t size = 0;
	ssize_t len = getline(&line, &size, in);

	if (len < 0) {
		buf[0] = '\0';
		return false;
	}
	if (len > 0 && line[len - 1] == '\n')
		line[len - 1] = '\0';
	snprintf(buf, cap, "%s", line);
	return true;
}

/* All that is left up to a NUL, without trailing newlines. NULL when nothing
 * is. */
static char *read_rest(FILE *in)
{
	char *text = NULL;
	size_t size = 0;
	ssize_t len = getdelim(&text, &size, '\0', in);

	if (len > 0)
		len = (ssize_t)strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len <= 0) {
		free(text);
		return NULL;
	}
	return text;
}

static uint64_t read_u64(FILE *in)
{
	char line[64];

	read_line(in, line, sizeof(line));
	return strtoull(line, NULL, 10);
}

void sc_status_parse_view(FILE *in, struct sc_status *st)
{
	char line[128];

	read_line(in, line, sizeof(line));
	if (sscanf(line, "%" SCNu32 " %" SCNu32, &st->state, &st->id) != 2)
		st->id = 0;
	if (st->state >= SC_STATE_COUNT)
		st->state = SC_STATE_NOT_STARTED;
	read_line(in, line, sizeof(line));
	if (sscanf(line, "%" SCNu64 " %" SCNu64, &st->begin_us, &st->end_us) !=
	    2)
		st->begin_us = st->end_us = 0;
	read_line(in, st->source, sizeof(st->source));
	st->error_no = (uint32_t)read_u64(in);
	read_line(in, st->error_text, sizeof(st->error_text));
	read_line(in, st->binlog_file, sizeof(st->binlog_file));
	st->binlog_position = read_u64(in);
	free(st->gtid_executed);
	st->gtid_executed = read_rest(in);
}

void sc_status_print_view(FILE *out, const struct sc_status *st)
{
	bool running = st->state == SC_STATE_IN_PROGRESS;

	fprintf(out, "%" PRIu32 " %" PRIu32 "\n", st->state, st->id);
	fprintf(out, "%" PRIu64 " %" PRIu64 "\n", st->begin_us, st->end_us);
	fprintf(out, "%s\n", st->source);
	/* What a crash would leave is an interrupted clone. */
	fprintf(out, "%" PRIu32 "\n%s\n",
		running ? SC_ER_QUERY_INTERRUPTED : st->error_no,
		running ? "Query execution was interrupted" : st->error_text);
	fprintf(out, "%s\n%" PRIu64 "\n%s\n", st->binlog_file,
		st->binlog_position,
		st->gtid_executed ? st->gtid_executed : "");
}

void sc_status_parse_progress(FILE *in, struct sc_status *st)
{
	uint32_t id = (uint32_t)read_u64(in);
	char line[256];

	for (int i = SC_STAGE_NONE + 1; i < SC_STAGE_COUNT; i++) {
		struct sc_stage_row *row = &st->stages[i];

		if (!read_line(in, line, sizeof(line)))
			return;
		if (sscanf(line,
			   "%" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNu64
			   " %" SCNu64 " %" SCNu64 " %" SCNu64,
			   &row->state, &row->threads, &row->begin_us,
			   &row->end_us, &row->estimate, &row->data,
			   &row->network) != 7 ||
		    row->state >= SC_STATE_COUNT)
			*row = (struct sc_stage_row){ 0 };
	}
	if (st->id == 0)
		st->id = id;
}

void sc_status_print_progress(FILE *out, const struct sc_status *st)
{
	fprintf(out, "%" PRIu32 "\n", st->id);
	for (int i = SC_STAGE_NONE + 1; i < SC_STAGE_COUNT; i++) {
		const struct sc_stage_row *row = &st->stages[i];
		/* What a crash would leave unfinished is a failed stage. */
		uint32_t state = row->state == SC_STATE_IN_PROGRESS
					 ? SC_STATE_FAILED
					 : row->state;

		fprintf(out,
			"%" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64
			" %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			state, row->threads, row->begin_us, row->end_us,
			row->estimate, row->data, row->network);
	}
}

/*
 * The stages of a clone this server was started on: the restart lies between
 * the end of the copy and the beginning of recovery. The record is of an
 * earlier time when the old server died before it could write the end of it.
 */
static void recovered_stages(struct sc_status *st, uint64_t begin, uint64_t end)
{
	struct sc_stage_row *sync = &st->stages[SC_STAGE_FILE_SYNC];
	struct sc_stage_row *restart = &st->stages[SC_STAGE_RESTART];
	struct sc_stage_row *recovery = &st->stages[SC_STAGE_RECOVERY];

	for (uint32_t i = SC_STAGE_NONE + 1; i < SC_STAGE_RESTART; i++) {
		struct sc_stage_row *row = &st->stages[i];

		if (row->end_us == 0 || row->state != SC_STATE_COMPLETED) {
			row->end_us = row->begin_us;
			row->state = SC_STATE_COMPLETED;
		}
	}
	restart->begin_us = sync->end_us ? sync->end_us : begin;
	restart->end_us = recovery->begin_us = begin;
	restart->state = SC_STATE_COMPLETED;
	recovery->end_us = end;
	recovery->state = end ? SC_STATE_COMPLETED : SC_STATE_FAILED;
}

/*
 * The position InnoDB recovered: file and offset, which are there only when a
 * stock clone made them, then the GTID set, whose lines are no numbers. Where
 * our own engine wrote the position of the seal it stays, because InnoDB's is
 * of an earlier time. Source: clone_update_recovery_status() and
 * clone_update_gtid_status() in storage/innobase/clone/clone0api.cc.
 */
static void parse_position(FILE *in, struct sc_status *st)
{
	char file[sizeof(st->binlog_file)], position[64];
	long start = ftell(in);

	if (st->binlog_file[0] || (st->gtid_executed && *st->gtid_executed))
		return;
	if (read_line(in, file, sizeof(file)) &&
	    read_line(in, position, sizeof(position)) && *position &&
	    strspn(position, "0123456789") == strlen(position)) {
		snprintf(st->binlog_file, sizeof(st->binlog_file), "%s", file);
		st->binlog_position = strtoull(position, NULL, 10);
	} else {
		fseek(in, start, SEEK_SET);
	}
	free(st->gtid_executed);
	st->gtid_executed = read_rest(in);
}

void sc_status_parse_recovery(FILE *in, struct sc_status *st,
			      uint64_t unknown_end_us)
{
	uint64_t begin = read_u64(in), end = unknown_end_us;
	char line[64];

	if (read_line(in, line, sizeof(line)))
		end = strtoull(line, NULL, 10);
	if (unknown_end_us)
		parse_position(in, st);
	recovered_stages(st, begin, end);
	st->end_us = end;
	st->state = end ? SC_STATE_COMPLETED : SC_STATE_FAILED;
	/* What a completed clone has to say stays. */
	if (!end || st->error_no)
		snprintf(
			st->error_text, sizeof(st->error_text), "%s",
			end ? ""
			    : "Recovery failed. Please Retry Clone. For details, look into server error log.");
	st->error_no = end ? 0 : SC_ER_INTERNAL_ERROR;
}

static FILE *open_file(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, 0640);
	FILE *f = fd < 0 ? NULL : fdopen(fd, flags == O_RDONLY ? "r" : "w");

	if (!f && fd >= 0)
		close(fd);
	return f;
}

static int open_clone_dir(int dirfd)
{
	return openat(dirfd, CLONE_DIR,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void read_with(int dir, const char *name, struct sc_status *st,
		      void (*parse)(FILE *in, struct sc_status *st))
{
	FILE *in = open_file(dir, name, O_RDONLY);

	if (!in)
		return;
	parse(in, st);
	fclose(in);
}

void sc_status_read(int dirfd, struct sc_status *st)
{
	CLEANUP_CLOSE int dir = open_clone_dir(dirfd);

	if (dir < 0)
		return;
	read_with(dir, VIEW_STATUS, st, sc_status_parse_view);
	read_with(dir, VIEW_PROGRESS, st, sc_status_parse_progress);
	unlinkat(dir, VIEW_STATUS ".tmp", 0);
	unlinkat(dir, VIEW_PROGRESS ".tmp", 0);
	st->pid = 0;
	snprintf(st->destination, sizeof(st->destination), "%s",
		 SC_LOCAL_INSTANCE);
}

/* NULL when out of memory. */
static char *print_with(const struct sc_status *st,
			void (*print)(FILE *out, const struct sc_status *st))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	print(out, st);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

void sc_status_write(int dirfd, const struct sc_status *st, bool make)
{
	CLEANUP_FREE char *view = print_with(st, sc_status_print_view);
	CLEANUP_FREE char *progress = print_with(st, sc_status_print_progress);
	struct sc_err ignored = SC_ERR_INIT;
	CLEANUP_CLOSE int dir = -1;

	if (make)
		mkdirat(dirfd, CLONE_DIR, 0750);
	dir = open_clone_dir(dirfd);
	if (dir < 0 || !view || !progress)
		return;
	sc_write_files(dir,
		       (const struct sc_small_file[]){
			       { VIEW_STATUS, view, strlen(view) },
			       { VIEW_PROGRESS, progress, strlen(progress) } },
		       2, geteuid(), getegid(), &ignored);
	fsync(dir);
}

bool sc_status_recover(int dirfd, struct sc_status *st)
{
	CLEANUP_CLOSE int dir = open_clone_dir(dirfd);
	FILE *in = dir < 0 ? NULL : open_file(dir, STATUS_RECOVERY, O_RDONLY);
	bool pending;

	if (!in)
		return false;
	/* InnoDB removes that list after it appended the GTIDs. It does not
	 * sync what it appends: a power cut takes that away. */
	pending = faccessat(dir, REPLACE_FILES, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	sc_status_parse_recovery(in, st, pending ? 0 : sc_wall_us());
	fclose(in);
	if (!pending)
		unlinkat(dir, STATUS_RECOVERY, 0);
	return !pending;
}
