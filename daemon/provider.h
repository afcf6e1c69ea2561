/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Providers: how an image of the donor's data directory is made. Each has a
 * file of its own, daemon/provider_*.c; daemon/provider.c chooses.
 */
#ifndef SC_DAEMON_PROVIDER_H
#define SC_DAEMON_PROVIDER_H

#include "daemon/config.h"
#include "io/base/ctl.h"
#include "io/base/err.h"
#include "io/image.h"

/* What an image is wanted of. All of it borrowed while the image lives. */
struct sc_image_request {
	const struct sc_config *config;
	int datadir; /* of the running server */
	int redo;    /* its #innodb_redo */
	/* All its directories of tablespaces, the data directory first. */
	const struct sc_roots *roots;
	/* innodb_doublewrite_dir: relative to the data directory when it lies
	 * below it ("" = that itself), else absolute. */
	const char *doublewrite_dir;
	uint8_t job_id[SC_JOB_ID_SIZE];
	bool buffered; /* as struct sc_image */
	/* When the job asked, CLOCK_MONOTONIC: an image that another job makes
	 * later is as good as one of its own. */
	uint64_t asked_us;
	bool only; /* clone_provider asks for this provider: what it cannot
		      do in part is an error too */
	/* The image had to be given up: the job fails with *why. Any thread,
	 * any number of times, until close() has returned. */
	void (*give_up)(void *ctx, const struct sc_err *why);
	/* How full the image's copy-on-write area is, bytes; called likewise.
	 * NULL: not wanted. */
	void (*filled)(void *ctx, uint64_t used, uint64_t bytes);
	void *ctx;
};

/* Room for what probe() says. */
#define SC_WHY_SIZE 256

struct sc_provider {
	const char *name; /* lower case */
	/*
	 * Can it make an image of that? why: SC_WHY_SIZE bytes, the reason for
	 * either answer, as the end of a sentence ("the data directory is not
	 * on btrfs"). Changes nothing; blocks; any thread. give_up may be NULL.
	 */
	bool (*probe)(const struct sc_image_request *request, char *why);
	/* Make it. 0 with *ret to be freed by its close(), or -1 with nothing
	 * left. Blocks; one thread. */
	int (*open)(const struct sc_image_request *request,
		    struct sc_image **ret, struct sc_err *err);
	/*
	 * Remove what daemons that died have left; what belongs to one that
	 * lives stays. Called at the start of a daemon and by `snapclone
	 * cleanup`. Returns the number of images removed, or -1 with the first
	 * failure after trying the rest. NULL: nothing can be left.
	 */
	int (*reap)(const struct sc_config *config, struct sc_err *err);
	/* Is there anything that reap() removes, or would if nobody had images?
	 * Also when that cannot be seen. Changes nothing; blocks for
	 * milliseconds; any thread. NULL: what reap() did not complain about
	 * is gone. */
	bool (*remains)(const struct sc_config *config);
};

/* Snapshots of the block devices through device-mapper: atomic when all is on
 * one; root and a copy-on-write area for each. */
extern const struct sc_provider sc_provider_dm;

/* Reads the running files; a page that is being written is read again. Any
 * file system, no privilege. */
extern const struct sc_provider sc_provider_live;

/* A snapshot of the subvolume (btrfs); needs CAP_SYS_ADMIN. */
extern const struct sc_provider sc_provider_btrfs;

/* Shares the extents of the files (XFS, btrfs, bcachefs); no privilege. */
extern const struct sc_provider sc_provider_reflink;

/* The providers by rank, best first, NULL at the end. The last one can always.
 */
extern const struct sc_provider *const sc_providers[];

/*
 * Make an image with the provider that fits: the best whose probe says yes and
 * whose open succeeds, or the one asked for. wanted: a value of clone_provider;
 * anything but SC_PROVIDER_AUTO makes the refusal of that provider the error.
 * The choice and the reasons against better ones are logged. 0 with *ret to be
 * freed by its close(), or -1. Blocks; one thread.
 */
int sc_provider_open(const struct sc_image_request *request,
		     enum sc_provider_choice wanted, struct sc_image **ret,
		     struct sc_err *err);

/* What could not be given back (daemon/left.h) and is there still, whoever may
 * have removed it; text: SC_ERR_MSG_SIZE bytes, "" when nothing is. Blocks as
 * remains(); any thread. */
void sc_provider_left(const struct sc_config *config, char *text);

/* Reap for every provider; each removal and each failure is logged. Returns
 * the number of images removed, or -1 with the first failure. */
int sc_provider_reap(const struct sc_config *config, struct sc_err *err);

#endif
