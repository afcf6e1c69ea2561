/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs a fuzz target without libFuzzer, with any compiler: every seed file as
 * it is, then changed copies of it, always the same ones.
 *
 *	fuzz_NAME [-n COPIES] DIRECTORY
 *
 * Prints what it ran. A target that fails aborts, and the input it had is in
 * the file ./crash-NAME; fuzz_NAME FILE runs that one.
 */
#include "tests/fuzz/fuzz.h"

#include "io/base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAX_SEEDS = 256,
	SEED_MAX = 1 << 20,
	COPIES_DEFAULT = 300,
	MAX_CHANGES = 6
};

struct input {
	uint8_t *bytes;
	size_t len;
};

static struct input seeds[MAX_SEEDS], current;
static size_t n_seeds;
static const char *program;
static uint64_t state; /* of the random numbers */

static unsigned dice(size_t sides)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return sides ? (unsigned)((state >> 33) % sides) : 0;
}

/* Async-signal-safe: the input that made it abort. */
static void keep_input(int sig)
{
	static char name[300] = "crash-";
	int fd;

	memcpy(name + 6, program, SC_MIN(strlen(program), 250));
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0 && write(fd, current.bytes, current.len) >= 0)
		close(fd);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void run(const uint8_t *bytes, size_t len)
{
	/* Exactly so long, so that a sanitizer sees what lies behind it. */
	current.bytes = malloc(len ? len : 1);
	current.len = len;
	if (!current.bytes)
		abort();
	memcpy(current.bytes, bytes, len);
	LLVMFuzzerTestOneInput(current.bytes, len);
	free(current.bytes);
}

static size_t change(uint8_t *buf, size_t len)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
	const struct input *other = &seeds[dice(n_seeds)];
	size_t at = dice(len), n = 1 + dice(SC_MIN(len - at, 64));
	size_t from = dice(other->len);

	switch (dice(7)) {
	case 0:
		buf[at] ^= (uint8_t)(1u << dice(8));
		return len;
	case 1:
		buf[at] = (uint8_t)dice(256);
		return len;
	case 2:
		memset(buf + at, edges[dice(sizeof(edges))], SC_MIN(n, 8));
		return len;
	case 3: /* shorter at the end */
		return at + 1;
	case 4: /* n bytes less, here */
		memmove(buf + at, buf + at + n, len - at - n);
		return SC_MAX(len - n, (size_t)1);
	case 5: /* n bytes twice */
		if (len + n > SEED_MAX)
			return len;
		memmove(buf + at + n, buf + at, len - at);
		return len + n;
	default: /* a piece of another one */
		n = SC_MIN(len - at, other->len - from);
		memcpy(buf + at, other->bytes + from, n);
		return len;
	}
}

static void run_copies(const struct input *seed, unsigned copies)
{
	static uint8_t buf[2 * SEED_MAX];

	for (unsigned i = 0; i < copies && seed->len; i++) {
		size_t len = seed->len;

		memcpy(buf, seed->bytes, len);
		for (unsigned n = 1 + dice(MAX_CHANGES); n; n--)
			len = change(buf, len);
		run(buf, len);
	}
}

static void load(int dir, const char *name)
{
	struct input *seed = &seeds[n_seeds++];
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > SEED_MAX)
		abort();
	seed->len = (size_t)st.st_size;
	seed->bytes = malloc(seed->len + 1);
	if (!seed->bytes ||
	    read(fd, seed->bytes, seed->len) != (ssize_t)seed->len)
		abort();
	close(fd);
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void load_all(const char *path)
{
	struct dirent **names;
	int dir, n = scandir(path, &names, not_hidden, alphasort);

	if (n < 0 && errno == ENOTDIR) {
		load(AT_FDCWD, path);
		return;
	}
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < n; i++) {
		if (n_seeds < MAX_SEEDS)
			load(dir, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (dir >= 0)
		close(dir);
}

int main(int argc, char **argv)
{
	unsigned copies = COPIES_DEFAULT;
	int opt;

	program = strrchr(argv[0], '/');
	program = program ? program + 1 : argv[0];
	while ((opt = getopt(argc, argv, "n:")) != -1) {
		if (opt != 'n')
			return 2;
		copies = (unsigned)strtoul(optarg, NULL, 10);
	}
	if (optind + 1 != argc)
		return 2;
	load_all(argv[optind]);
	if (!n_seeds) {
		fprintf(stderr, "%s: no seeds in %s\n", program, argv[optind]);
		return 2;
	}
	signal(SIGABRT, keep_input);
	signal(SIGSEGV, keep_input);
	for (size_t i = 0; i < n_seeds; i++) {
		state = i;
		run(seeds[i].bytes, seeds[i].len);
		run_copies(&seeds[i], copies);
	}
	printf("%s: %zu seeds, %zu inputs\n", program, n_seeds,
	       n_seeds * (1 + copies));
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].bytes);
	return 0;
}
