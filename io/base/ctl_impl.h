/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the control socket, shared by ctl_socket.c and ctl_hello.c. */
#ifndef SC_BASE_CTL_IMPL_H
#define SC_BASE_CTL_IMPL_H

#include "io/base/ctl.h"

/* What came is no message of ours: EPROTO, unless there is an error already.
 * Returns -1. */
int sc_ctl_broken(struct sc_err *err, const char *what);

#endif
