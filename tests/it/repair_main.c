/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For test_dblwr.py: check the pages of files as those of an atomic image, and
 * put the repaired ones back.
 * usage: repair_main DATADIR PAGE_SIZE CHECKPOINT FILE...
 * Prints checked=N repaired=N unchecked=N, or the error of the first bad page.
 */
#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/copy_check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum { MAX_FILES = 16 };

static struct sc_err err = SC_ERR_INIT;
static struct sc_file files[MAX_FILES];

static int repair(struct sc_copy_checker *checker, int dir,
		  struct sc_file *file)
{
	const char *path = file->path;
	CLEANUP_CLOSE int fd = openat(dir, path, O_RDWR | O_CLOEXEC);
	CLEANUP_FREE uint8_t *buf = malloc(SC_CHUNK_SIZE);
	ssize_t n;

	if (fd < 0 || !buf || sc_pread_full(fd, buf, 4096, 0) != 4096)
		return sc_err_set(&err, 1, "cannot read %s", path);
	if (sc_page_spec_read(buf, 4096, &file->spec, &err))
		return sc_err_set(&err, 1, "%s has no page 0", path);
	for (uint64_t off = 0;
	     (n = sc_pread_full(fd, buf, SC_CHUNK_SIZE, off)) > 0;
	     off += (uint64_t)n) {
		if (sc_copy_check(checker, file, fd, off, buf, (uint32_t)n,
				  &err) < 0)
			return -1;
		if (sc_pwrite_full(fd, buf, (size_t)n, off))
			return sc_err_set(&err, 1, "cannot write %s", path);
	}
	return (int)n;
}

static int run(int argc, char **argv, struct sc_copy *copy)
{
	CLEANUP_CLOSE int dir = open(argv[1], O_RDONLY | O_DIRECTORY);
	struct sc_dblwr *dblwr = NULL;
	struct sc_copy_checker *checker = sc_copy_checker_new(copy);
	int rc = sc_dblwr_load(dir, (uint32_t)atol(argv[2]),
			       strtoull(argv[3], NULL, 10), &dblwr, &err);

	copy->dblwr = dblwr;
	for (int i = 0; i < argc - 4 && rc == 0; i++) {
		files[i].path = argv[4 + i];
		files[i].kind = SC_FILE_PAGES;
		rc = repair(checker, dir, &files[i]);
	}
	sc_copy_checker_free(checker);
	sc_dblwr_free(dblwr);
	return rc;
}

int main(int argc, char **argv)
{
	struct sc_image image = { .provider = "test", .atomic = true };
	struct sc_copy copy = { .image = &image };

	if (argc < 5 || argc > 4 + MAX_FILES)
		return 2;
	if (run(argc, argv, &copy)) {
		printf("%s\n", err.msg);
		return 1;
	}
	printf("checked=%" PRIu64 " repaired=%" PRIu64 " unchecked=%" PRIu64
	       "\n",
	       (uint64_t)copy.pages_checked, (uint64_t)copy.pages_repaired,
	       (uint64_t)copy.pages_unchecked);
	return 0;
}
