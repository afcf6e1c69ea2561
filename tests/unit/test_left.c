/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an image could not give back: kept, told as long as it is there, tried
 * again before the next image. The providers are ours: these names hide the
 * real ones.
 */
#include "daemon/left.h"
#include "daemon/provider.h"
#include "io/base/log.h"
#include "io/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct sc_config config;
static struct sc_image image = { .provider = "btrfs" };

/* What lies there of `dm`, and what reaping does with it. */
static struct {
	unsigned there, reaps, looks;
	bool other_process; /* has images: reaping does nothing */
	bool busy;	    /* it fails */
	bool again;	    /* while it goes on, another image stays */
} dm;

static char said[4096]; /* the log, a line each */

static void record(void *ctx, enum sc_log_level level, const char *line)
{
	size_t n = strlen(said);

	(void)ctx;
	snprintf(said + n, sizeof(said) - n, "%d %s\n", (int)level, line);
}

static void keep(const char *provider, const char *text)
{
	struct sc_err why = SC_ERR_INIT;

	sc_err_set(&why, SC_ER_INTERNAL_ERROR, "%s", text);
	sc_left_keep(provider, &why);
}

static int dm_reap(const struct sc_config *c, struct sc_err *err)
{
	int n = (int)dm.there;

	assert_ptr_equal(c, &config);
	dm.reaps++;
	if (dm.busy)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR, "in use");
	if (dm.other_process)
		return 0;
	dm.there = 0;
	if (dm.again)
		keep("dm", "the next one");
	return n;
}

static bool dm_remains(const struct sc_config *c)
{
	assert_ptr_equal(c, &config);
	dm.looks++;
	return dm.there;
}

static bool cannot(const struct sc_image_request *request, char *why)
{
	(void)request;
	snprintf(why, SC_WHY_SIZE, "not asked for");
	return false;
}

static bool can(const struct sc_image_request *request, char *why)
{
	(void)request;
	snprintf(why, SC_WHY_SIZE, "it can");
	return true;
}

static int open_image(const struct sc_image_request *request,
		      struct sc_image **ret, struct sc_err *err)
{
	(void)request;
	(void)err;
	*ret = &image;
	return 0;
}

const struct sc_provider sc_provider_dm = {
	.name = "dm", .probe = cannot, .reap = dm_reap, .remains = dm_remains
};
const struct sc_provider sc_provider_btrfs = { .name = "btrfs",
					       .probe = can,
					       .open = open_image };
const struct sc_provider sc_provider_reflink = { .name = "reflink",
						 .probe = cannot };
const struct sc_provider sc_provider_live = { .name = "live", .probe = cannot };

static int setup(void **state)
{
	struct sc_left left;

	(void)state;
	memset(&dm, 0, sizeof(dm));
	if (sc_left_get(&left))
		sc_left_forget(&left);
	sc_log_setup(SC_LOG_INFO, record, NULL);
	said[0] = '\0';
	return 0;
}

/* A job makes its image: what was left is tried first. */
static void begin_job(void)
{
	struct sc_image_request request = { .config = &config };
	struct sc_err err = SC_ERR_INIT;
	struct sc_image *made = NULL;

	assert_int_equal(
		sc_provider_open(&request, SC_PROVIDER_AUTO, &made, &err), 0);
	assert_ptr_equal(made, &image);
}

static const char *status(void)
{
	static char text[SC_ERR_MSG_SIZE];

	sc_provider_left(&config, text);
	return text;
}

#define STAYS "provider dm could not give its image back: the first one"

static void nothing_left(void **state)
{
	struct sc_left left;

	(void)state;
	assert_false(sc_left_get(&left));
	assert_string_equal(status(), "");
	begin_job();
	assert_int_equal(dm.reaps + dm.looks, 0);
	assert_null(strstr(said, "earlier image"));
}

static void kept_until_it_is_gone(void **state)
{
	(void)state;
	dm.there = 1;
	keep("dm", "the first one");
	assert_string_equal(said, "0 " STAYS "\n");
	assert_string_equal(status(), STAYS);
	assert_string_equal(status(), STAYS);
	begin_job();
	assert_int_equal(dm.reaps, 1);
	assert_non_null(strstr(said, "what an earlier image had left is gone"));
	assert_string_equal(status(), "");
	begin_job();
	assert_int_equal(dm.reaps, 1);
}

/* `snapclone cleanup`, another process, has removed it. */
static void somebody_else_removed_it(void **state)
{
	struct sc_left left;

	(void)state;
	dm.there = 1;
	keep("dm", "the first one");
	assert_string_equal(status(), STAYS);
	dm.there = 0;
	assert_string_equal(status(), "");
	assert_false(sc_left_get(&left));
	assert_int_equal(dm.reaps, 0);
}

/* Reaping does nothing then: that is not "gone". */
static void another_process_has_images(void **state)
{
	(void)state;
	dm.there = 2;
	dm.other_process = true;
	keep("dm", "the first one");
	begin_job();
	assert_int_equal(dm.reaps, 1);
	assert_null(strstr(said, "is gone"));
	assert_non_null(strstr(said, "stays for now"));
	assert_string_equal(status(), STAYS);
	dm.other_process = false;
	begin_job();
	assert_non_null(strstr(said, "is gone"));
	assert_string_equal(status(), "");
}

static void removal_fails(void **state)
{
	(void)state;
	dm.there = 1;
	dm.busy = true;
	keep("dm", "the first one");
	begin_job();
	assert_non_null(strstr(said, "1 provider dm: in use"));
	assert_null(strstr(said, "is gone"));
	assert_null(strstr(said, "stays for now"));
	assert_string_equal(status(), STAYS);
}

/* A provider that cannot look: what reaping does not complain about is gone. */
static void unknown_until_reaped(void **state)
{
	(void)state;
	keep("btrfs", "the first one");
	assert_non_null(strstr(status(), "provider btrfs could not"));
	dm.busy = true;
	begin_job();
	assert_non_null(strstr(status(), "provider btrfs could not"));
	dm.busy = false;
	begin_job();
	assert_string_equal(status(), "");
}

/* What stays while an earlier thing is removed is not forgotten with it. */
static void another_one_stays_meanwhile(void **state)
{
	struct sc_left left;

	(void)state;
	dm.there = 1;
	dm.again = true;
	keep("dm", "the first one");
	begin_job();
	assert_true(sc_left_get(&left));
	assert_non_null(strstr(left.text, ": the next one"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_left, setup),
		cmocka_unit_test_setup(kept_until_it_is_gone, setup),
		cmocka_unit_test_setup(somebody_else_removed_it, setup),
		cmocka_unit_test_setup(another_process_has_images, setup),
		cmocka_unit_test_setup(removal_fails, setup),
		cmocka_unit_test_setup(unknown_until_reaped, setup),
		cmocka_unit_test_setup(another_one_stays_meanwhile, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
