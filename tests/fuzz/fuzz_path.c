/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Paths of files: what is taken stays below the directory and is none of ours.
 * First byte: 0 a path as text, 1 file records of a FILES frame, 2
 * innodb_data_file_path over an empty directory.
 */
#include "tests/fuzz/fuzz.h"

#include "io/base/fdio.h"
#include "io/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Twin of sc_path_ok(), in another way: the components one by one. */
static bool stays_below(const char *path)
{
	size_t len = strlen(path);

	if (!len || len >= SC_PATH_MAX || path[len - 1] == '/')
		return false;
	if (*path == '/' && strcmp(path + SC_MAX(len, 4) - 4, ".ibd"))
		return false;
	/* Only in the data directory it is ours. */
	if (!strcmp(path, "#clone") || !strncmp(path, "#clone/", 7))
		return false;
	path += *path == '/';
	for (const char *p = path; p; p = strchr(p, '/')) {
		size_t n;

		p += p != path;
		n = strcspn(p, "/");
		if (!n || (n == 1 && *p == '.') ||
		    (n == 2 && !strncmp(p, "..", 2)))
			return false;
	}
	return !strpbrk(path, "\n\r");
}

static void try_path(const struct fuzz_in *in)
{
	char *path = fuzz_text(in);
	enum sc_file_kind kind;

	if (sc_path_ok(path))
		FUZZ_CHECK(stays_below(path));
	for (int depth = 0; depth < 3; depth++) {
		if (sc_file_wanted(path, depth, &kind))
			FUZZ_CHECK(kind == SC_FILE_PAGES ||
				   kind == SC_FILE_OPAQUE);
	}
	free(path);
}

static void try_records(const struct fuzz_in *in)
{
	struct sc_dec dec = sc_dec_init(in->p, in->left);
	struct sc_filelist list = { 0 };
	struct sc_err err = SC_ERR_INIT;

	while (dec.left && sc_frame_get_file(&dec, &list, &err) == 0)
		;
	FUZZ_CHECK(!dec.left || sc_err_is_set(&err));
	for (size_t i = 0; i < list.n; i++) {
		FUZZ_CHECK(stays_below(list.files[i].path));
		FUZZ_CHECK(list.files[i].stored <= list.files[i].size);
	}
	for (uint64_t c = 0; c < list.chunks && c < 8; c++)
		FUZZ_CHECK(sc_filelist_find_chunk(&list, c));
	sc_filelist_free(&list);
}

static int open_file(struct sc_image *image, const char *path, bool direct)
{
	(void)direct;
	return sc_open_beneath(image->root, path, 0, 0);
}

static void try_scan(const struct fuzz_in *in)
{
	struct sc_image image = { .open_file = open_file,
				  .provider = "fuzz",
				  .root = fuzz_dir() };
	struct sc_filelist list = { 0 };
	struct sc_err err = SC_ERR_INIT;
	char *text = fuzz_text(in);

	fuzz_put(image.root, "ibdata1", "", 0);
	if (sc_filelist_scan(&image, text, 16384, NULL, &list, &err) < 0)
		FUZZ_CHECK(sc_err_is_set(&err));
	sc_filelist_free(&list);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	switch (fuzz_u8(&in) % 3) {
	case 0:
		try_path(&in);
		break;
	case 1:
		try_records(&in);
		break;
	default:
		try_scan(&in);
	}
	return 0;
}
