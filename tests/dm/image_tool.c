/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes, uses and undoes an image of a device by command line, for tests.
 *
 *   image_tool [--cow=AREA] [--size=MIB] [--chunk=KIB] make DIR
 *       makes an image of the device under DIR, prints "made SWAP_US
 * MAJOR:MINOR" (of the snapshot), then does what lines on standard input say,
 * until their end, when it undoes the image and prints "undone UNDO_US": check
 * prints "whole" or "lost REASON" fill         prints "USED TOTAL" in bytes cat
 * FILE     prints the 32-bit sum and length of DIR/FILE in it image_tool probe
 * DIR     prints what an image would stand on, or why not image_tool reap
 * prints the number of images removed
 *
 * Exit status 0, or 1 with the reason on standard error. A build with hooks
 * dies at the step SNAPCLONE_KILL_AFTER names (dm:STEP, "dm undo:STEP",
 * "dm reap:STEP"; the steps are in daemon/dm_image.c and dm_reap.c).
 */
#include "daemon/dm_image.h"

#include "daemon/dm_mount.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

static int sum_file(struct sc_dm_image *im, int dir, const char *name,
		    struct sc_err *err)
{
	CLEANUP_CLOSE int there = sc_dm_same_dir(im->mounted, dir, err);
	CLEANUP_CLOSE int fd =
		there < 0 ? -1 : sc_open_beneath(there, name, O_RDONLY, 0);
	uint64_t len = 0;
	uint32_t sum = 0;
	uint8_t buf[65536];
	ssize_t n;

	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -fd,
				  "cannot open %s in the image", name);
	while ((n = sc_pread_full(fd, buf, sizeof(buf), len)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + buf[i];
		len += (uint64_t)n;
	}
	if (n < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, (int)-n,
				  "cannot read %s in the image", name);
	printf("%08x %" PRIu64 "\n", sum, len);
	return 0;
}

static void say_check(struct sc_dm_image *im)
{
	struct sc_err err = SC_ERR_INIT;

	if (sc_dm_image_check(im, &err) == 0)
		printf("whole\n");
	else
		printf("lost %s\n", err.msg);
}

static int run_line(struct sc_dm_image *im, int dir, char *line,
		    struct sc_err *err)
{
	struct sc_dm_fill fill;

	line[strcspn(line, "\n")] = '\0';
	if (!strcmp(line, "check")) {
		say_check(im);
		return 0;
	}
	if (!strcmp(line, "fill")) {
		if (sc_dm_image_fill(im, &fill, err) < 0)
			return -1;
		printf("%" PRIu64 " %" PRIu64 "\n", fill.used, fill.total);
		return 0;
	}
	if (!strncmp(line, "cat ", 4))
		return sum_file(im, dir, line + 4, err);
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "unknown command %s",
			  line);
}

static int make(const struct sc_dm_settings *settings, int dir,
		struct sc_err *err)
{
	struct sc_dm_image *im;
	uint64_t undo_us;
	char line[256];
	int rc = 0;

	if (sc_dm_image_open(settings, dir, &im, err) < 0)
		return -1;
	printf("made %" PRIu64 " %u:%u\n", im->swap_us, major(im->snap),
	       minor(im->snap));
	fflush(stdout);
	while (rc == 0 && fgets(line, sizeof(line), stdin)) {
		rc = run_line(im, dir, line, err);
		fflush(stdout);
	}
	if (sc_dm_image_close(im, &undo_us, err) < 0)
		return -1;
	printf("undone %" PRIu64 "\n", undo_us);
	return rc;
}

static int probe(const struct sc_dm_settings *settings, int dir,
		 struct sc_err *err)
{
	CLEANUP_CLOSE int sys = sc_sys_open(err);
	struct sc_dm_origin origin;
	uint64_t bytes;
	int rc;

	if (sys < 0 || sc_dm_origin_find(sys, dir, &origin, err) < 0)
		return -1;
	rc = sc_dm_cow_probe(sys, settings, &origin, &bytes, err);
	if (rc == 0)
		printf("%s %s %" PRIu64 " encrypted=%d area %" PRIu64 "\n",
		       origin.name, origin.fs, origin.bytes, origin.encrypted,
		       bytes);
	sc_dm_origin_free(&origin);
	return rc;
}

static int take_option(struct sc_dm_settings *s, const char *arg)
{
	if (!strncmp(arg, "--cow=", 6) && s->n_cow < SC_DM_COW_AREAS)
		snprintf(s->cow[s->n_cow++], sizeof(s->cow[0]), "%s", arg + 6);
	else if (!strncmp(arg, "--size=", 7))
		s->cow_size = strtoull(arg + 7, NULL, 10) * SC_MIB;
	else if (!strncmp(arg, "--chunk=", 8))
		s->chunk = (uint32_t)(strtoul(arg + 8, NULL, 10) * SC_KIB);
	else
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct sc_dm_settings settings = { .chunk = 32 * SC_KIB };
	struct sc_err err = SC_ERR_INIT;
	CLEANUP_CLOSE int dir = -1;
	int i = 1, rc = -1;

	sc_log_setup(getenv("IMAGE_TOOL_DEBUG") ? SC_LOG_DEBUG : SC_LOG_INFO,
		     NULL, NULL);
	while (i < argc && !strncmp(argv[i], "--", 2) &&
	       take_option(&settings, argv[i]) == 0)
		i++;
	if (i + 1 < argc)
		dir = open(argv[i + 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (i + 1 == argc && !strcmp(argv[i], "reap")) {
		rc = sc_dm_reap(&err);
		if (rc >= 0)
			printf("%d\n", rc);
	} else if (dir >= 0 && !strcmp(argv[i], "make")) {
		rc = make(&settings, dir, &err);
	} else if (dir >= 0 && !strcmp(argv[i], "probe")) {
		rc = probe(&settings, dir, &err);
	} else {
		sc_err_set(&err, SC_ER_INTERNAL_ERROR,
			   "usage: see the head of tests/dm/image_tool.c");
	}
	if (rc < 0)
		fprintf(stderr, "image_tool: %s\n", err.msg);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
