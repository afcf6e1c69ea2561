/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of a request when the kernel has done a part of it; see
 * engine_impl.h. The same for every engine. */
#include "io/engine_impl.h"

#include "io/direct.h"

#include <errno.h>

void sc_io_begin(struct sc_io *io)
{
	io->res = 0;
	io->done = 0;
	io->tries = 0;
	io->next = NULL;
}

static bool complete(struct sc_io *io, int64_t res)
{
	io->res = res;
	return false;
}

/*
 * A direct read ended inside a block, which is where the file ended, and the
 * file has grown since: O_DIRECT cannot go on from there (XFS: EINVAL) and the
 * end was true. At the end of a file that did not grow the answer is 0.
 */
static bool ended_in_block(const struct sc_io *io, int64_t rc)
{
	return rc == -EINVAL && io->op == SC_IO_READ && io->done > 0 &&
	       sc_io_off(io) % SC_DIRECT_MAX_ALIGN;
}

static bool failed(struct sc_io *io, int64_t rc)
{
	if (ended_in_block(io, rc))
		return complete(io, io->done);
	if ((rc == -EINTR || rc == -EAGAIN) && ++io->tries < SC_IO_MAX_TRIES)
		return true;
	return complete(io, rc);
}

bool sc_io_step(struct sc_io *io, int64_t rc)
{
	if (rc < 0)
		return failed(io, rc);
	if (io->op != SC_IO_READ && io->op != SC_IO_WRITE)
		return complete(io, rc);
	if (rc == 0 && io->op == SC_IO_READ)
		return complete(io, io->done);
	if (rc == 0 && sc_io_len(io) > 0)
		return complete(io, -EIO);
	io->tries = 0;
	io->done += (uint32_t)rc;
	return io->done < io->len || complete(io, io->done);
}
