/* SPDX-License-Identifier: GPL-2.0-only */
/* Page cache and holes; see cache.h. */
#include "io/cache.h"

#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Source: include/uapi/linux/mman.h and asm-generic/unistd.h, Linux 6.5. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
struct range {
	uint64_t off, len;
};
struct cache_stat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

#define SMALLEST_PAGE 4096
#define MAX_PAGES 256

/* len: at most MAX_PAGES pages. */
static bool mincore_has(int fd, uint64_t off, uint64_t len)
{
	uint64_t from = sc_align_down(off, SMALLEST_PAGE);
	uint64_t n = sc_align_up(off + len - from, SMALLEST_PAGE);
	unsigned char pages[MAX_PAGES + 1];
	bool has = true;
	void *p;

	if (n / SMALLEST_PAGE > sizeof(pages))
		return true;
	p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, (off_t)from);
	if (p == MAP_FAILED)
		return true;
	if (mincore(p, n, pages) == 0) {
		has = false;
		for (uint64_t i = 0; i < n / SMALLEST_PAGE; i++)
			has |= pages[i] & 1;
	}
	munmap(p, n);
	return has;
}

bool sc_cache_has(int fd, uint64_t off, uint64_t len)
{
	struct range range = { off, len };
	struct cache_stat stat = { 0 };

	if (syscall(SYS_cachestat, fd, &range, &stat, 0) == 0)
		return stat.cached != 0;
	return errno != ENOSYS || mincore_has(fd, off, len);
}

void sc_cache_drop(int fd, uint64_t off, uint64_t len)
{
	/* Only advice: what stays is dropped by the kernel some day. */
	(void)posix_fadvise(fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
}

bool sc_range_is_hole(int fd, uint64_t off, uint64_t len)
{
	off_t data = lseek(fd, (off_t)off, SEEK_DATA);
	struct stat st;

	if (data >= 0)
		return (uint64_t)data >= off + len;
	/* No data any more; it must not be that the file ends before. */
	return errno == ENXIO && fstat(fd, &st) == 0 &&
	       (uint64_t)st.st_size >= off + len;
}
