/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cleanup attributes for memory and descriptors. Use them for everything whose
 * release cannot fail in a way that loses data; fsync and the close of a file
 * that was written are explicit, checked calls instead.
 */
#ifndef SC_BASE_CLEANUP_H
#define SC_BASE_CLEANUP_H

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void sc_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void sc_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void sc_cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static inline void sc_cleanup_unlock(pthread_mutex_t **lock)
{
	if (*lock)
		pthread_mutex_unlock(*lock);
}

static inline pthread_mutex_t *sc_lock(pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	return lock;
}

#define CLEANUP_FREE __attribute__((cleanup(sc_cleanup_free)))
#define CLEANUP_CLOSE __attribute__((cleanup(sc_cleanup_close)))
#define CLEANUP_CLOSEDIR __attribute__((cleanup(sc_cleanup_closedir)))

/* Holds the mutex until the end of the enclosing block. */
#define SC_LOCK_SCOPE(mutex) SC_LOCK_SCOPE_(mutex, __LINE__)
#define SC_LOCK_SCOPE_(mutex, line) SC_LOCK_SCOPE__(mutex, line)
#define SC_LOCK_SCOPE__(mutex, line)                                           \
	pthread_mutex_t *sc_scope_##line                                       \
		__attribute__((cleanup(sc_cleanup_unlock), unused)) =          \
			sc_lock(mutex)

#endif
