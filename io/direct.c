/* SPDX-License-Identifier: GPL-2.0-only */
/* What O_DIRECT asks for on a file; see direct.h. */
#include "io/direct.h"

#include "io/base/fdio.h"

#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

/* Headers older than Linux 6.1 lack these. Source: include/uapi/linux/stat.h,
 * struct statx: stx_dio_mem_align at 0x98, stx_dio_offset_align behind it. */
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000u
#endif
#define DIO_MEM_ALIGN 0x98
#define DIO_OFFSET_ALIGN 0x9c

_Static_assert(sizeof(struct statx) == 256, "struct statx of the kernel");

int sc_direct_set(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_DIRECT) == !on)
		return 0;
	flags = on ? flags | O_DIRECT : flags & ~O_DIRECT;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

/* Older kernels and file systems that do not say: try the flag. */
static int try_flag(int fd, bool *usable)
{
	int flags = fcntl(fd, F_GETFL), rc;

	if (flags < 0)
		return -errno;
	rc = sc_direct_set(fd, true);
	*usable = rc == 0;
	if (rc == 0 && !(flags & O_DIRECT))
		return sc_direct_set(fd, false);
	return rc == -EINVAL ? 0 : rc;
}

static bool fits(uint32_t align, uint32_t max)
{
	return sc_is_power_of_two(align) && align <= max;
}

static void take_reported(struct sc_direct *ret, uint32_t mem, uint32_t file)
{
	ret->reported = true;
	/* Zeroes: not on this file. */
	if (!fits(mem, SC_DIRECT_ALIGN) || !fits(file, SC_DIRECT_MAX_ALIGN))
		return;
	ret->usable = true;
	ret->mem_align = mem;
	/* File systems that take any offset do that in the page cache. */
	ret->file_align = SC_MAX(file, 512u);
}

int sc_direct_query(int fd, struct sc_direct *ret)
{
	union {
		struct statx stx;
		unsigned char bytes[sizeof(struct statx)];
	} u = { 0 };
	uint32_t mem, file;

	*ret = (struct sc_direct){ .mem_align = SC_DIRECT_ALIGN,
				   .file_align = SC_DIRECT_ALIGN };
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &u.stx) < 0)
		return -errno;
	if (!(u.stx.stx_mask & STATX_DIOALIGN))
		return try_flag(fd, &ret->usable);
	memcpy(&mem, u.bytes + DIO_MEM_ALIGN, sizeof(mem));
	memcpy(&file, u.bytes + DIO_OFFSET_ALIGN, sizeof(file));
	take_reported(ret, mem, file);
	return 0;
}

int sc_direct_or_buffered(int fd)
{
	struct sc_direct direct;

	/* Whatever cannot be asked or set shows in the requests. */
	if (fd >= 0 && sc_direct_query(fd, &direct) == 0 && !direct.usable)
		(void)sc_direct_set(fd, false);
	return fd;
}

int sc_direct_open_beneath(int dirfd, const char *path, int flags, bool direct)
{
	int fd = direct ? sc_direct_or_buffered(sc_open_beneath(
				  dirfd, path, flags | O_DIRECT, 0))
			: -EINVAL;

	/* Not asked for, or not on this file system. */
	return fd == -EINVAL ? sc_open_beneath(dirfd, path, flags, 0) : fd;
}
