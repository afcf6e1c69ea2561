/* SPDX-License-Identifier: GPL-2.0-only */
/* Names, listing and headers of redo files. */
#include "io/redo/files.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

static const char prefix[] = "#ib_redo";
static const char spare_suffix[] = "_tmp";

void sc_redo_files_free(struct sc_redo_files *files)
{
	free(files->file);
	files->file = NULL;
	files->count = 0;
}

void sc_redo_file_name(uint64_t id, char name[SC_REDO_NAME_SIZE])
{
	snprintf(name, SC_REDO_NAME_SIZE, "%s%" PRIu64, prefix, id);
}

int sc_redo_file_name_parse(const char *name, uint64_t *ret_id)
{
	const char *digits = name + sizeof(prefix) - 1;
	char *end;

	if (strncmp(name, prefix, sizeof(prefix) - 1))
		return -1;
	if (*digits < '0' || *digits > '9')
		return -1;
	errno = 0;
	*ret_id = strtoull(digits, &end, 10);
	if (errno)
		return -1;
	if (!*end)
		return 0;
	return strcmp(end, spare_suffix) ? -1 : 1;
}

int sc_redo_file_read(int fd, struct sc_redo_file *ret)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	n = sc_pread_full(fd, ret->blocks, sizeof(ret->blocks), 0);
	if (n < 0)
		return (int)n;
	ret->size = (uint64_t)st.st_size;
	ret->header_ok = n == (ssize_t)sizeof(ret->blocks) &&
			 !sc_redo_header_parse(ret->blocks, &ret->header);
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct sc_redo_file *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static struct sc_redo_file *new_entry(struct sc_redo_files *files)
{
	size_t size = (files->count + 1) * sizeof(*files->file);
	struct sc_redo_file *grown = realloc(files->file, size);

	if (!grown)
		return NULL;
	files->file = grown;
	memset(&grown[files->count], 0, sizeof(*grown));
	return &grown[files->count];
}

static int add_file(struct sc_redo_files *files, int dirfd, const char *name,
		    uint64_t id)
{
	CLEANUP_CLOSE int fd =
		openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct sc_redo_file *entry;
	int rc;

	if (fd < 0 && errno == ENOENT) {
		files->changed = true;
		return 0;
	}
	if (fd < 0)
		return -errno;
	entry = new_entry(files);
	if (!entry)
		return -ENOMEM;
	rc = sc_redo_file_read(fd, entry);
	if (rc < 0)
		return rc;
	entry->id = id;
	files->count++;
	return 0;
}

static void add_spare(struct sc_redo_files *files, int dirfd, const char *name)
{
	struct stat st;

	if (!fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		files->spare_bytes += (uint64_t)st.st_size;
}

static int add_name(struct sc_redo_files *files, int dirfd, const char *name)
{
	uint64_t id;

	switch (sc_redo_file_name_parse(name, &id)) {
	case 0:
		return add_file(files, dirfd, name, id);
	case 1:
		add_spare(files, dirfd, name);
	}
	return 0;
}

int sc_redo_files_list(int dirfd, struct sc_redo_files *ret, struct sc_err *err)
{
	CLEANUP_CLOSEDIR DIR *dir = sc_dir_open(dirfd);
	struct dirent *entry;
	int rc = 0;

	*ret = (struct sc_redo_files){ 0 };
	if (!dir)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot read the redo directory");
	while (!rc && (errno = 0, entry = readdir(dir))) {
		rc = add_name(ret, dirfd, entry->d_name);
		if (rc)
			sc_err_sys(err, SC_ER_CLONE_OS, -rc,
				   "cannot read redo file %s", entry->d_name);
	}
	if (rc)
		return -1;
	if (errno)
		return sc_err_sys(err, SC_ER_CLONE_OS, errno,
				  "cannot read the redo directory");
	if (ret->count)
		qsort(ret->file, ret->count, sizeof(*ret->file), compare_ids);
	return 0;
}

uint64_t sc_redo_file_checkpoint(const struct sc_redo_file *file,
				 bool *ret_torn)
{
	static const uint32_t slots[] = { SC_REDO_SLOT1, SC_REDO_SLOT2 };
	uint64_t best = 0, lsn;

	for (size_t i = 0; i < SC_ARRAY_SIZE(slots); i++) {
		if (sc_redo_slot_parse(file->blocks + slots[i], &lsn))
			*ret_torn = true;
		else if (lsn > best)
			best = lsn;
	}
	return sc_redo_file_holds(file, best) ? best : 0;
}
