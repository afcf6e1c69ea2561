/* SPDX-License-Identifier: GPL-2.0-only */
/* Which directory a file of a clone lies in; see roots.h. */
#include "io/base/roots.h"

#include "io/base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sc_data_file_next(const char **at, char *ret, size_t cap)
{
	size_t len = strcspn(*at, ":;");

	if (!**at)
		return 0;
	if (len == 0 || len >= cap)
		return -1;
	memcpy(ret, *at, len);
	ret[len] = '\0';
	*at += strcspn(*at, ";");
	*at += **at == ';';
	return 1;
}

const char *sc_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct sc_system_file *find_system(const struct sc_roots *roots,
						const char *name)
{
	for (unsigned i = 0; i < roots->n_system; i++) {
		if (!strcmp(roots->system[i].name, name))
			return &roots->system[i];
	}
	return NULL;
}

int sc_roots_set_system(struct sc_roots *roots, const char *data_file_path,
			const uint8_t *in, size_t n, struct sc_err *err)
{
	char path[SC_ROOT_PATH_MAX + 256];
	const char *at = data_file_path;
	int rc;

	roots->n_system = 0;
	while ((rc = sc_data_file_next(&at, path, sizeof(path))) > 0) {
		struct sc_system_file *file = &roots->system[roots->n_system];
		const char *name = sc_base_name(path);

		if (roots->n_system >= n ||
		    roots->n_system >= SC_MAX_SYSTEM_FILES || !*name ||
		    strlen(name) >= sizeof(file->name))
			break;
		if (find_system(roots, name))
			return sc_err_set(
				err, SC_ER_CLONE_SYS_CONFIG,
				"innodb_data_file_path names %s twice", name);
		snprintf(file->name, sizeof(file->name), "%s", name);
		file->root = in[roots->n_system++];
	}
	if (rc == 0 && roots->n_system == n)
		return 0;
	return sc_err_set(err, SC_ER_CLONE_SYS_CONFIG,
			  "innodb_data_file_path cannot be understood: %s",
			  data_file_path);
}

bool sc_undo_name_implicit(const char *name)
{
	const char *p = name + 5;

	if (strncmp(name, "undo_", 5) != 0 || !isdigit((unsigned char)*p))
		return false;
	while (isdigit((unsigned char)*p))
		p++;
	return !*p || !strcmp(p, "_trunc.log");
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && !strcmp(name + n - s, suffix);
}

bool sc_undo_name(const char *name)
{
	return ends_with(name, ".ibu") || sc_undo_name_implicit(name);
}

bool sc_is_table_name(const char *path)
{
	return ends_with(path, ".ibd");
}

bool sc_is_tablespace_name(const char *path)
{
	return sc_is_table_name(path) || ends_with(path, ".ibu");
}

const char *sc_path_below(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && path[len] == '/' ? path + len + 1
							    : NULL;
}

/* How many bytes of an external name are that directory's, 0: none. */
static size_t prefix_of(const struct sc_roots *roots, unsigned root,
			const char *path)
{
	const char *rest = sc_path_below(roots->path[root], path);

	return roots->external[root] && rest ? (size_t)(rest - path) : 0;
}

/* The innermost. */
static unsigned find_external(const struct sc_roots *roots, const char *path)
{
	unsigned found = SC_NO_ROOT;
	size_t longest = 0;

	for (unsigned i = 1; i < roots->n; i++) {
		size_t len = prefix_of(roots, i, path);

		if (len > longest) {
			longest = len;
			found = i;
		}
	}
	return found;
}

unsigned sc_roots_find(const struct sc_roots *roots, const char *path)
{
	const struct sc_system_file *system;

	if (sc_is_external(path))
		return find_external(roots, path);
	if (roots->n == 1 || strchr(path, '/'))
		return 0;
	system = find_system(roots, path);
	if (system)
		return system->root;
	return sc_undo_name(path) ? roots->undo : 0;
}

struct sc_place sc_roots_place(const struct sc_roots *roots, int datadir,
			       const char *path)
{
	unsigned root;

	if (!sc_is_external(path))
		return (struct sc_place){
			roots ? roots->fd[sc_roots_find(roots, path)] : datadir,
			path
		};
	root = roots ? find_external(roots, path) : SC_NO_ROOT;
	/* Not absolute: openat(2) would not look at the descriptor. */
	if (root == SC_NO_ROOT)
		return (struct sc_place){ -1, path + 1 };
	return (struct sc_place){ roots->fd[root],
				  path + prefix_of(roots, root, path) };
}

bool sc_dir_wanted(const char *name, int depth)
{
	return name[0] != '.' &&
	       (depth > 0 || (name[0] != '#' && strcmp(name, "lost+found")));
}

bool sc_is_data_directory(int dir)
{
	static const char *const signs[] = { "mysql.ibd", "#clone" };

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (faccessat(dir, signs[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	return false;
}

/* 1, 0 not looked into, or -errno. *at: moves on. */
static int enter(int *at, const char *name, int depth)
{
	int sub;

	if (!sc_dir_wanted(name, depth))
		return 0;
	sub = openat(*at, name,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0)
		return -errno;
	close(*at);
	*at = sub;
	return !sc_is_data_directory(sub);
}

bool sc_external_reaches(int root, const char *path)
{
	CLEANUP_CLOSE int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
	const char *slash;
	char name[256];
	struct stat st;
	int rc = 1;

	for (int depth = 0; at >= 0 && rc == 1 && (slash = strchr(path, '/'));
	     depth++, path = slash + 1) {
		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		rc = enter(&at, name, depth);
	}
	if (rc <= 0 || at < 0)
		return rc == -ENOENT;
	if (fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	return S_ISREG(st.st_mode);
}

bool sc_roots_has(const struct sc_roots *roots, int dir)
{
	struct stat st, root;

	for (unsigned i = 0; roots && roots->n > 1 && i < roots->n; i++) {
		if (fstat(dir, &st) == 0 && fstat(roots->fd[i], &root) == 0 &&
		    st.st_dev == root.st_dev && st.st_ino == root.st_ino)
			return true;
	}
	return false;
}
