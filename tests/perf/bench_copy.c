/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How fast one stream of the engine reads a data directory and checks its
 * pages, with a sink that takes the chunks and does nothing with them. No
 * server may run on the directory.
 * Usage: build/perf/bench_copy DATADIR    prints bytes per second
 */
#include "io/base/clock.h"
#include "io/copy.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

static uint64_t copy_all(struct sc_image *image, struct sc_filelist *list,
			 struct sc_err *error)
{
	struct sc_sink sink = { &ops };
	struct sc_copy copy = { .list = list, .image = image, .sink = &sink };
	struct sc_slots slots;
	uint64_t begin = sc_now_ms(), ms;

	if (sc_slots_init(&slots, SLOTS, NULL, error) < 0 ||
	    sc_copy_stream(&copy, &slots, 1, error) < 0)
		errx(1, "%s", error->msg);
	ms = sc_now_ms() - begin;
	sc_slots_free(&slots);
	return atomic_load(&copy.bytes_read) * 1000 / (ms ? ms : 1);
}

int main(int argc, char **argv)
{
	struct sc_image image = { .open_file = open_file, .provider = "bench" };
	struct sc_filelist list = { 0 };
	struct sc_err error = SC_ERR_INIT;

	if (argc != 2)
		errx(2, "usage: bench_copy DATADIR");
	image.root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (image.root < 0)
		err(1, "%s", argv[1]);
	if (sc_filelist_scan(&image, "ibdata1:12M:autoextend", PAGE_SIZE, NULL,
			     &list, &error) < 0)
		errx(1, "%s", error.msg);
	printf("%" PRIu64 "\n", copy_all(&image, &list, &error));
	sc_filelist_free(&list);
	close(image.root);
	return 0;
}
