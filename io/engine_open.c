/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which engine: io_uring with registered buffers, with plain buffers, or plain
 * system calls. Every step down is logged, once per process.
 */
#include "io/engine_hook.h"
#include "io/engine_impl.h"

#include "io/base/log.h"
#include "io/base/num.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

/* Set once by main. */
static enum sc_engine_kind automatic = SC_ENGINE_AUTO;

/* What was said already. Of the process, like the log itself. */
static atomic_flag said_flags = ATOMIC_FLAG_INIT;
static atomic_flag said_buffers = ATOMIC_FLAG_INIT;
static atomic_flag said_files = ATOMIC_FLAG_INIT;
static atomic_flag said_sync = ATOMIC_FLAG_INIT;

static void say_flags(void)
{
	if (!atomic_flag_test_and_set(&said_flags))
		sc_info("io_uring: this kernel has no DEFER_TASKRUN (Linux 6.1), a little more CPU per request");
}

/* KiB, per user. */
static unsigned long long memlock_limit(void)
{
	struct rlimit limit = { 0 };

	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	return limit.rlim_cur / 1024;
}

static void say_buffers(const struct sc_engine_params *params, int reason)
{
	if (!atomic_flag_test_and_set(&said_buffers))
		sc_info("io_uring: %zu KiB of buffers per stream are not registered (%s; RLIMIT_MEMLOCK is %llu KiB per user): a little more CPU per request; HINT: LimitMEMLOCK=infinity in the service's unit",
			params->arena_len / 1024, strerrordesc_np(reason),
			memlock_limit());
}

static void say_files(int reason)
{
	if (!atomic_flag_test_and_set(&said_files))
		sc_info("io_uring: files are not registered (%s): a little more CPU per request",
			strerrordesc_np(reason));
}

/* ENOMEM: newer kernels count the ring itself as locked memory. */
static void say_sync(int reason)
{
	if (!atomic_flag_test_and_set(&said_sync))
		sc_warning(
			"io_uring is not available (%s; RLIMIT_MEMLOCK is %llu KiB per user): every stream waits for each of its reads and writes, which costs speed on disks that serve many at once; HINT: %s; or more streams (clone_max_concurrency)",
			strerrordesc_np(reason), memlock_limit(),
			reason == ENOMEM
				? "LimitMEMLOCK=infinity in the service's unit"
				: "sysctl kernel.io_uring_disabled=0, a seccomp filter that allows io_uring_setup, io_uring_enter and io_uring_register, Linux 5.6 or newer");
}

static struct sc_engine *open_uring(const struct sc_engine_params *params,
				    int *reason)
{
	struct sc_uring_got got;
	struct sc_engine *engine = sc_engine_uring_new(params, &got);

	*reason = got.ring;
	if (!engine)
		return NULL;
	if (!got.all_flags)
		say_flags();
	if (got.buffers)
		say_buffers(params, got.buffers);
	if (got.files)
		say_files(got.files);
	return engine;
}

void sc_engine_setup(enum sc_engine_kind kind)
{
	automatic = kind;
}

static struct sc_engine *open_best(const struct sc_engine_params *params)
{
	enum sc_engine_kind kind = params->kind ? params->kind : automatic;
	struct sc_engine *engine;
	int reason;

	if (kind == SC_ENGINE_SYNC)
		return sc_engine_sync_new();
	engine = open_uring(params, &reason);
	if (!engine && kind == SC_ENGINE_AUTO) {
		say_sync(reason);
		return sc_engine_sync_new();
	}
	if (!engine)
		errno = reason;
	return engine;
}

struct sc_engine *sc_engine_open(const struct sc_engine_params *params)
{
	if (!params->depth || params->depth > SC_ENGINE_MAX_DEPTH) {
		errno = EINVAL;
		return NULL;
	}
	return sc_engine_hooked(open_best(params), params->depth);
}

int sc_engine_kind_parse(const char *name, enum sc_engine_kind *ret)
{
	static const char *const names[] = { "auto", "uring", "sync" };

	for (size_t i = 0; i < SC_ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i])) {
			*ret = (enum sc_engine_kind)i;
			return 0;
		}
	}
	return -1;
}
