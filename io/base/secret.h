/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory for keys: whole pages that no core dump contains, cleared when freed.
 * Any thread. */
#ifndef SC_BASE_SECRET_H
#define SC_BASE_SECRET_H

#include <stddef.h>

/* len bytes of zeroes, rounded up to pages; NULL when out of memory. Free with
 * the same len. Source: madvise(2), MADV_DONTDUMP. */
void *sc_secret_alloc(size_t len);

/* Clear and unmap. NULL is legal. */
void sc_secret_free(void *p, size_t len);

#endif
