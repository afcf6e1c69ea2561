/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A donor that sends anything on stream 0: the recipient's own code takes it
 * into a stage, seals, and aborts. First byte odd: into the data directory of
 * a server. Whatever came, nothing of it stays.
 */
#include "tests/fuzz/fuzz.h"

#include "daemon/recipient.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "tests/fuzz/frames.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t redo_buf[SC_FRAME_MAX_DATA];

/* No data streams: what is listed never arrives. */
int __wrap_recipient_start_streams(struct recipient *r, struct sc_err *err);
int __wrap_recipient_start_streams(struct recipient *r, struct sc_err *err)
{
	(void)r;
	(void)err;
	return 0;
}

static void make_server(int dir)
{
	fuzz_put(dir, "ibdata1", "old", 3);
	FUZZ_CHECK(mkdirat(dir, "db", 0700) == 0);
	fuzz_put(dir, "db/t.ibd", "old", 3);
}

static unsigned entries(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	unsigned n = 0;

	FUZZ_CHECK(d);
	while ((e = readdir(d)))
		n += !sc_is_dot(e->d_name);
	closedir(d);
	return n;
}

static void check_server(int dir)
{
	char text[4];
	int fd;

	/* InnoDB's own directory may have been made, empty. */
	FUZZ_CHECK(entries(dir, ".") ==
		   2u + (faccessat(dir, "#clone", F_OK, 0) == 0));
	FUZZ_CHECK(faccessat(dir, "#clone", F_OK, 0) < 0 ||
		   entries(dir, "#clone") == 0);
	FUZZ_CHECK(entries(dir, "db") == 1);
	fd = openat(dir, "db/t.ibd", O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && read(fd, text, 4) == 3 &&
		   !memcmp(text, "old", 3));
	close(fd);
}

static void receive(struct recipient *r, struct sc_stage_params *params)
{
	struct sc_err err = SC_ERR_INIT;
	int rc = sc_stage_open(params, &r->stage, &err);

	FUZZ_CHECK(rc == 0);
	rc = recipient_receive_control(r, &err);
	if (rc == 0)
		rc = sc_stage_seal(r->stage, &r->seal, &err);
	FUZZ_CHECK(rc == 0 || sc_err_is_set(&err));
	sc_stage_abort(r->stage);
	sc_stage_free(r->stage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	bool in_place = fuzz_u8(&in) & 1;
	uint8_t *stream = fuzz_frames(in.p, in.left);
	struct sc_stage_params params = { .target = fuzz_dir(),
					  .parent = fuzz_parent(),
					  .name = fuzz_dir_name,
					  .in_place = in_place,
					  .page_size = 16384,
					  .streams = 1 };
	struct recipient r = { .redo_buf = redo_buf,
			       .start.page_size = 16384,
			       .start.streams = 1 };
	struct link links[2] = { 0 };
	struct fuzz_conn conn;

	sc_log_setup(SC_LOG_ERROR, NULL, NULL);
	if (in_place)
		make_server(params.target);
	fuzz_conn_init(&conn, stream, in.left);
	links[0].r = &r;
	links[0].conn = &conn.base;
	r.links = links;
	sc_job_init(&r.job, NULL, NULL, (uint8_t[SC_JOB_ID_SIZE]){ 0 }, 1, "");
	receive(&r, &params);
	if (in_place)
		check_server(params.target);
	else
		FUZZ_CHECK(faccessat(params.parent, fuzz_dir_name, F_OK, 0) <
			   0);
	sc_job_destroy(&r.job);
	sc_filelist_free(&r.list);
	sc_seal_free(&r.seal);
	free(stream);
	return 0;
}
