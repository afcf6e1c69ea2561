/* SPDX-License-Identifier: GPL-2.0-only */
/* See stage_fixture.h. */
#include "tests/unit/stage_fixture.h"

#include "io/base/num.h"
#include "tests/unit/redo_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

int fx_stage_target(struct dir_fixture *parent)
{
	umask(022);
	dir_fixture_open(parent);
	if (mkdirat(parent->fd, "clone", 0750) < 0)
		return -1;
	return openat(parent->fd, "clone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void fx_again(int (*setup)(void **state), int (*teardown)(void **state))
{
	assert_int_equal(teardown(NULL), 0);
	assert_int_equal(setup(NULL), 0);
}

struct sc_chunk fx_chunk(const struct sc_filelist *list,
			 uint8_t *const content[], uint32_t file,
			 uint64_t number)
{
	struct sc_chunk chunk = { .file = file, .off = number * SC_CHUNK_SIZE };

	chunk.len = (uint32_t)SC_MIN(list->files[file].size - chunk.off,
				     SC_CHUNK_SIZE);
	sc_digest(content[file] + chunk.off, chunk.len, chunk.digest);
	return chunk;
}

static int put(struct sc_staged *stage, unsigned stream, struct sc_slots *slots,
	       struct sc_slot *slot, struct sc_err *err)
{
	int rc = sc_stage_stream_open(stage, stream, slots, err);

	if (rc == 0)
		rc = sc_stage_chunk(stage, stream, slot, err);
	while (rc > 0) {
		if (slots->engine->ops->wait(slots->engine) != &slot->io)
			return sc_err_set(err, 1, "nothing is on its way");
		rc = sc_stage_wrote(stage, stream, slot, err);
	}
	sc_stage_stream_close(stage, stream);
	return rc;
}

int fx_stage_put(struct sc_staged *stage, unsigned stream,
		 const struct sc_chunk *chunk, const void *data,
		 struct sc_err *err)
{
	uint32_t len = SC_MIN(chunk->len, SC_CHUNK_SIZE);
	struct sc_slots slots;
	int rc = sc_slots_init(&slots, 1, NULL, err);

	if (rc == 0) {
		struct sc_slot *slot = sc_slot_take(&slots);

		slot->chunk = *chunk;
		memcpy(slot->buf, data, len);
		sc_blockmap_find(&slot->chunk.map, data, len, 1);
		rc = put(stage, stream, &slots, slot, err);
	}
	sc_slots_free(&slots);
	return rc;
}

int fx_stage_put_file(struct sc_staged *stage, unsigned stream,
		      const struct sc_filelist *list, uint8_t *const content[],
		      uint32_t file, struct sc_err *err)
{
	for (uint64_t i = 0; i * SC_CHUNK_SIZE < list->files[file].size; i++) {
		struct sc_chunk chunk = fx_chunk(list, content, file, i);

		if (fx_stage_put(stage, stream, &chunk,
				 content[file] + chunk.off, err) < 0)
			return -1;
	}
	return 0;
}

void fx_stage_redo_begin(struct sc_staged *stage, struct sc_err *err)
{
	struct sc_redo_begin begin = { FX_STAGE_C, FX_UUID, "MySQL 9.7.4" };

	if (sc_stage_redo_begin(stage, &begin, err) < 0)
		fail_msg("%s", err->msg);
}

void fx_stage_redo(struct sc_staged *stage, uint64_t seed, uint64_t end,
		   uint64_t log_end, struct sc_err *err)
{
	const struct redo_fixture log = { .seed = seed };
	uint8_t block[SC_REDO_BLOCK];

	for (uint64_t lsn = sc_redo_align(FX_STAGE_C); lsn < end;
	     lsn += SC_REDO_BLOCK) {
		redo_fixture_block(&log, lsn, log_end, block);
		if (sc_stage_redo(stage, lsn, block, sizeof(block), err) < 0 ||
		    sc_stage_redo(stage, 0, NULL, 0, err) < 0)
			fail_msg("%s", err->msg);
	}
}

void fx_expect_error(int rc, const struct sc_err *err, int code,
		     const char *text)
{
	assert_int_equal(rc, -1);
	if (!strstr(err->msg, text))
		fail_msg("'%s', expected '%s'", err->msg, text);
	assert_int_equal(err->code, code);
}
