/* SPDX-License-Identifier: GPL-2.0-only */
/* The record behind the two performance_schema tables; see status.h. */
#include "plugin/status.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SPEED_WINDOW_US 500000 /* speeds are averages over at least this */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sc_status record; /* under lock */
static bool running;		/* under lock */
static struct {
	uint64_t at_us, data, network;
} speed_from; /* under lock */

static void set_text(char *dst, const char *src)
{
	snprintf(dst, SC_STATUS_TEXT, "%s", src ? src : "");
}

/* mysqld's working directory is its data directory. */
static void save(void)
{
	sc_status_write(AT_FDCWD, &record, true);
}

void sc_status_load(void)
{
	SC_LOCK_SCOPE(&lock);

	sc_status_read(AT_FDCWD, &record);
}

void sc_status_unload(void)
{
	SC_LOCK_SCOPE(&lock);

	sc_status_free(&record);
	running = false;
}

void sc_status_free(struct sc_status *st)
{
	free(st->gtid_executed);
	*st = (struct sc_status){ 0 };
}

static bool into_this_server(void)
{
	return !strcmp(record.destination, SC_LOCAL_INSTANCE);
}

bool sc_status_replacing(void)
{
	SC_LOCK_SCOPE(&lock);

	return running && into_this_server();
}

static void stage_begin(uint32_t stage)
{
	struct sc_stage_row *row = &record.stages[stage];

	row->state = SC_STATE_IN_PROGRESS;
	row->begin_us = sc_wall_us();
	row->end_us = 0;
	record.stage = stage;
	record.data_speed = record.network_speed = 0;
	speed_from.at_us = row->begin_us;
	speed_from.data = speed_from.network = 0;
}

static void stage_end(uint32_t stage, uint32_t state)
{
	struct sc_stage_row *row = &record.stages[stage];

	row->state = state;
	row->end_us = sc_wall_us();
	if (row->begin_us == 0)
		row->begin_us = row->end_us;
	if (record.stage == stage)
		record.stage = SC_STAGE_NONE;
}

/* Stages run in order: those before one that runs are completed. */
static void stages_end_before(uint32_t stage)
{
	for (uint32_t i = SC_STAGE_NONE + 1; i < stage; i++) {
		if (record.stages[i].state != SC_STATE_COMPLETED)
			stage_end(i, SC_STATE_COMPLETED);
	}
}

int sc_status_begin(unsigned long pid, const char *source,
		    const char *destination, struct sc_err *err)
{
	SC_LOCK_SCOPE(&lock);

	if (running)
		return sc_err_set(err, SC_ER_CLONE_TOO_MANY,
				  "a clone is already running");
	running = true;
	/* What nobody has read of an earlier clone is not said of this one. */
	sc_status_recover(AT_FDCWD, &record);
	sc_status_free(&record);
	record.id = 1;
	record.pid = (uint32_t)pid;
	record.state = SC_STATE_IN_PROGRESS;
	record.begin_us = sc_wall_us();
	set_text(record.source, source ? source : SC_LOCAL_INSTANCE);
	set_text(record.destination,
		 destination ? destination : SC_LOCAL_INSTANCE);
	stage_begin(SC_STAGE_DROP_DATA);
	if (into_this_server())
		save();
	return 0;
}

static void update_speed(const struct sc_stage_row *row)
{
	uint64_t now = sc_wall_us(), passed = now - speed_from.at_us;

	if (now < speed_from.at_us + SPEED_WINDOW_US ||
	    row->data < speed_from.data || row->network < speed_from.network)
		return;
	record.data_speed =
		(uint32_t)((row->data - speed_from.data) * 1000000 / passed);
	record.network_speed = (uint32_t)((row->network - speed_from.network) *
					  1000000 / passed);
	speed_from.at_us = now;
	speed_from.data = row->data;
	speed_from.network = row->network;
}

/* Redo is copied beside the files, but a client expects one stage after the
 * other: the later one begins to show when the files are done. */
static bool is_early(uint32_t stage)
{
	return stage > SC_STAGE_FILE_COPY &&
	       record.stages[SC_STAGE_FILE_COPY].state != SC_STATE_COMPLETED;
}

void sc_status_progress(const struct sc_ctl_progress *p)
{
	struct sc_stage_row *row;
	SC_LOCK_SCOPE(&lock);

	if (!running || p->stage == SC_STAGE_NONE ||
	    p->stage >= SC_STAGE_COUNT || p->state >= SC_STATE_COUNT)
		return;
	row = &record.stages[p->stage];
	if (row->state == SC_STATE_NOT_STARTED &&
	    p->state != SC_STATE_NOT_STARTED && !is_early(p->stage)) {
		stages_end_before(p->stage);
		stage_begin(p->stage);
	}
	row->threads = p->threads;
	row->estimate = p->estimate;
	row->data = p->data;
	row->network = p->network;
	if (row->state == SC_STATE_IN_PROGRESS) {
		update_speed(row);
		if (p->state == SC_STATE_COMPLETED ||
		    p->state == SC_STATE_FAILED)
			stage_end(p->stage, p->state);
	}
}

void sc_status_copying(uint32_t threads, uint64_t bytes)
{
	sc_status_progress(&(struct sc_ctl_progress){
		.stage = SC_STAGE_FILE_COPY,
		.state = SC_STATE_IN_PROGRESS,
		.threads = threads,
		.estimate = bytes,
	});
}

/* The server prints a set with one UUID per line; sets travel without. */
static char *gtid_lines(const char *set)
{
	size_t commas = 0, n = 0;
	char *text;

	for (const char *p = set; *p; p++)
		commas += *p == ',';
	text = malloc(strlen(set) + commas + 1);
	if (!text)
		return NULL;
	for (const char *p = set; *p; p++) {
		if (*p == '\n')
			continue;
		text[n++] = *p;
		if (*p == ',')
			text[n++] = '\n';
	}
	text[n] = '\0';
	return text;
}

static void set_position(const char *file, uint64_t position, const char *gtids)
{
	set_text(record.binlog_file, file);
	record.binlog_position = position;
	free(record.gtid_executed);
	record.gtid_executed = gtids ? gtid_lines(gtids) : NULL;
}

void sc_status_seal(const struct sc_ctl_seal *seal)
{
	bool lost = *seal->redo_lost;
	SC_LOCK_SCOPE(&lock);

	/* Which GTIDs a clone that ends with S has its recovery will tell. */
	set_position(seal->binlog_file, seal->binlog_position,
		     lost ? NULL : seal->gtid_executed);
	set_text(record.error_text, seal->redo_lost);
}

void sc_status_end(const struct sc_err *err, int target_fd)
{
	SC_LOCK_SCOPE(&lock);

	if (!running)
		return;
	running = false;
	record.end_us = sc_wall_us();
	if (sc_err_is_set(err)) {
		record.state = SC_STATE_FAILED;
		record.error_no = (uint32_t)err->code;
		set_text(record.error_text, err->msg);
		if (record.stage != SC_STAGE_NONE)
			stage_end(record.stage, SC_STATE_FAILED);
	} else {
		record.state = SC_STATE_COMPLETED;
		stages_end_before(SC_STAGE_RESTART);
	}
	if (into_this_server())
		save();
	else if (target_fd >= 0)
		sc_status_write(target_fd, &record, true);
}

void sc_status_restarting(void)
{
	SC_LOCK_SCOPE(&lock);

	if (!running)
		return;
	stages_end_before(SC_STAGE_RESTART);
	stage_begin(SC_STAGE_RESTART);
	save();
}

/* A row for what start-up has to say, also when #view_status was lost. */
static void ensure_row(uint32_t state)
{
	if (record.id)
		return;
	record.id = 1;
	record.state = state;
	set_text(record.source, SC_LOCAL_INSTANCE);
	set_text(record.destination, SC_LOCAL_INSTANCE);
}

void sc_status_set_position(const char *binlog_file, uint64_t position,
			    const char *gtid_executed)
{
	SC_LOCK_SCOPE(&lock);

	if (running)
		return;
	sc_status_recover(AT_FDCWD, &record);
	ensure_row(SC_STATE_COMPLETED);
	set_position(binlog_file, position, gtid_executed);
	save();
}

void sc_status_set_redo_lost(const char *text)
{
	SC_LOCK_SCOPE(&lock);

	if (running)
		return;
	sc_status_recover(AT_FDCWD, &record);
	ensure_row(SC_STATE_COMPLETED);
	if (record.state != SC_STATE_FAILED)
		set_text(record.error_text, text);
	save();
}

void sc_status_recovered(void)
{
	SC_LOCK_SCOPE(&lock);

	if (!running && sc_status_recover(AT_FDCWD, &record))
		save();
}

void sc_status_set_failed(int error_no, const char *text)
{
	SC_LOCK_SCOPE(&lock);

	if (running)
		return;
	sc_status_recover(AT_FDCWD, &record);
	ensure_row(SC_STATE_FAILED);
	record.state = SC_STATE_FAILED;
	record.error_no = (uint32_t)error_no;
	set_text(record.error_text, text);
	save();
}

void sc_status_set_finished(const char *text)
{
	SC_LOCK_SCOPE(&lock);

	if (running || record.state != SC_STATE_FAILED)
		return;
	record.state = SC_STATE_COMPLETED;
	record.error_no = 0;
	set_text(record.error_text, text);
	save();
}

void sc_status_snapshot(struct sc_status *ret)
{
	SC_LOCK_SCOPE(&lock);

	if (!running && sc_status_recover(AT_FDCWD, &record))
		save();
	*ret = record;
	if (record.gtid_executed)
		ret->gtid_executed = strdup(record.gtid_executed);
}
