/* SPDX-License-Identifier: GPL-2.0-only */
/* Open files of a stream; see openfile.h. */
#include "io/openfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int sc_openfiles_init(struct sc_openfiles *of, unsigned depth)
{
	/* One more than can be in use: there is always one to reuse. */
	of->n = depth + 1;
	of->entries = calloc(of->n, sizeof(*of->entries));
	if (!of->entries)
		return -1;
	for (unsigned i = 0; i < of->n; i++)
		of->entries[i].fd = -1;
	return 0;
}

static void close_entry(struct sc_openfiles *of, struct sc_openfile *entry)
{
	if (entry->fd < 0)
		return;
	of->engine->ops->detach(of->engine, entry->fd);
	close(entry->fd);
	entry->fd = -1;
}

void sc_openfiles_free(struct sc_openfiles *of)
{
	for (unsigned i = 0; of->entries && i < of->n; i++)
		close_entry(of, &of->entries[i]);
	free(of->entries);
	*of = (struct sc_openfiles){ 0 };
}

/* An entry that nobody uses, a free one if there is one. */
static struct sc_openfile *idle_entry(struct sc_openfiles *of)
{
	struct sc_openfile *found = NULL;

	for (unsigned i = 0; i < of->n; i++) {
		struct sc_openfile *entry = &of->entries[i];

		if (entry->fd < 0)
			return entry;
		if (!entry->users)
			found = entry;
	}
	return found;
}

struct sc_openfile *sc_openfile_get(struct sc_openfiles *of, uint32_t file,
				    int *ret_errno)
{
	struct sc_openfile *entry = of->last;
	int fd;

	if (entry && entry->fd >= 0 && entry->file == file) {
		entry->users++;
		return entry;
	}
	entry = idle_entry(of);
	close_entry(of, entry);
	fd = of->open(of->arg, file);
	if (fd < 0) {
		*ret_errno = -fd;
		return NULL;
	}
	entry->fd = fd;
	entry->file = file;
	entry->direct = fcntl(fd, F_GETFL) & O_DIRECT;
	entry->users = 1;
	of->engine->ops->attach(of->engine, fd);
	of->last = entry;
	return entry;
}
