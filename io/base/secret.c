/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory for keys; see secret.h. */
#include "io/base/secret.h"

#include <string.h>
#include <sys/mman.h>

void *sc_secret_alloc(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, len, MADV_DONTDUMP) == 0)
		return p;
	munmap(p, len);
	return NULL;
}

void sc_secret_free(void *p, size_t len)
{
	if (!p)
		return;
	explicit_bzero(p, len);
	munmap(p, len);
}
