/* SPDX-License-Identifier: GPL-2.0-only */
/* Suspended devices under directories; see suspended.h. */
#include "daemon/suspended.h"

#include "daemon/dm_sysfs.h"
#include "io/base/cleanup.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- paths --------------------------------------------------------------- */

/* Append the components of path to ret, which is an absolute one; "" is the
 * root directory. */
static bool append(const char *path, char *ret, size_t cap)
{
	while (*path) {
		size_t n = strcspn(path, "/"), len = strlen(ret);

		if (n == 2 && !strncmp(path, "..", 2)) {
			char *slash = strrchr(ret, '/');

			if (slash)
				*slash = '\0';
		} else if (n && !(n == 1 && *path == '.')) {
			if (len + n + 2 > cap)
				return false;
			snprintf(ret + len, cap - len, "/%.*s", (int)n, path);
		}
		path += n + (path[n] == '/');
	}
	return true;
}

bool sc_path_absolute(const char *path, char *ret, size_t cap)
{
	char cwd[PATH_MAX] = "";

	*ret = '\0';
	if (*path != '/' &&
	    (!getcwd(cwd, sizeof(cwd)) || !append(cwd, ret, cap)))
		return false;
	if (!append(path, ret, cap))
		return false;
	if (!*ret)
		snprintf(ret, cap, "/");
	return true;
}

/* `path` is `dir` or below it. */
static bool lies_in(const char *dir, const char *path)
{
	size_t len = strcmp(dir, "/") ? strlen(dir) : 0;

	return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

/* ---- the table of mounts ------------------------------------------------- */

struct mount {
	char where[4096], source[4096];
	dev_t dev;
};

/* "\040" is a space; in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; to++) {
		unsigned c;

		if (*p == '\\' && sscanf(p + 1, "%3o", &c) == 1) {
			*to = (char)c;
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
}

static bool parse(const char *line, struct mount *ret)
{
	const char *rest = strstr(line, " - ");
	unsigned ma, mi;

	if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &ma, &mi, ret->where) !=
		    3 ||
	    !rest || sscanf(rest, " - %*s %4095s", ret->source) != 1)
		return false;
	ret->dev = makedev(ma, mi);
	unescape(ret->where);
	unescape(ret->source);
	return true;
}

/* btrfs has numbers of its own, and tells its device by name. */
static dev_t device_of(const struct mount *m)
{
	struct stat st;

	if (major(m->dev))
		return m->dev;
	return !strncmp(m->source, "/dev/", 5) && stat(m->source, &st) == 0 &&
			       S_ISBLK(st.st_mode)
		       ? st.st_rdev
		       : 0;
}

/* ---- the devices --------------------------------------------------------- */

struct search {
	int sys;
	char *name;
	size_t cap;
};

/* Source: Documentation/ABI/testing/sysfs-block-dm. */
static int is_suspended(dev_t dev, void *ctx)
{
	const struct search *s = ctx;
	char text[8];

	if (sc_sys_get(s->sys, dev, "dm/suspended", text, sizeof(text)) < 0 ||
	    strcmp(text, "1") != 0)
		return 0;
	sc_sys_name(s->sys, dev, s->name, s->cap);
	return 1;
}

/* Layers that cannot be seen through are taken for none. */
static bool suspended(struct search *s, const struct mount *m)
{
	struct sc_err ignored = SC_ERR_INIT;
	dev_t dev = device_of(m);

	return dev && sc_sys_walk(s->sys, dev, is_suspended, s, &ignored) > 0;
}

bool sc_suspended_look(FILE *mountinfo, int sys, const char *path, char *ret,
		       size_t cap)
{
	struct search s = { sys, ret, cap };
	struct mount above = { .where = "" }, m;
	CLEANUP_FREE char *line = NULL;
	bool found = false;
	size_t size = 0;

	while (!found && getline(&line, &size, mountinfo) > 0) {
		if (!parse(line, &m))
			continue;
		/* The innermost, and of those the last, which hides others. */
		if (lies_in(m.where, path) &&
		    strlen(m.where) >= strlen(above.where))
			above = m;
		else if (lies_in(path, m.where))
			found = suspended(&s, &m);
	}
	return found || suspended(&s, &above);
}

bool sc_suspended_under(const char *path, char *ret, size_t cap)
{
	FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	struct sc_err ignored = SC_ERR_INIT;
	CLEANUP_CLOSE int sys = sc_sys_open(&ignored);
	char whole[PATH_MAX];
	bool found = mountinfo && sys >= 0 &&
		     sc_path_absolute(path, whole, sizeof(whole)) &&
		     sc_suspended_look(mountinfo, sys, whole, ret, cap);

	if (mountinfo)
		fclose(mountinfo);
	return found;
}
