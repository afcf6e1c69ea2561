/* SPDX-License-Identifier: GPL-2.0-only */
/* Writing a manifest; see manifest.h. */
#include "io/manifest_impl.h"

#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE (256u << 10)

struct writer {
	int fd;
	char *buf;
	size_t used;
	uint64_t off; /* of buf in the file */
	struct sc_digest_state digest;
};

static int failed(int sys_errno, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot write the manifest of the clone");
}

static int flush(struct writer *w, struct sc_err *err)
{
	int rc = sc_pwrite_full(w->fd, w->buf, w->used, w->off);

	if (rc < 0)
		return failed(-rc, err);
	w->off += w->used;
	w->used = 0;
	return 0;
}

static int put(struct writer *w, const char *text, size_t len,
	       struct sc_err *err)
{
	sc_digest_add(&w->digest, text, len);
	while (len) {
		size_t n = SC_MIN(len, BUFFER_SIZE - w->used);

		memcpy(w->buf + w->used, text, n);
		w->used += n;
		text += n;
		len -= n;
		if (w->used == BUFFER_SIZE && flush(w, err) < 0)
			return -1;
	}
	return 0;
}

/* A line that was encoded, which is freed. */
static int put_line(struct writer *w, char *line, struct sc_err *err)
{
	int rc = line ? put(w, line, strlen(line), err)
		      : sc_err_set(err, SC_ER_INTERNAL_ERROR,
				   "cannot make the manifest of the clone: out "
				   "of memory, or a number beyond all measure");

	if (rc == 0)
		rc = put(w, "\n", 1, err);
	free(line);
	return rc;
}

static int put_file(struct writer *w, const struct sc_manifest_files *files,
		    size_t i, struct sc_err *err)
{
	const struct sc_file *file = &files->list->files[i];
	const uint8_t(*digests)[SC_DIGEST_SIZE] =
		files->digests + file->first_chunk;
	uint64_t left = file->shared ? 0 : sc_chunks_of(file->size);
	size_t n = SC_MIN(left, MANIFEST_LINE_DIGESTS);

	if (put_line(w, manifest_put_file(file, files->sizes[i], digests, n),
		     err) < 0)
		return -1;
	while (left -= n) {
		digests += n;
		n = SC_MIN(left, MANIFEST_LINE_DIGESTS);
		if (put_line(w, manifest_put_digests(digests, n), err) < 0)
			return -1;
	}
	return 0;
}

static int put_all(struct writer *w, const struct sc_manifest_head *head,
		   const struct sc_manifest_files *files, struct sc_err *err)
{
	struct manifest_tail tail = { 0 };

	sc_digest_begin(&w->digest);
	if (put_line(w, manifest_put_head(head), err) < 0)
		return -1;
	for (size_t i = 0; i < files->list->n; i++) {
		const struct sc_file *file = &files->list->files[i];

		if (file->gone)
			continue;
		if (put_file(w, files, i, err) < 0)
			return -1;
		tail.files++;
		tail.chunks += file->shared ? 0 : sc_chunks_of(file->size);
	}
	sc_digest_end(&w->digest, tail.digest);
	if (put_line(w, manifest_put_tail(&tail), err) < 0)
		return -1;
	return flush(w, err);
}

int sc_manifest_write(int fd, const struct sc_manifest_head *head,
		      const struct sc_manifest_files *files, struct sc_err *err)
{
	struct writer w = { .fd = fd, .buf = malloc(BUFFER_SIZE) };
	int rc = w.buf ? put_all(&w, head, files, err) : failed(ENOMEM, err);

	free(w.buf);
	/* A hint: blocks are allocated before the next fsync of any file, which
	 * then makes the metadata of this one durable too. */
	if (rc == 0)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return rc;
}
