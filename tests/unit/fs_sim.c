/* SPDX-License-Identifier: GPL-2.0-only */
/* The disk that loses power; see fs_sim.h. */
#include "tests/unit/fs_sim.h"

#include "tests/unit/dir_fixture.h"
#include "tests/unit/tree.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_NAMES = 512, MAX_INODES = 1024, MAX_OPS = 4096, NONE = -1 };

struct blob {
	uint8_t *data;
	size_t len;
};

/* A change: names[i] is inodes[i] from now on, or the bytes of an inode are
 * blob; or a sync of a directory's names or an inode's bytes. */
struct op {
	enum { NAMES, BYTES, SYNC_NAMES, SYNC_BYTES } kind;
	int dir, to_dir; /* of NAMES, SYNC_NAMES: index of the directory's name
			  */
	unsigned n;
	int names[2], inodes[2];
	int inode, blob;
	size_t durable; /* number of the op that makes it sure, SIZE_MAX */
};

struct disk {
	int inode_of[MAX_NAMES];
	int blob_of[MAX_INODES];
};

struct fs_sim {
	char root[128];
	char *names[MAX_NAMES]; /* 0 is the root, "" */
	int parent[MAX_NAMES];
	int n_names;
	ino_t ino[MAX_INODES]; /* of the newest inode that has it */
	bool is_dir[MAX_INODES];
	int n_inodes;
	struct blob *blobs;
	int n_blobs;
	struct op ops[MAX_OPS];
	size_t n_ops;
	struct disk base;
	struct disk now; /* as the running system sees it */
	uint64_t *seen;
	size_t n_seen;
};

/* ---- names, inodes, bytes ---------------------------------------------------
 */

static int name_index(struct fs_sim *sim, const char *path)
{
	char parent[2048];
	char *slash;

	for (int i = 0; i < sim->n_names; i++)
		if (!strcmp(sim->names[i], path))
			return i;
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	parent[slash ? slash - parent : 0] = '\0';
	/* The parent first: materialize() goes by the index. */
	if (*path)
		name_index(sim, parent);
	assert(sim->n_names < MAX_NAMES);
	sim->names[sim->n_names] = strdup(path);
	sim->parent[sim->n_names] = *path ? name_index(sim, parent) : NONE;
	sim->base.inode_of[sim->n_names] = NONE;
	sim->now.inode_of[sim->n_names] = NONE;
	return sim->n_names++;
}

static int new_inode(struct fs_sim *sim, const struct stat *st)
{
	assert(sim->n_inodes < MAX_INODES);
	sim->ino[sim->n_inodes] = st->st_ino;
	sim->is_dir[sim->n_inodes] = S_ISDIR(st->st_mode);
	sim->base.blob_of[sim->n_inodes] = NONE;
	sim->now.blob_of[sim->n_inodes] = NONE;
	return sim->n_inodes++;
}

/* The newest one: numbers are used again. */
static int inode_of(const struct fs_sim *sim, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NONE;
	for (int i = sim->n_inodes; i-- > 0;)
		if (sim->ino[i] == st.st_ino)
			return i;
	return NONE;
}

static int add_blob(struct fs_sim *sim, uint8_t *data, size_t len)
{
	sim->blobs = realloc(sim->blobs,
			     (size_t)(sim->n_blobs + 1) * sizeof(*sim->blobs));
	sim->blobs[sim->n_blobs] = (struct blob){ data, len };
	return sim->n_blobs++;
}

/* The bytes that a descriptor's file has now; it may be open for writing only.
 */
static int blob_of_fd(struct fs_sim *sim, int fd)
{
	char link[64];
	uint8_t *data;
	size_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (dir_fixture_get(AT_FDCWD, link, &data, &len) < 0)
		abort();
	return add_blob(sim, data, len);
}

/* False when a descriptor's directory is not below root, or gone. */
static bool dir_path(const struct fs_sim *sim, int fd, char *path, size_t cap)
{
	char link[64], real[2048];
	size_t root = strlen(sim->root);
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, real, sizeof(real) - 1);
	real[n < 0 ? 0 : n] = '\0';
	if (n < 0 || strncmp(real, sim->root, root) ||
	    strstr(real, " (deleted)"))
		return false;
	if (real[root] && real[root] != '/')
		return false;
	snprintf(path, cap, "%s", real + root + (real[root] == '/'));
	return true;
}

static int name_at(struct fs_sim *sim, int dir, const char *name)
{
	char path[2048], whole[4200];

	if (!dir_path(sim, dir, path, sizeof(path)))
		return NONE;
	snprintf(whole, sizeof(whole), "%s%s%s", path, *path ? "/" : "", name);
	return name_index(sim, whole);
}

/* ---- what happens
 * ------------------------------------------------------------
 */

struct fs_sim *fs_sim_new(int root)
{
	struct fs_sim *sim = calloc(1, sizeof(*sim));
	struct tree tree = tree_read(root);
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	if (readlink(link, sim->root, sizeof(sim->root) - 1) < 0)
		abort();
	name_index(sim, "");
	for (size_t i = 0; i < tree.n; i++) {
		struct tree_entry *e = &tree.entries[i];
		int name = name_index(sim, e->path), inode;
		struct stat st;

		fstatat(root, e->path, &st, AT_SYMLINK_NOFOLLOW);
		inode = new_inode(sim, &st);
		sim->base.inode_of[name] = inode;
		if (!e->dir)
			sim->base.blob_of[inode] =
				add_blob(sim, e->data, e->len);
		e->data = NULL;
	}
	sim->now = sim->base;
	tree_free(&tree);
	return sim;
}

void fs_sim_free(struct fs_sim *sim)
{
	for (int i = 0; i < sim->n_names; i++)
		free(sim->names[i]);
	for (int i = 0; i < sim->n_blobs; i++)
		free(sim->blobs[i].data);
	free(sim->blobs);
	free(sim->seen);
	free(sim);
}

static struct op *add_op(struct fs_sim *sim, const struct op *op)
{
	assert(sim->n_ops < MAX_OPS);
	sim->ops[sim->n_ops] = *op;
	sim->ops[sim->n_ops].durable = SIZE_MAX;
	return &sim->ops[sim->n_ops++];
}

static void apply(struct disk *disk, const struct op *op)
{
	if (op->kind == NAMES)
		for (unsigned i = 0; i < op->n; i++)
			disk->inode_of[op->names[i]] = op->inodes[i];
	else if (op->kind == BYTES)
		disk->blob_of[op->inode] = op->blob;
}

static void note_names(struct fs_sim *sim, unsigned n, int name, int inode,
		       int to, int to_inode)
{
	struct op op = { .kind = NAMES,
			 .dir = sim->parent[name],
			 .to_dir = n == 2 ? sim->parent[to] : NONE,
			 .n = n,
			 .names = { name, to },
			 .inodes = { inode, to_inode } };

	if (op.to_dir == op.dir)
		op.to_dir = NONE;
	apply(&sim->now, add_op(sim, &op));
}

static void note_bytes(struct fs_sim *sim, int fd)
{
	struct op op = { .kind = BYTES, .inode = inode_of(sim, fd) };

	if (op.inode == NONE)
		return;
	op.blob = blob_of_fd(sim, fd);
	apply(&sim->now, add_op(sim, &op));
}

static void note_new(struct fs_sim *sim, const struct fs_op *op)
{
	int name = name_at(sim, op->dir, op->name);
	struct stat st;

	if (name == NONE ||
	    fstatat(op->dir, op->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	note_names(sim, 1, name, new_inode(sim, &st), NONE, NONE);
}

/* A directory's names up to a change are sure: a rename between two when both
 * are. With it those of directories that are removed from it. */
static void sync_names(struct fs_sim *sim, int dir, size_t upto)
{
	for (size_t i = 0; i < upto; i++) {
		struct op *op = &sim->ops[i];

		if (op->kind != NAMES)
			continue;
		if (op->to_dir == dir)
			op->to_dir = NONE;
		if (op->dir == dir) {
			if (op->n == 1 && op->inodes[0] == NONE)
				sync_names(sim, op->names[0], i);
			op->dir = op->to_dir;
			op->to_dir = NONE;
		}
		if (op->dir == NONE && op->durable == SIZE_MAX)
			op->durable = sim->n_ops;
	}
}

static void note_sync(struct fs_sim *sim, int fd)
{
	struct op sync = { .kind = SYNC_BYTES, .inode = inode_of(sim, fd) };
	char path[2048];
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		sync.kind = SYNC_NAMES;
		if (!dir_path(sim, fd, path, sizeof(path)))
			return;
		sync.dir = name_index(sim, path);
		sync_names(sim, sync.dir, sim->n_ops);
	}
	for (size_t i = 0; sync.kind == SYNC_BYTES && i < sim->n_ops; i++) {
		struct op *op = &sim->ops[i];

		if (op->kind == BYTES && op->inode == sync.inode &&
		    op->durable == SIZE_MAX)
			op->durable = sim->n_ops;
	}
	add_op(sim, &sync);
}

void fs_sim_note(struct fs_sim *sim, const struct fs_op *op)
{
	int name, to;

	switch (op->call) {
	case FS_OPEN:
		if (op->made)
			note_new(sim, op);
		else
			note_bytes(sim, op->fd);
		break;
	case FS_MKDIR:
		note_new(sim, op);
		break;
	case FS_UNLINK:
		name = name_at(sim, op->dir, op->name);
		if (name != NONE)
			note_names(sim, 1, name, NONE, NONE, NONE);
		break;
	case FS_RENAME:
		name = name_at(sim, op->dir, op->name);
		to = name_at(sim, op->to_dir, op->to_name);
		if (name != NONE && to != NONE)
			note_names(sim, 2, name, NONE, to,
				   sim->now.inode_of[name]);
		break;
	case FS_WRITE:
		note_bytes(sim, op->fd);
		break;
	case FS_SYNC:
		note_sync(sim, op->fd);
		break;
	case FS_LOCK:
		break;
	}
}

size_t fs_sim_count(const struct fs_sim *sim)
{
	return sim->n_ops;
}

/* ---- crashes
 * -----------------------------------------------------------------
 */

/* Which of the changes that are not sure are there. */
enum choice { ALL, NOTHING, ALL_BUT, ONLY };

static bool is_sure(const struct op *op, size_t at)
{
	return op->durable < at;
}

static void crash(const struct fs_sim *sim, size_t at, enum choice choice,
		  size_t chosen, struct disk *disk)
{
	*disk = sim->base;
	for (size_t i = 0; i < at; i++) {
		const struct op *op = &sim->ops[i];

		if (is_sure(op, at) || choice == ALL ||
		    (choice == ALL_BUT && i != chosen) ||
		    (choice == ONLY && i == chosen))
			apply(disk, op);
	}
}

static bool is_there(const struct fs_sim *sim, const struct disk *disk,
		     int name)
{
	for (; name > 0; name = sim->parent[name]) {
		int up = sim->parent[name];

		if (disk->inode_of[name] == NONE ||
		    (up > 0 && (disk->inode_of[up] == NONE ||
				!sim->is_dir[disk->inode_of[up]])))
			return false;
	}
	return true;
}

static void mix(uint64_t *hash, int value)
{
	*hash = (*hash ^ (unsigned)value) * 1099511628211u;
}

static bool is_new(struct fs_sim *sim, const struct disk *disk)
{
	uint64_t hash = 14695981039346656037u;

	for (int i = 1; i < sim->n_names; i++) {
		if (!is_there(sim, disk, i))
			continue;
		mix(&hash, i);
		mix(&hash, sim->is_dir[disk->inode_of[i]]);
		mix(&hash, disk->blob_of[disk->inode_of[i]]);
	}
	for (size_t i = 0; i < sim->n_seen; i++)
		if (sim->seen[i] == hash)
			return false;
	sim->seen = realloc(sim->seen, (sim->n_seen + 1) * sizeof(hash));
	sim->seen[sim->n_seen++] = hash;
	return true;
}

static void materialize(const struct fs_sim *sim, const struct disk *disk,
			int dirfd)
{
	for (int i = 1; i < sim->n_names; i++) {
		int inode = disk->inode_of[i], fd;
		const struct blob *blob;

		if (!is_there(sim, disk, i))
			continue;
		if (sim->is_dir[inode]) {
			mkdirat(dirfd, sim->names[i], 0750);
			continue;
		}
		fd = openat(dirfd, sim->names[i],
			    O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
		assert(fd >= 0);
		blob = disk->blob_of[inode] == NONE
			       ? NULL
			       : &sim->blobs[disk->blob_of[inode]];
		if (blob &&
		    write(fd, blob->data, blob->len) != (ssize_t)blob->len)
			abort();
		close(fd);
	}
}

static const char *describe(const struct fs_sim *sim, size_t at,
			    enum choice choice, size_t chosen, char text[512])
{
	static const char *const choices[] = { "all there", "all lost", "lost",
					       "only there" };
	const struct op *op = &sim->ops[chosen];
	const char *name = "";

	if (choice >= ALL_BUT && op->kind == NAMES)
		name = sim->names[op->names[op->n - 1]];
	else if (choice >= ALL_BUT)
		name = "bytes";
	snprintf(text, 512, "crash after change %zu, %s %s", at,
		 choices[choice], name);
	return text;
}

static size_t one_crash(struct fs_sim *sim, size_t at, enum choice choice,
			size_t chosen, fs_sim_fn *fn, void *arg)
{
	struct dir_fixture dir;
	struct disk disk;
	char text[512];

	crash(sim, at, choice, chosen, &disk);
	if (!is_new(sim, &disk))
		return 0;
	dir_fixture_open(&dir);
	materialize(sim, &disk, dir.fd);
	fn(dir.fd, at, describe(sim, at, choice, chosen, text), arg);
	dir_fixture_close(&dir);
	return 1;
}

size_t fs_sim_crashes(struct fs_sim *sim, size_t from, size_t to, fs_sim_fn *fn,
		      void *arg)
{
	size_t n = 0;

	sim->n_seen = 0;
	for (size_t at = from; at <= to; at++) {
		n += one_crash(sim, at, ALL, 0, fn, arg);
		n += one_crash(sim, at, NOTHING, 0, fn, arg);
		for (size_t i = 0; i < at; i++) {
			if (is_sure(&sim->ops[i], at) ||
			    sim->ops[i].kind >= SYNC_NAMES)
				continue;
			n += one_crash(sim, at, ALL_BUT, i, fn, arg);
			n += one_crash(sim, at, ONLY, i, fn, arg);
		}
	}
	return n;
}
