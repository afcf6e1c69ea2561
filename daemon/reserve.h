/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reserve: free space that an image on the donor's own file system leaves
 * to the donor. While an image lives that shares blocks with running files,
 * what the server overwrites takes new blocks; the image is given up before the
 * server runs out of them.
 */
#ifndef SC_DAEMON_RESERVE_H
#define SC_DAEMON_RESERVE_H

#include "daemon/provider.h"

struct sc_reserve;

/* Bytes that stay free for the data directory: option image_reserve, or when
 * that is 0 the size of the redo log and a hundredth of the file system. */
uint64_t sc_reserve_bytes(const struct sc_image_request *request);

/* May an image begin? why: SC_WHY_SIZE bytes, set when not. Any thread. */
bool sc_reserve_has_room(const struct sc_image_request *request, char *why);

/*
 * Watch the free space of the data directory, and of other directories of
 * tablespaces (a hundredth, or the option), in a thread of its own, every
 * 100 ms. Below the reserve it calls request->give_up once and ends. request:
 * its descriptors and ctx are used until sc_reserve_stop(). 0 or -1.
 */
int sc_reserve_start(const struct sc_image_request *request,
		     struct sc_reserve **ret, struct sc_err *err);
/* Stop, join and free; NULL is fine. */
void sc_reserve_stop(struct sc_reserve *reserve);

#endif
