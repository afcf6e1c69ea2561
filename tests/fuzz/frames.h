/* SPDX-License-Identifier: GPL-2.0-only */
/* Streams of frames as input of a target. */
#ifndef SC_FUZZ_FRAMES_H
#define SC_FUZZ_FRAMES_H

#include <stddef.h>
#include <stdint.h>

/* A copy of the stream in which every frame has the right hash as far as there
 * are frames one after the other; to be freed. */
uint8_t *fuzz_frames(const uint8_t *data, size_t size);

#endif
