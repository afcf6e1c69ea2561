/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An image: the donor's files as a provider shows them. Shared by the streams
 * of a job; open_file may be called from any of them.
 */
#ifndef SC_IMAGE_H
#define SC_IMAGE_H

#include <stdbool.h>

struct sc_image {
	/* Open a file for reading by its path relative to the data directory.
	 * direct: with O_DIRECT where the file system can, else without.
	 * Returns a descriptor the caller closes, or -errno. */
	int (*open_file)(struct sc_image *image, const char *path, bool direct);
	void (*close)(struct sc_image *image);
	const char *provider; /* name, for messages */
	int root;	      /* data directory of the image */
	bool atomic;	      /* all files show one moment */
	bool buffered;	      /* never with O_DIRECT: the server keeps its
				 data files in the page cache */
};

#endif
