/* SPDX-License-Identifier: GPL-2.0-only */
/* The verification of a clone: what state it is in, and the threads; see
 * verify.h. */
#include "io/verify_impl.h"

#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/redo/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TICK_MS 100

void verify_found(struct verify *v, const char *fmt, ...)
{
	char text[SC_PATH_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->found++;
	SC_LOCK_SCOPE(&v->lock);
	v->params->found(v->params->arg, text);
}

static bool has(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int verify_name(const struct verify *v, const char *path, char *buf)
{
	struct sc_place place = sc_roots_place(&v->roots, v->roots.fd[0], path);

	sc_inplace_name(place.path, buf, VERIFY_NAME_CAP);
	if (!v->waiting || !has(place.dir, buf))
		snprintf(buf, VERIFY_NAME_CAP, "%s", place.path);
	return place.dir;
}

/* ---- the clone's state --------------------------------------------------- */

static int refuse(struct sc_err *err, const char *why)
{
	return sc_err_set(err, SC_ER_INTERNAL_ERROR, "%s", why);
}

static int find_state(struct verify *v, int clone, struct sc_err *err)
{
	struct stat st;

	if (has(clone, SC_IN_PROGRESS))
		return refuse(err, "the clone is not complete (" SC_CLONE_DIR
				   "/" SC_IN_PROGRESS
				   " is there); HINT: clone again");
	if (has(clone, SC_STATUS_ERROR))
		return refuse(
			err, "the clone does not count (" SC_CLONE_DIR
			     "/" SC_STATUS_ERROR
			     " is there), the next start of mysqld removes it");
	v->before_start = has(clone, SC_END_NAME) &&
			  has(clone, SC_REPLACE_FILES) &&
			  !has(clone, SC_STATUS_RECOVERY);
	v->waiting = v->before_start &&
		     fstatat(clone, SC_REPLACE_FILES, &st,
			     AT_SYMLINK_NOFOLLOW) == 0 &&
		     st.st_size;
	if (!v->before_start && has(clone, SC_REPLACE_FILES))
		return refuse(
			err,
			"the first start of mysqld on the clone has not come to its end; HINT: start and stop mysqld, then verify again");
	return 0;
}

static int read_manifest(struct verify *v, struct sc_err *err)
{
	static const char path[] = SC_CLONE_DIR "/" SC_MANIFEST_NAME;
	char name[VERIFY_NAME_CAP];
	CLEANUP_CLOSE int fd = sc_open_beneath(verify_name(v, path, name), name,
					       O_RDONLY | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return refuse(err, "there is no manifest (" SC_CLONE_DIR
				   "/" SC_MANIFEST_NAME
				   "): snapclone did not make this clone");
	if (fd < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -fd,
				  "cannot open %s", name);
	return sc_manifest_read(fd, &v->m, err);
}

/* A running server changes its files. It locks them: os_file_lock() in
 * os/os0file.cc, fcntl(2). */
static int check_not_running(struct verify *v, struct sc_err *err)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	CLEANUP_CLOSE int fd = -1;
	struct sc_place place;

	if (!v->m.list.n)
		return refuse(err, "the manifest has no files");
	place = sc_roots_place(&v->roots, v->roots.fd[0],
			       v->m.list.files[0].path);
	fd = sc_open_beneath(place.dir, place.path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return sc_err_set(
		err, SC_ER_INTERNAL_ERROR,
		"a server runs on this directory (process %d); HINT: stop it, or verify a snapshot of its file system",
		(int)lock.l_pid);
}

static int open_clone(struct verify *v, struct sc_err *err)
{
	CLEANUP_CLOSE int clone =
		openat(v->params->dir, SC_CLONE_DIR,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (clone < 0 && errno != ENOENT)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "cannot open " SC_CLONE_DIR);
	if ((clone >= 0 && find_state(v, clone, err) < 0) ||
	    read_manifest(v, err) < 0 || verify_set_roots(v, err) < 0)
		return -1;
	return check_not_running(v, err);
}

/* ---- redo ---------------------------------------------------------------- */

static void check_redo(struct verify *v, struct sc_verify_report *report)
{
	const struct sc_manifest_head *head = &v->m.head;
	struct sc_err err = SC_ERR_INIT;
	char name[VERIFY_NAME_CAP];
	CLEANUP_CLOSE int dir = -1;

	/* Its key is in a keyring, which only a server opens. */
	report->redo_encrypted = head->redo_encrypted;
	if (head->redo_encrypted)
		return;
	dir = openat(verify_name(v, SC_REDO_DIR, name), name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) {
		verify_found(v, "%s: %s", name, strerrordesc_np(errno));
		return;
	}
	if (sc_redo_check(dir, head->checkpoint_lsn, head->end_lsn, NULL,
			  &err) < 0)
		verify_found(v, "%s: %s", name, err.msg);
	report->redo_checked = true;
}

/* ---- threads ------------------------------------------------------------- */

static void *stream_main(void *arg)
{
	struct verify *v = arg;
	struct sc_err err = SC_ERR_INIT;

	if (verify_stream(v, &err) < 0) {
		v->stop = true;
		pthread_mutex_lock(&v->lock);
		if (!sc_err_is_set(&v->err))
			v->err = err;
		pthread_mutex_unlock(&v->lock);
	}
	v->running--;
	return NULL;
}

static void fill_report(const struct verify *v, struct sc_verify_report *report)
{
	report->before_start = v->before_start;
	report->files = v->work.n;
	report->bytes_total = v->work.bytes;
	report->bytes = v->bytes;
	report->digests = v->digests;
	report->shared = v->shared;
	report->pages = v->pages;
	report->unchecked = v->unchecked;
	report->found = v->found;
}

static void await_streams(struct verify *v, struct sc_verify_report *report)
{
	while (v->running) {
		fill_report(v, report);
		if (v->params->tick)
			v->params->tick(v->params->arg, report);
		sc_sleep_ms(TICK_MS);
	}
}

static int run_streams(struct verify *v, struct sc_verify_report *report,
		       struct sc_err *err)
{
	pthread_t threads[SC_VERIFY_MAX_THREADS];
	unsigned n = 0;
	int rc = 0;

	while (n < v->params->threads && rc == 0) {
		v->running++;
		rc = pthread_create(&threads[n], NULL, stream_main, v);
		if (rc)
			v->running--;
		else
			n++;
	}
	/* With fewer threads it takes longer, that is all. */
	if (n)
		await_streams(v, report);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	if (!n)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, rc,
				  "cannot start a thread");
	if (sc_err_is_set(&v->err))
		*err = v->err;
	return sc_err_is_set(err) ? -1 : 0;
}

static int verify(struct verify *v, struct sc_verify_report *report,
		  struct sc_err *err)
{
	if (open_clone(v, err) < 0 || verify_list(v, err) < 0)
		return -1;
	if (v->before_start)
		check_redo(v, report);
	return run_streams(v, report, err);
}

int sc_verify(const struct sc_verify_params *params,
	      struct sc_verify_report *ret, struct sc_err *err)
{
	struct verify v = { .params = params,
			    .roots = { .fd = { params->dir }, .n = 1 },
			    .top = -1 };
	int rc;

	*ret = (struct sc_verify_report){ 0 };
	pthread_mutex_init(&v.lock, NULL);
	rc = verify(&v, ret, err);
	fill_report(&v, ret);
	pthread_mutex_destroy(&v.lock);
	sc_manifest_free(&v.m);
	sc_filelist_free(&v.work);
	if (v.top >= 0)
		close(v.top);
	free(v.files);
	free(v.old);
	free(v.old_text);
	return rc;
}
