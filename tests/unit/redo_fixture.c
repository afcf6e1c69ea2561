/* SPDX-License-Identifier: GPL-2.0-only */
/* A server's redo log for tests. */
#include "tests/unit/redo_fixture.h"

#include "io/base/fdio.h"
#include "io/redo/files.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int redo_fixture_mkdir(char dir[64])
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(dir, 64, "%.40s/redo-test-XXXXXX", tmp ? tmp : "/tmp");
	assert(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(fd >= 0);
	return fd;
}

void redo_fixture_rmdir(const char *dir, int dirfd)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	assert(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd, e->d_name, 0);
	closedir(d);
	close(dirfd);
	rmdir(dir);
}

static uint64_t end_of_file(const struct redo_fixture *fx)
{
	return fx->start + fx->file_size - SC_REDO_FILE_HEADER;
}

static void put(int fd, const void *p, size_t len, uint64_t off)
{
	int rc = sc_pwrite_full(fd, p, len, off);

	assert(!rc);
	(void)rc;
}

static void write_header(struct redo_fixture *fx, int fd, uint64_t start,
			 uint32_t flags, uint32_t format, uint32_t uuid)
{
	struct sc_redo_header h = { .format = format,
				    .uuid = uuid,
				    .start_lsn = start,
				    .creator = "MySQL 9.7.4",
				    .flags = flags };
	uint8_t block[SC_REDO_BLOCK];

	(void)fx;
	sc_redo_header_encode(&h, block);
	put(fd, block, sizeof(block), 0);
}

static void empty_slots(int fd)
{
	uint8_t block[SC_REDO_BLOCK];

	sc_redo_slot_encode(0, block);
	put(fd, block, sizeof(block), SC_REDO_SLOT1);
	put(fd, block, sizeof(block), SC_REDO_SLOT2);
}

/* Source of the order: log_files_produce_file() in log0files_governor.cc. */
static void new_file(struct redo_fixture *fx, uint64_t start)
{
	char spare[SC_REDO_NAME_SIZE + 8], name[SC_REDO_NAME_SIZE];
	int fd;

	sc_redo_file_name(fx->id, name);
	snprintf(spare, sizeof(spare), "%s_tmp", name);
	fd = openat(fx->dirfd, spare, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert(fd >= 0 && !ftruncate(fd, (off_t)fx->file_size));
	write_header(fx, fd, start, 0, SC_REDO_FORMAT, FX_UUID);
	empty_slots(fd);
	renameat(fx->dirfd, spare, fx->dirfd, name);
	if (fx->fd >= 0) {
		write_header(fx, fx->fd, fx->start, SC_REDO_FILE_FULL,
			     SC_REDO_FORMAT, FX_UUID);
		close(fx->fd);
	}
	fx->fd = fd;
	fx->start = start;
}

void redo_fixture_open_at(struct redo_fixture *fx, uint64_t file_size,
			  uint64_t start_lsn)
{
	*fx = (struct redo_fixture){ .file_size = file_size, .fd = -1 };
	fx->dirfd = redo_fixture_mkdir(fx->dir);
	new_file(fx, start_lsn);
	fx->lsn = start_lsn + SC_REDO_BLOCK_HEADER;
	redo_fixture_write_to(fx, fx->lsn);
	redo_fixture_checkpoint(fx, fx->lsn);
}

void redo_fixture_open(struct redo_fixture *fx, uint64_t file_size)
{
	redo_fixture_open_at(fx, file_size, FX_START);
}

void redo_fixture_close(struct redo_fixture *fx)
{
	close(fx->fd);
	redo_fixture_rmdir(fx->dir, fx->dirfd);
}

static uint8_t byte_at(const struct redo_fixture *fx, uint64_t lsn)
{
	uint64_t x = (lsn + fx->seed) * 0x9e3779b97f4a7c15;

	return (uint8_t)(x >> 56);
}

void redo_fixture_block(const struct redo_fixture *fx, uint64_t lsn,
			uint64_t end, uint8_t *block)
{
	uint32_t len = end - lsn >= SC_REDO_BLOCK ? SC_REDO_BLOCK
						  : (uint32_t)(end - lsn);
	uint32_t last =
		SC_MIN(len, (uint32_t)SC_REDO_BLOCK - SC_REDO_BLOCK_TRAILER);
	uint16_t group = (uint16_t)(SC_REDO_BLOCK_HEADER +
				    lsn / SC_REDO_BLOCK * 7 % 400);

	memset(block, 0, SC_REDO_BLOCK);
	for (uint32_t i = SC_REDO_BLOCK_HEADER; i < last; i++)
		block[i] = byte_at(fx, lsn + i);
	if (fx->encrypt)
		len |= 0x8000;
	sc_redo_block_seal(block, lsn, (uint16_t)len,
			   group > (len & 0x7fff) ? 0 : group);
}

void redo_fixture_write_to(struct redo_fixture *fx, uint64_t lsn)
{
	uint8_t block[SC_REDO_BLOCK];

	for (;;) {
		uint64_t at = sc_redo_align(fx->lsn);

		if (at == end_of_file(fx)) {
			fx->id++;
			new_file(fx, at);
		}
		redo_fixture_block(fx, at, lsn, block);
		put(fx->fd, block, sizeof(block),
		    SC_REDO_FILE_HEADER + at - fx->start);
		if (lsn < at + SC_REDO_BLOCK)
			break;
		fx->lsn = sc_redo_normal_lsn(at + SC_REDO_BLOCK);
		if (lsn <= fx->lsn) /* the server writes no empty block here */
			break;
	}
	fx->lsn = sc_redo_normal_lsn(lsn);
}

void redo_fixture_checkpoint(struct redo_fixture *fx, uint64_t lsn)
{
	uint8_t block[SC_REDO_BLOCK];
	char name[SC_REDO_NAME_SIZE];

	sc_redo_slot_encode(lsn, block);
	for (uint64_t id = fx->first_id; id <= fx->id; id++) {
		struct sc_redo_file file;
		int fd, rc;

		sc_redo_file_name(id, name);
		fd = openat(fx->dirfd, name, O_RDWR | O_CLOEXEC);
		assert(fd >= 0);
		rc = sc_redo_file_read(fd, &file);
		assert(!rc);
		(void)rc;
		if (sc_redo_file_holds(&file, lsn))
			put(fd, block, sizeof(block),
			    fx->checkpoints % 2 ? SC_REDO_SLOT2
						: SC_REDO_SLOT1);
		close(fd);
	}
	fx->checkpoints++;
}

void redo_fixture_recycle(struct redo_fixture *fx, uint64_t lsn)
{
	uint64_t room = fx->file_size - SC_REDO_FILE_HEADER;

	while (fx->first_id < fx->id) {
		uint64_t end = fx->start - (fx->id - fx->first_id - 1) * room;
		char name[SC_REDO_NAME_SIZE], spare[SC_REDO_NAME_SIZE + 8];

		if (end > lsn)
			break;
		sc_redo_file_name(fx->id + 1, spare);
		strcat(spare, "_tmp");
		sc_redo_file_name(fx->first_id++, name);
		renameat(fx->dirfd, name, fx->dirfd, spare);
	}
}

void redo_fixture_header(struct redo_fixture *fx, uint32_t flags,
			 uint32_t format, uint32_t uuid)
{
	write_header(fx, fx->fd, fx->start, flags, format, uuid);
}

void redo_fixture_poke(struct redo_fixture *fx, uint64_t lsn, const void *p,
		       size_t len)
{
	put(fx->fd, p, len, SC_REDO_FILE_HEADER + lsn - fx->start);
}
