/* SPDX-License-Identifier: GPL-2.0-only */
/* Which files should be there, and what is to be read of them; see
 * verify_impl.h. */
#include "io/verify_impl.h"

#include "io/base/cleanup.h"
#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int failed(int sys_errno, const char *what, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot read %s", what);
}

/* Room for one more; capacities are powers of two. */
static int grow(struct verify *v, struct sc_err *err)
{
	size_t n = v->work.n;
	void *files;

	if (n & (n - 1))
		return 0;
	files = realloc(v->files, (n ? 2 * n : 1) * sizeof(*v->files));
	if (!files)
		return failed(ENOMEM, "the list of files", err);
	v->files = files;
	return 0;
}

int verify_add_work(struct verify *v, const struct sc_file *file,
		    const char *path, uint64_t size, bool system,
		    struct sc_err *err)
{
	size_t n = v->work.n;

	if (grow(v, err) < 0 || sc_filelist_add(&v->work, path, file->kind,
						size, &file->spec, err) < 0)
		return -1;
	v->files[n].origin = (uint32_t)(file - v->m.list.files);
	v->files[n].system = system;
	atomic_init(&v->files[n].skip, false);
	return 0;
}

int64_t verify_size_of(struct verify *v, const char *path)
{
	char name[VERIFY_NAME_CAP];
	CLEANUP_CLOSE int fd = sc_open_beneath(verify_name(v, path, name), name,
					       O_RDONLY | O_NONBLOCK, 0);
	struct stat st;

	if (fd == -ENOENT)
		verify_found(v, "%s is missing", path);
	else if (fd == -ELOOP)
		verify_found(v, "%s is a symbolic link, or lies behind one",
			     path);
	else if (fd < 0 || fstat(fd, &st) < 0)
		verify_found(v, "%s cannot be opened: %s", path,
			     strerrordesc_np(fd < 0 ? -fd : errno));
	else if (!S_ISREG(st.st_mode))
		verify_found(v, "%s is not a regular file", path);
	else
		return st.st_size;
	return -1;
}

/*
 * Files of the system tablespace come first and have one numbering of pages;
 * only the first has a page 0. It can be neither encrypted nor compressed.
 */
static bool is_system(const struct sc_filelist *list, size_t i)
{
	const struct sc_page_spec *first = &list->files[0].spec;

	for (size_t k = 0; k <= i; k++) {
		const struct sc_file *file = &list->files[k];

		if (file->kind != SC_FILE_PAGES || file->spec.space_id ||
		    file->spec.flags != first->flags)
			return false;
	}
	return true;
}

static unsigned add_root(struct verify *v, int dir)
{
	if (dir < 0)
		return 0;
	v->roots.fd[v->roots.n] = dir;
	return v->roots.n++;
}

/* External tablespaces have absolute names. */
static int set_top(struct verify *v, struct sc_err *err)
{
	const struct sc_filelist *list = &v->m.list;

	for (size_t i = 0; i < list->n && v->top < 0; i++) {
		if (!sc_is_external(list->files[i].path))
			continue;
		v->top = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (v->top < 0)
			return failed(errno, "/", err);
		v->roots.external[add_root(v, v->top)] = true;
	}
	return 0;
}

int verify_set_roots(struct verify *v, struct sc_err *err)
{
	const struct sc_filelist *list = &v->m.list;
	unsigned home = add_root(v, v->params->home_dir);

	if (set_top(v, err) < 0)
		return -1;
	v->roots.undo = add_root(v, v->params->undo_dir);
	for (size_t i = 0; home && i < list->n && is_system(list, i); i++) {
		struct sc_system_file *file = &v->roots.system[i];
		const char *path = list->files[i].path;

		if (i == SC_MAX_SYSTEM_FILES ||
		    strlen(path) >= sizeof(file->name))
			return failed(E2BIG, "the system tablespace", err);
		snprintf(file->name, sizeof(file->name), "%s", path);
		file->root = (uint8_t)home;
		v->roots.n_system++;
	}
	return 0;
}

static void number_system(struct verify *v)
{
	struct sc_filelist *list = &v->m.list;
	uint32_t page = 0;

	for (size_t i = 0; i < list->n && is_system(list, i); i++) {
		struct sc_file *file = &list->files[i];

		file->spec.first_page = page;
		page += (uint32_t)((file->shared ? file->sealed_size
						 : file->size) /
				   file->spec.physical_size);
	}
}

/* A file of the manifest, before the first start. */
static int compare_file(struct verify *v, size_t i, bool system,
			struct sc_err *err)
{
	const struct sc_file *file = &v->m.list.files[i];
	int64_t size = verify_size_of(v, file->path);

	v->shared += file->shared;
	if (size < 0)
		return 0;
	if ((uint64_t)size != file->sealed_size)
		verify_found(v,
			     "%s is %s than it was cloned: %" PRId64
			     " bytes instead of %" PRIu64,
			     file->path,
			     (uint64_t)size < file->sealed_size ? "shorter"
								: "longer",
			     size, file->sealed_size);
	return verify_add_work(v, file, file->path,
			       SC_MIN((uint64_t)size, file->sealed_size),
			       system, err);
}

int verify_list_known(struct verify *v, struct sc_err *err)
{
	const struct sc_filelist *list = &v->m.list;
	bool system = true;

	number_system(v);
	for (size_t i = 0; i < list->n; i++) {
		const struct sc_file *file = &list->files[i];
		int64_t size;

		system = system && is_system(list, i);
		if (v->before_start) {
			if (compare_file(v, i, system, err) < 0)
				return -1;
			continue;
		}
		if (!system)
			return 0;
		size = verify_size_of(v, file->path);
		if (size >= 0 && verify_add_work(v, file, file->path,
						 (uint64_t)size, true, err) < 0)
			return -1;
	}
	return 0;
}

int verify_list_external(struct verify *v, const struct sc_file *plain,
			 struct sc_err *err)
{
	const struct sc_filelist *list = &v->m.list;

	for (size_t i = 0; !v->before_start && i < list->n; i++) {
		const char *path = list->files[i].path;
		int64_t size;

		if (!sc_is_external(path) ||
		    faccessat(v->top, path + 1, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		size = verify_size_of(v, path);
		if (size >= 0 && verify_add_work(v, plain, path, (uint64_t)size,
						 false, err) < 0)
			return -1;
	}
	return 0;
}
