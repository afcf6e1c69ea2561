/* SPDX-License-Identifier: GPL-2.0-only */
/* Temporary directories, files and pages for tests. */
#include "tests/unit/dir_fixture.h"

#include "io/base/clock.h"
#include "io/crc32c.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void dir_fixture_open(struct dir_fixture *dir)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir->path, sizeof(dir->path), "%.40s/unit-test-XXXXXX",
		 tmp ? tmp : "/tmp");
	if (!mkdtemp(dir->path))
		abort();
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(dir->fd >= 0);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void dir_fixture_close(struct dir_fixture *dir)
{
	close(dir->fd);
	/* Gone already when the test removed it. */
	if (access(dir->path, F_OK) == 0)
		nftw(dir->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_dirs(int dirfd, const char *path)
{
	char part[PATH_MAX];

	for (const char *p = path; (p = strchr(p, '/')); p++) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		mkdirat(dirfd, part, 0755);
	}
}

void dir_fixture_put(int dirfd, const char *path, const void *data, size_t len)
{
	int fd, rc;

	make_dirs(dirfd, path);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		    0644);
	assert(fd >= 0);
	rc = data ? write(fd, data, len) == (ssize_t)len ? 0 : -1
		  : ftruncate(fd, (off_t)len);
	assert(rc == 0);
	(void)rc;
	close(fd);
}

int dir_fixture_get(int dirfd, const char *path, uint8_t **ret, size_t *len)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -1;
	fstat(fd, &st);
	*len = (size_t)st.st_size;
	*ret = malloc(*len + 1);
	n = read(fd, *ret, *len);
	close(fd);
	assert(n == (ssize_t)*len);
	(*ret)[*len] = '\0';
	return n < 0 ? -1 : 0;
}

bool dir_fixture_has(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

struct sc_page_spec fx_spec(uint32_t flags, uint32_t space_id)
{
	uint32_t zip = flags >> 1 & 15, shift = flags >> 6 & 15;
	uint32_t logical = shift ? 512u << shift : 16384;

	return (struct sc_page_spec){ .physical_size =
					      zip ? 512u << zip : logical,
				      .logical_size = logical,
				      .compressed = zip != 0,
				      .encrypted = flags & 0x2000,
				      .space_id = space_id,
				      .flags = flags };
}

static void seal_page(const struct sc_page_spec *spec, uint8_t *page)
{
	uint32_t size = spec->physical_size, crc;

	if (spec->compressed) {
		sc_store_be32(page, sc_crc32c(0, page + 4, 12) ^
					    sc_crc32c(0, page + 24, 2) ^
					    sc_crc32c(0, page + 34, size - 34));
		return;
	}
	memcpy(page + size - 4, page + 20, 4);
	crc = sc_crc32c(0, page + 4, 22) ^ sc_crc32c(0, page + 38, size - 46);
	sc_store_be32(page, crc);
	sc_store_be32(page + size - 8, crc);
}

void fx_page(const struct sc_page_spec *spec, uint32_t page_no, uint64_t lsn,
	     uint8_t *page)
{
	uint32_t seed = page_no * 7 + (uint32_t)lsn + spec->space_id;

	memset(page, 0, spec->physical_size);
	for (uint32_t i = 38; page_no && i < spec->physical_size - 8; i++) {
		seed = seed * 1664525 + 1013904223;
		page[i] = (uint8_t)(seed >> 24);
	}
	sc_store_be32(page + 4, page_no);
	sc_store_be64(page + 16, lsn);
	sc_store_be16(page + 24, page_no ? 17855 : SC_PAGE_TYPE_FSP_HDR);
	sc_store_be32(page + 34, spec->space_id);
	if (!page_no) {
		sc_store_be32(page + 38, spec->space_id);
		sc_store_be32(page + 54, spec->flags);
	}
	seal_page(spec, page);
}

uint8_t *fx_pages(const struct sc_page_spec *spec, uint32_t n_pages,
		  uint64_t lsn)
{
	uint8_t *pages = malloc((size_t)n_pages * spec->physical_size + 1);

	assert(pages);
	for (uint32_t i = 0; i < n_pages; i++)
		fx_page(spec, i, lsn + i,
			pages + (size_t)i * spec->physical_size);
	return pages;
}

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	unsigned n = 0;

	assert(dir);
	while ((de = readdir(dir)))
		n += de->d_name[0] != '.';
	closedir(dir);
	return n;
}

unsigned fx_count_fds(void)
{
	return count_entries("/proc/self/fd");
}

static void *no_main(void *arg)
{
	return arg;
}

unsigned fx_count_threads(void)
{
	static bool begun;
	pthread_t thread;

	/* ThreadSanitizer begins a thread of its own beside the first one. */
	if (!begun && pthread_create(&thread, NULL, no_main, NULL) == 0) {
		begun = true;
		pthread_join(thread, NULL);
	}
	return count_entries("/proc/self/task");
}

bool fx_threads_at_most(unsigned n)
{
	for (int i = 0; i < 5000 && fx_count_threads() > n; i++)
		sc_sleep_ms(1);
	return fx_count_threads() <= n;
}
