/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `snapclone check`: a dry run on a donor's data directory. Which provider
 * would make the image, and what is against the others. Asks the providers
 * what the daemon asks them, with the rights of the user who runs it.
 */
#include "daemon/cli/cli.h"

#include "daemon/provider.h"
#include "daemon/suspended.h"
#include "io/base/cleanup.h"
#include "io/base/log.h"
#include "io/reflink.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { STATUS_YES = 0, STATUS_NO = 1, STATUS_NOT_CHECKED = 2 };

/* Besides the data directory and two others. */
#define MAX_EXTERNAL (SC_MAX_ROOTS - 3)

struct options {
	const char *datadir, *redo_home, *doublewrite, *target, *provider;
	const char *undo, *data_home;
	const char *external[MAX_EXTERNAL];
	unsigned n_external;
	char config[520]; /* "--config=..." */
};

static int usage(FILE *to)
{
	fprintf(to,
		"usage: snapclone check [OPTION ...] DATADIR\n\n"
		"  DATADIR                 a donor's data directory; its server may run\n"
		"  --redo-dir=DIR          innodb_log_group_home_dir, when it is another one\n"
		"  --doublewrite-dir=DIR   innodb_doublewrite_dir, likewise\n"
		"  --undo-dir=DIR          innodb_undo_directory, likewise\n"
		"  --data-home-dir=DIR     innodb_data_home_dir, likewise\n"
		"  --external-dir=DIR      one of innodb_directories that has tablespaces; up to 9 times\n"
		"  --target=DIR            would CLONE LOCAL to a new directory in DIR share extents?\n"
		"  --provider=NAME         ask for this one, as clone_provider does\n"
		"  --config=FILE           configuration of snapcloned (default " SC_CONFIG_FILE
		")\n\n"
		"Run it as root to hear what the service would do, as mysqld's user to hear what a\n"
		"daemon that mysqld starts would do. Exit status: 0 the clone gets its image, 1 the\n"
		"provider asked for cannot make it, 2 it could not be checked.\n");
	return to == stdout ? STATUS_YES : STATUS_NOT_CHECKED;
}

static int failed(const char *path, int sys_errno)
{
	fprintf(stderr, "snapclone check: %s: %s\n", path,
		strerrordesc_np(sys_errno));
	return STATUS_NOT_CHECKED;
}

/* Whatever touches it would wait, and nobody could end us. `at`: a path to look
 * at for path. */
static bool would_wait(const char *path, const char *at)
{
	char device[256];

	if (!sc_suspended_under(at, device, sizeof(device)))
		return false;
	fprintf(stderr,
		"snapclone check: %s: somebody has suspended the device %s, on which everything waits; `dmsetup resume` goes on with it\n",
		path, device);
	return true;
}

/* A symbolic link may have led elsewhere. */
static bool leads_to_wait(const char *path, int fd)
{
	char link[64], real[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, real, sizeof(real) - 1);
	real[n > 0 ? n : 0] = '\0';
	return n > 0 && would_wait(path, real);
}

static int open_dir(const char *path)
{
	int fd;

	if (would_wait(path, path))
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		failed(path, errno);
	if (fd < 0 || !leads_to_wait(path, fd))
		return fd;
	close(fd);
	return -1;
}

static int open_redo(const struct options *o)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/#innodb_redo",
		 o->redo_home ? o->redo_home : o->datadir);
	return open_dir(path);
}

/* NULL: it cannot be found, which was said. */
static char *real_path(const char *given)
{
	char *path;

	if (would_wait(given, given))
		return NULL;
	path = realpath(given, NULL);
	if (!path)
		failed(given, errno);
	return path;
}

/* As the plugin tells it: relative to the data directory when below it. */
static char *doublewrite_path(const struct options *o)
{
	CLEANUP_FREE char *datadir = real_path(o->datadir);
	CLEANUP_FREE char *path =
		datadir ? real_path(o->doublewrite ? o->doublewrite
						   : o->datadir)
			: NULL;
	size_t len = datadir ? strlen(datadir) : 0;

	if (!path)
		return NULL;
	if (!strncmp(path, datadir, len) && (!path[len] || path[len] == '/'))
		return strdup(path[len] ? path + len + 1 : "");
	return strdup(path);
}

/* A directory that is another one than the data directory counts. */
static int add_root(struct sc_roots *roots, const char *path)
{
	struct stat st, datadir;
	int fd;

	if (!path)
		return 0;
	fd = open_dir(path);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || fstat(roots->fd[0], &datadir) < 0 ||
	    (st.st_dev == datadir.st_dev && st.st_ino == datadir.st_ino)) {
		close(fd);
		return 0;
	}
	snprintf(roots->path[roots->n], sizeof(roots->path[0]), "%s", path);
	roots->fd[roots->n++] = fd;
	return 0;
}

static int add_external(struct sc_roots *roots, const struct options *o)
{
	for (unsigned i = 0; i < o->n_external; i++) {
		unsigned n = roots->n;

		if (add_root(roots, o->external[i]) < 0)
			return -1;
		if (roots->n > n)
			roots->external[n] = SC_EXTERNAL_YES;
	}
	return 0;
}

/* The first one is the caller's. */
static void close_roots(struct sc_roots *roots)
{
	for (unsigned i = 1; i < roots->n; i++)
		close(roots->fd[i]);
}
#define CLOSE_ROOTS __attribute__((cleanup(close_roots)))

static void print_target(const struct options *o, int datadir, bool asked_other)
{
	CLEANUP_CLOSE int target = o->target ? open_dir(o->target) : -1;
	int rc;

	if (target < 0)
		return;
	rc = sc_reflink_try(datadir, target);
	if (rc == 0 && !asked_other)
		printf("CLONE LOCAL to %s would share extents: nothing is read, checked or hashed\n",
		       o->target);
	else
		printf("CLONE LOCAL to %s would copy: %s\n", o->target,
		       rc ? strerrordesc_np(-rc)
			  : "clone_provider asks for it");
}

static int print_providers(const struct options *o,
			   const struct sc_image_request *request)
{
	const struct sc_provider *chosen = NULL;
	bool known = !o->provider;

	for (size_t i = 0; sc_providers[i]; i++) {
		const struct sc_provider *p = sc_providers[i];
		bool asked = !o->provider || !strcasecmp(o->provider, p->name);
		char why[SC_WHY_SIZE] = "";
		bool can = p->probe(request, why);

		known |= asked;
		if (can && asked && !chosen)
			chosen = p;
		printf("%-8s %-3s  %s\n", p->name, can ? "yes" : "no", why);
	}
	if (!known) {
		fprintf(stderr, "snapclone check: there is no provider %s\n",
			o->provider);
		return STATUS_NOT_CHECKED;
	}
	if (chosen)
		printf("provider: %s\n", chosen->name);
	else
		printf("provider: none, clone_provider=%s would fail\n",
		       o->provider);
	return chosen ? STATUS_YES : STATUS_NO;
}

static void print_user(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	if (geteuid() == 0)
		printf("as root, like the service:\n");
	else
		printf("as %s, like a daemon that mysqld of that user starts:\n",
		       pw ? pw->pw_name : "this user");
}

static int check(const struct options *o)
{
	CLEANUP_CLOSE int datadir = open_dir(o->datadir);
	CLEANUP_CLOSE int redo = datadir < 0 ? -1 : open_redo(o);
	CLEANUP_FREE char *doublewrite = redo < 0 ? NULL : doublewrite_path(o);
	CLOSE_ROOTS struct sc_roots roots = { .fd = { datadir }, .n = 1 };
	char *argv[] = { (char *)"snapclone", (char *)o->config, NULL };
	struct sc_err err = SC_ERR_INIT;
	struct sc_config config;
	struct sc_image_request request = { .config = &config,
					    .datadir = datadir,
					    .redo = redo,
					    .roots = &roots,
					    .doublewrite_dir = doublewrite,
					    .only = o->provider != NULL };
	int rc;

	if (!doublewrite || add_root(&roots, o->undo) < 0 ||
	    add_root(&roots, o->data_home) < 0 || add_external(&roots, o) < 0)
		return STATUS_NOT_CHECKED;
	if (sc_config_load(&config, *o->config ? 2 : 1, argv, &err) < 0) {
		fprintf(stderr, "snapclone check: %s\n", err.msg);
		return STATUS_NOT_CHECKED;
	}
	sc_log_setup(SC_LOG_WARNING, NULL, NULL);
	setlinebuf(stdout); /* a probe waits where fsfreeze was used */
	print_user();
	rc = print_providers(o, &request);
	if (rc != STATUS_NOT_CHECKED)
		print_target(o, datadir,
			     o->provider && strcasecmp(o->provider, "reflink"));
	return rc;
}

static bool take(const char *arg, const char *name, const char **ret)
{
	size_t len = strlen(name);

	if (strncmp(arg, name, len) || !arg[len])
		return false;
	*ret = arg + len;
	return true;
}

static bool take_external(const char *arg, struct options *o)
{
	return o->n_external < MAX_EXTERNAL &&
	       take(arg, "--external-dir=", &o->external[o->n_external]) &&
	       ++o->n_external;
}

int sc_cmd_check(int argc, char **argv)
{
	struct options o = { 0 };
	const char *config = NULL;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help"))
			return usage(stdout);
		if (take(argv[i], "--redo-dir=", &o.redo_home) ||
		    take(argv[i], "--doublewrite-dir=", &o.doublewrite) ||
		    take(argv[i], "--undo-dir=", &o.undo) ||
		    take(argv[i], "--data-home-dir=", &o.data_home) ||
		    take_external(argv[i], &o) ||
		    take(argv[i], "--target=", &o.target) ||
		    take(argv[i], "--provider=", &o.provider) ||
		    take(argv[i], "--config=", &config))
			continue;
		if (argv[i][0] == '-' || o.datadir)
			return usage(stderr);
		o.datadir = argv[i];
	}
	if (config)
		snprintf(o.config, sizeof(o.config), "--config=%s", config);
	return o.datadir ? check(&o) : usage(stderr);
}
