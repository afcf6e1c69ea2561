/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replays what dm-log-writes recorded, to make a device as a power cut would
 * have left it.
 *
 *   replay_log list LOG              a line per entry that ends something:
 *                                    number, flush, fua or mark, its text
 *   replay_log apply LOG DEVICE FROM TO [SEED]
 *                                    write the entries FROM..TO-1 to DEVICE;
 *                                    with SEED those that no flush had made
 *                                    durable are kept or lost by chance
 *
 * The target logs a write once it can be durable: FUA writes when they are
 * done, others before the flush that gathers them. So everything up to a flush
 * was on the device when the flush returned; just before, of the entries since
 * the flush before it, all FUA writes and any of the others. Discards are left
 * out, as a device may do.
 *
 * Format: the kernel's drivers/md/dm-log-writes.c and
 * Documentation/admin-guide/device-mapper/log-writes.rst. A superblock, then
 * per entry a header in a sector of its own, which holds a mark's text, then
 * the data.
 */
#include "io/base/cleanup.h"
#include "io/base/codec.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOG_MAGIC 0x6a736677736872 /* WRITE_LOG_MAGIC */
#define LOG_VERSION 1
#define SECTOR_MAX 4096
#define DATA_MAX (16 << 20) /* of one entry; block layer limits are lower */
#define ENTRY_BYTES 32

enum { LOG_FLUSH = 1, LOG_FUA = 2, LOG_DISCARD = 4, LOG_MARK = 8 };

struct log {
	int fd;
	uint64_t entries;
	uint32_t sector;
	uint64_t at; /* byte offset of the next entry */
	uint8_t head[SECTOR_MAX];
};

struct entry {
	uint64_t sector, sectors, flags;
	uint64_t data; /* byte offset in the log */
};

static void read_log(struct log *log, void *buf, size_t len, uint64_t at)
{
	ssize_t n = sc_pread_full(log->fd, buf, len, at);

	if (n < 0 || (size_t)n < len)
		errx(1, "cannot read the log at %" PRIu64, at);
}

static void log_open(struct log *log, const char *path)
{
	log->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (log->fd < 0)
		err(1, "%s", path);
	read_log(log, log->head, ENTRY_BYTES, 0);
	if (sc_load_le64(log->head) != LOG_MAGIC ||
	    sc_load_le64(log->head + 8) != LOG_VERSION)
		errx(1, "%s is not a log of dm-log-writes", path);
	log->entries = sc_load_le64(log->head + 16);
	log->sector = sc_load_le32(log->head + 24);
	if (log->sector < 512 || log->sector > SECTOR_MAX)
		errx(1, "%s: sectors of %u bytes", path, log->sector);
	log->at = log->sector;
}

/* The next entry; log->head keeps its header and the text of a mark. */
static void log_next(struct log *log, struct entry *e)
{
	uint64_t text;

	read_log(log, log->head, log->sector, log->at);
	e->sector = sc_load_le64(log->head);
	e->sectors = sc_load_le64(log->head + 8);
	e->flags = sc_load_le64(log->head + 16);
	e->data = log->at + log->sector;
	text = sc_load_le64(log->head + 24);
	if (text >= log->sector - ENTRY_BYTES)
		errx(1, "the entry at %" PRIu64 " has no end", log->at);
	log->head[ENTRY_BYTES + text] = 0;
	log->at = e->data;
	if (!(e->flags & LOG_DISCARD))
		log->at += e->sectors * log->sector;
}

static int list(struct log *log)
{
	struct entry e;

	for (uint64_t i = 0; i < log->entries; i++) {
		log_next(log, &e);
		if (e.flags & LOG_MARK)
			printf("%" PRIu64 " mark %s\n", i,
			       (char *)log->head + ENTRY_BYTES);
		else if (e.flags & LOG_FLUSH)
			printf("%" PRIu64 " flush\n", i);
		else if (e.flags & LOG_FUA)
			printf("%" PRIu64 " fua\n", i);
	}
	return 0;
}

static void write_entry(struct log *log, int device, const struct entry *e)
{
	static uint8_t buf[DATA_MAX];
	size_t len = e->sectors * log->sector;

	if (len > sizeof(buf))
		errx(1, "an entry of %zu bytes", len);
	read_log(log, buf, len, e->data);
	if (sc_pwrite_full(device, buf, len, e->sector * log->sector))
		errx(1, "cannot write to the device at sector %" PRIu64,
		     e->sector);
}

static int apply(struct log *log, const char *path, uint64_t from, uint64_t to,
		 const char *seed)
{
	CLEANUP_CLOSE int device = open(path, O_WRONLY | O_CLOEXEC);
	struct entry e;

	if (device < 0)
		err(1, "%s", path);
	if (to > log->entries)
		errx(1, "the log has %" PRIu64 " entries", log->entries);
	if (seed)
		srandom((unsigned int)strtoul(seed, NULL, 10));
	for (uint64_t i = 0; i < to; i++) {
		log_next(log, &e);
		if (i < from || e.flags & (LOG_DISCARD | LOG_MARK))
			continue;
		if (seed && !(e.flags & LOG_FUA) && random() & 1)
			continue;
		write_entry(log, device, &e);
	}
	if (fsync(device))
		err(1, "%s", path);
	return 0;
}

int main(int argc, char **argv)
{
	static struct log log;

	if (argc == 3 && !strcmp(argv[1], "list")) {
		log_open(&log, argv[2]);
		return list(&log);
	}
	if ((argc == 6 || argc == 7) && !strcmp(argv[1], "apply")) {
		log_open(&log, argv[2]);
		return apply(&log, argv[3], strtoull(argv[4], NULL, 10),
			     strtoull(argv[5], NULL, 10), argv[6]);
	}
	errx(2, "usage: replay_log list LOG | "
		"apply LOG DEVICE FROM TO [SEED]");
}
