/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast one stream of the engine reads a data directory and checks its
 * pages, with a sink that takes the chunks and does nothing with them. No
 * server may run on the directory.
 *
 * Usage: build/perf/bench_copy [--reads] DATADIR
 * Prints bytes per second, the milliseconds of CPU in user mode and in the
 * kernel, and all milliseconds. --reads: the engine's reads of the same chunks
 * alone.
 */
#include "io/base/clock.h"
#include "io/copy.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SLOTS 8
#define PAGE_SIZE 16384

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	int fd = openat(image->root, path,
			O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));

	return fd < 0 ? -errno : fd;
}

static int stream_open(struct sc_sink *sink, unsigned stream,
		       struct sc_slots *slots, struct sc_err *err)
{
	(void)sink;
	(void)stream;
	(void)slots;
	(void)err;
	return 0;
}

static void stream_close(struct sc_sink *sink, unsigned stream)
{
	(void)sink;
	(void)stream;
}

static int take_chunk(struct sc_sink *sink, unsigned stream,
		      struct sc_slot *slot, struct sc_err *err)
{
	(void)sink;
	(void)stream;
	(void)slot;
	(void)err;
	return 0;
}

static int chunks_end(struct sc_sink *sink, unsigned stream, struct sc_err *err)
{
	(void)sink;
	(void)stream;
	(void)err;
	return 0;
}

static const struct sc_sink_ops ops = { .stream_open = stream_open,
					.stream_close = stream_close,
					.chunk = take_chunk,
					.chunks_end = chunks_end };

static void copy_all(struct sc_copy *copy, struct sc_slots *slots)
{
	struct sc_err error = SC_ERR_INIT;

	if (sc_copy_stream(copy, slots, 1, &error) < 0)
		errx(1, "%s", error.msg);
}

/* ---- reads alone --------------------------------------------------------- */

static int open_listed(void *arg, uint32_t file)
{
	struct sc_copy *copy = arg;

	return open_file(copy->image, copy->list->files[file].path, true);
}

static void await_read(struct sc_copy *copy, struct sc_slots *slots)
{
	struct sc_slot *slot = slots->engine->ops->wait(slots->engine)->user;

	if (slot->io.res < (int64_t)slot->chunk.len)
		errx(1, "read of %s: %" PRId64,
		     copy->list->files[slot->chunk.file].path, slot->io.res);
	copy->bytes_read += slot->chunk.len;
	sc_openfile_put(slot->in);
	sc_slot_give(slots, slot);
}

static void begin_read(struct sc_copy *copy, struct sc_openfiles *files,
		       struct sc_slots *slots, uint64_t chunk)
{
	const struct sc_file *file = sc_filelist_find_chunk(copy->list, chunk);
	uint64_t off = (chunk - file->first_chunk) * SC_CHUNK_SIZE;
	uint32_t index = (uint32_t)(file - copy->list->files);
	struct sc_slot *slot = sc_slot_take(slots);
	int sys_errno;

	slot->in = sc_openfile_get(files, index, &sys_errno);
	if (!slot->in)
		errx(1, "%s: %s", file->path, strerror(sys_errno));
	slot->chunk.file = index;
	slot->chunk.off = off;
	slot->chunk.len = (uint32_t)SC_MIN(SC_CHUNK_SIZE, file->size - off);
	sc_slot_read(slots, slot);
}

static void read_all(struct sc_copy *copy, struct sc_slots *slots)
{
	struct sc_openfiles files = { .open = open_listed,
				      .arg = copy,
				      .engine = slots->engine };

	if (sc_openfiles_init(&files, slots->n) < 0)
		errx(1, "out of memory");
	for (uint64_t chunk = 0; chunk < copy->list->chunks; chunk++) {
		if (!slots->n_idle)
			await_read(copy, slots);
		begin_read(copy, &files, slots, chunk);
	}
	while (slots->n_idle < slots->n)
		await_read(copy, slots);
	sc_openfiles_free(&files);
}

/* ---- both ---------------------------------------------------------------- */

static uint64_t in_ms(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000 + (uint64_t)tv->tv_usec / 1000;
}

static void measure(struct sc_copy *copy,
		    void (*run)(struct sc_copy *copy, struct sc_slots *slots))
{
	struct sc_err error = SC_ERR_INIT;
	struct sc_slots slots;
	struct rusage before, after;
	uint64_t begin = sc_now_ms(), ms;

	getrusage(RUSAGE_SELF, &before);
	if (sc_slots_init(&slots, SLOTS, NULL, &error) < 0)
		errx(1, "%s", error.msg);
	run(copy, &slots);
	sc_slots_free(&slots);
	getrusage(RUSAGE_SELF, &after);
	ms = sc_now_ms() - begin;
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	       atomic_load(&copy->bytes_read) * 1000 / (ms ? ms : 1),
	       in_ms(&after.ru_utime) - in_ms(&before.ru_utime),
	       in_ms(&after.ru_stime) - in_ms(&before.ru_stime), ms);
}

int main(int argc, char **argv)
{
	struct sc_image image = { .open_file = open_file, .provider = "bench" };
	bool reads = argc == 3 && !strcmp(argv[1], "--reads");
	struct sc_sink sink = { &ops };
	struct sc_filelist list = { 0 };
	struct sc_copy copy = { .list = &list, .image = &image, .sink = &sink };
	struct sc_err error = SC_ERR_INIT;

	if (argc != 2 && !reads)
		errx(2, "usage: bench_copy [--reads] DATADIR");
	image.root = open(argv[argc - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (image.root < 0)
		err(1, "%s", argv[argc - 1]);
	if (sc_filelist_scan(&image, "ibdata1:12M:autoextend", PAGE_SIZE, NULL,
			     &list, &error) < 0)
		errx(1, "%s", error.msg);
	measure(&copy, reads ? read_all : copy_all);
	sc_filelist_free(&list);
	close(image.root);
	return 0;
}
