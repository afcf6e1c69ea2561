/* SPDX-License-Identifier: GPL-2.0-only */
/* Which copy-on-write area is used, how much of it, and the layer over it; see
 * dm_cow.h. The kinds are in dm_cow_*.c. */
#include "daemon/dm_cow.h"

#include "daemon/dm_cow_impl.h"
#include "daemon/dm_dev.h"
#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"
#include "io/base/clock.h"
#include "io/base/fdio.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A slow copy, bytes per second: the image lives that long. */
#define COPY_RATE (100 * SC_MIB)
/* Besides: the seal, a slow start. */
#define COPY_BASE_S 60
/* The rate was measured for a moment only. */
#define RATE_FACTOR 2
#define WANT_MIN SC_GIB
/* Nothing of an older use may be taken for a header. */
#define ZEROED 4096

uint64_t sc_dm_cow_most(uint64_t origin_bytes, uint32_t chunk)
{
	return sc_align_up(origin_bytes, chunk) + chunk;
}

uint64_t sc_dm_cow_want(uint64_t origin_bytes, uint64_t used_bytes,
			uint64_t write_rate, uint32_t chunk)
{
	uint64_t seconds = COPY_BASE_S + used_bytes / COPY_RATE;
	uint64_t most = sc_dm_cow_most(origin_bytes, chunk);

	if (write_rate > most / seconds / RATE_FACTOR)
		return most;
	return SC_MIN(most,
		      SC_MAX(WANT_MIN, RATE_FACTOR * write_rate * seconds));
}

int sc_dm_cow_size(const struct sc_dm_cow_need *need, uint64_t room,
		   const char *where, uint64_t *ret, struct sc_err *err)
{
	uint64_t least = need->settings->cow_size ? need->want : SC_DM_COW_MIN;

	*ret = sc_align_down(SC_MIN(room, need->want), need->settings->chunk);
	if (*ret >=
	    sc_align_down(SC_MIN(least, need->want), need->settings->chunk))
		return 0;
	return sc_err_set(err, SC_ER_CLONE_DISK_SPACE,
			  "%s has room for a copy-on-write area of %" PRIu64
			  " MiB, not %" PRIu64 " MiB",
			  where, room / SC_MIB, least / SC_MIB);
}

int sc_dm_cow_blocks(const struct sc_dm_cow_need *need, uint32_t block,
		     struct sc_err *err)
{
	if (block <= need->origin->block)
		return 0;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"dm_cow %s has blocks of %u bytes, with which the %s on %s could not be read in an image (it has units of %u bytes)",
		need->area, block, need->origin->fs, need->origin->name,
		need->origin->block);
}

static const struct sc_dm_cow_kind *kind_of(const char *area,
					    struct sc_err *err)
{
	struct stat st;

	if (!strcmp(area, "zram"))
		return &sc_dm_cow_zram;
	if (stat(area, &st) < 0)
		sc_err_sys(err, SC_ER_CLONE_SYS_CONFIG, errno, "dm_cow %s",
			   area);
	else if (S_ISBLK(st.st_mode))
		return &sc_dm_cow_raw;
	else if (S_ISDIR(st.st_mode))
		return &sc_dm_cow_loop;
	else
		sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"dm_cow %s is neither a block device nor a directory",
			area);
	return NULL;
}

static int is_image(dev_t dev, void *ctx)
{
	char uuid[SC_DM_UUID_SIZE];

	return sc_sys_get(*(const int *)ctx, dev, "dm/uuid", uuid,
			  sizeof(uuid)) > 0 &&
	       !strncmp(uuid, SC_DM_UUID_PREFIX, strlen(SC_DM_UUID_PREFIX));
}

/* A device with an image copies into an area of its own, which may lie on this
 * origin: then each would wait for the other. */
static int check_images(const struct sc_dm_cow_kind *kind,
			const struct sc_dm_cow_need *need, struct sc_err *err)
{
	int sys = need->sys, rc;
	struct stat st;

	if (kind == &sc_dm_cow_zram)
		return 0;
	if (stat(need->area, &st) < 0 ||
	    (S_ISDIR(st.st_mode) && !major(st.st_dev)))
		return 0; /* the kind says what that is */
	rc = sc_sys_walk(sys, S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev,
			 is_image, &sys, err);
	if (rc <= 0)
		return rc;
	return sc_err_set(
		err, SC_ER_CLONE_SYS_CONFIG,
		"dm_cow %s lies on a device of which there is an image",
		need->area);
}

/* What the donor writes to the origin now, bytes per second. */
static uint64_t measure_rate(const struct sc_dm_cow_need *need)
{
	uint64_t before = sc_sys_written(need->sys, need->origin->dev);

	sc_sleep_ms(SC_DM_RATE_MS);
	return (sc_sys_written(need->sys, need->origin->dev) - before) * 1000 /
	       SC_DM_RATE_MS;
}

static uint64_t how_much(const struct sc_dm_cow_need *need, bool takes_all)
{
	const struct sc_dm_origin *origin = need->origin;
	uint32_t chunk = need->settings->chunk;
	uint64_t rate;

	if (need->settings->cow_size)
		return need->settings->cow_size;
	if (takes_all)
		return sc_dm_cow_most(origin->bytes, chunk);
	rate = measure_rate(need);
	sc_info("%" PRIu64 " MiB are in use on %s, %" PRIu64
		" KiB/s are written to it",
		origin->used / SC_MIB, origin->name, rate / SC_KIB);
	return sc_dm_cow_want(origin->bytes, origin->used, rate, chunk);
}

/* Run `use` for one area after the other until one takes it. */
static int first_area(struct sc_dm_cow_need *need,
		      int (*use)(const struct sc_dm_cow_kind *kind,
				 const struct sc_dm_cow_need *need, void *ret,
				 struct sc_err *err),
		      void *ret, struct sc_err *err)
{
	struct sc_err last = SC_ERR_INIT;

	if (!need->settings->n_cow)
		return sc_err_set(
			err, SC_ER_CLONE_SYS_CONFIG,
			"no copy-on-write area is configured (dm_cow in snapcloned.conf)");
	for (unsigned i = 0; i < need->settings->n_cow; i++) {
		const struct sc_dm_cow_kind *kind;

		if (sc_err_is_set(&last))
			sc_info("%s; trying the next dm_cow", last.msg);
		last = (struct sc_err)SC_ERR_INIT;
		need->area = need->settings->cow[i];
		kind = kind_of(need->area, &last);
		if (!kind || check_images(kind, need, &last) < 0)
			continue;
		need->want = how_much(need, kind->takes_all);
		if (use(kind, need, ret, &last) == 0)
			return 0;
	}
	return sc_err_set(err, last.code, "%s", last.msg);
}

static int probe_area(const struct sc_dm_cow_kind *kind,
		      const struct sc_dm_cow_need *need, void *ret,
		      struct sc_err *err)
{
	return kind->probe(need, ret, err);
}

int sc_dm_cow_probe(int sys, const struct sc_dm_settings *settings,
		    const struct sc_dm_origin *origin, uint64_t *ret_bytes,
		    struct sc_err *err)
{
	struct sc_dm_cow_need need = { .sys = sys,
				       .settings = settings,
				       .origin = origin };

	return first_area(&need, probe_area, ret_bytes, err);
}

/* ---- open -----------------------------------------------------------------
 */

struct opening {
	struct sc_dm_cow cow;
	const char *name, *uuid; /* of the layer */
};

static int make_crypt(const struct sc_dm_cow_need *need, struct opening *o,
		      struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table table = { 0 };
	struct sc_dm_cow *cow = &o->cow;

	if (sc_dm_table_random_crypt(&table, &need->origin->table, cow->lower,
				     cow->kind->start / SC_DM_SECTOR,
				     cow->bytes / SC_DM_SECTOR, err) < 0 ||
	    sc_dm_create(o->name, o->uuid, &table, &cow->layer, err) < 0)
		return -1;
	cow->encrypted = true;
	return 0;
}

/* For a lower one that does not begin at 0. */
static int make_linear(struct opening *o, struct sc_err *err)
{
	CLEANUP_DM_TABLE struct sc_dm_table table = { 0 };
	struct sc_dm_cow *cow = &o->cow;

	if (!cow->kind->start)
		return 0;
	if (sc_dm_table_one(&table, cow->bytes / SC_DM_SECTOR, "linear", err,
			    "%u:%u %" PRIu64, major(cow->lower),
			    minor(cow->lower),
			    cow->kind->start / SC_DM_SECTOR) < 0)
		return -1;
	return sc_dm_create(o->name, o->uuid, &table, &cow->layer, err);
}

/* A device over the lower one. What the origin encrypts has to be encrypted;
 * else a kernel without crypt does. */
static int make_layer(const struct sc_dm_cow_need *need, struct opening *o,
		      struct sc_err *err)
{
	struct sc_dm_cow *cow = &o->cow;
	struct sc_err why = SC_ERR_INIT;

	if (need->origin->encrypted) {
		if (make_crypt(need, o, err) < 0)
			return -1;
	} else if (!cow->kind->on_disk || make_crypt(need, o, &why) < 0) {
		if (sc_err_is_set(&why))
			sc_warning(
				"the copy-on-write area is not encrypted; writes that its disk loses may pass as empty pages: %s",
				why.msg);
		if (make_linear(o, err) < 0)
			return -1;
	}
	cow->dev = cow->layer ? cow->layer : cow->lower;
	return 0;
}

static int zero_head(int sys, const struct sc_dm_cow *cow, struct sc_err *err)
{
	static const uint8_t zeroes[ZEROED];
	CLEANUP_CLOSE int fd = sc_sys_open_node(sys, cow->dev, O_RDWR);
	int rc = fd < 0 ? fd : sc_pwrite_full(fd, zeroes, sizeof(zeroes), 0);

	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (rc < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, -rc,
				  "cannot write to the copy-on-write area");
	return 0;
}

static int open_area(const struct sc_dm_cow_kind *kind,
		     const struct sc_dm_cow_need *need, void *ret,
		     struct sc_err *err)
{
	struct opening *o = ret;
	struct sc_err ignored = SC_ERR_INIT;

	o->cow = (struct sc_dm_cow){ .kind = kind, .fd = -1, .zram = -1 };
	snprintf(o->cow.text, sizeof(o->cow.text), "%s %s", kind->name,
		 need->area);
	if (kind->open(need, &o->cow, err) == 0 &&
	    make_layer(need, o, err) == 0 &&
	    zero_head(need->sys, &o->cow, err) == 0)
		return 0;
	(void)sc_dm_cow_close(&o->cow, SC_DM_REMOVE_MS, &ignored);
	return -1;
}

int sc_dm_cow_open(int sys, const struct sc_dm_settings *settings,
		   const struct sc_dm_origin *origin, const char *name,
		   const char *uuid, struct sc_dm_cow *ret, struct sc_err *err)
{
	struct sc_dm_cow_need need = { .sys = sys,
				       .settings = settings,
				       .origin = origin };
	struct opening o = { .name = name, .uuid = uuid };

	*ret = (struct sc_dm_cow){ .fd = -1, .zram = -1 };
	if (first_area(&need, open_area, &o, err) < 0)
		return -1;
	*ret = o.cow;
	sc_info("copy-on-write area for %s (%" PRIu64 " MiB): %" PRIu64
		" MiB in %s%s",
		origin->name, origin->bytes / SC_MIB, ret->bytes / SC_MIB,
		ret->text,
		ret->encrypted ? ", encrypted with a key of its own" : "");
	return 0;
}

int sc_dm_cow_close(struct sc_dm_cow *cow, unsigned wait_ms, struct sc_err *err)
{
	int rc = 0;

	if (!cow->kind)
		return 0;
	if (cow->layer)
		rc = sc_dm_remove(cow->layer, wait_ms, err);
	if (cow->kind->close(cow, err) < 0)
		rc = -1;
	*cow = (struct sc_dm_cow){ .fd = -1, .zram = -1 };
	return rc;
}

bool sc_dm_cow_can_fill(const struct sc_dm_cow *cow,
			const struct sc_dm_origin *origin, uint32_t chunk)
{
	return cow->kind == &sc_dm_cow_zram ||
	       cow->bytes < sc_dm_cow_most(origin->bytes, chunk);
}

void sc_dm_cow_fill(int sys, const struct sc_dm_cow *cow,
		    struct sc_dm_fill *fill)
{
	if (cow->kind && cow->kind->fill)
		cow->kind->fill(sys, cow, fill);
}
