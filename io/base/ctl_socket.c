/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control messages on a Unix socket: framing, descriptors, limits; see ctl.h.
 * Every wait is bounded, whatever the peer sends or does not send.
 */
#include "io/base/ctl_impl.h"

#include "io/base/fdio.h"
#include "io/base/num.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Longest body per type; a type without an entry is refused. */
static const struct {
	uint32_t max_body;
	uint8_t max_fds;
} type_limits[SC_CTL_TYPE_MAX + 1] = {
	[SC_CTL_HELLO] = { 128, 0 },
	[SC_CTL_DONOR_START] = { 16384, SC_DONOR_FDS_MAX },
	[SC_CTL_DONOR_READY] = { 128, 0 },
	[SC_CTL_FOLLOWED] = { 8, 0 },
	[SC_CTL_COPIED] = { 0, 0 },
	[SC_CTL_SEAL] = { SC_CTL_MAX_BODY, 0 },
	[SC_CTL_SEALED] = { 0, 0 },
	[SC_CTL_REDO_DONE] = { 0, 0 },
	[SC_CTL_RECIPIENT_START] = { 16384, SC_RECIPIENT_FDS_MAX },
	[SC_CTL_PROGRESS] = { 128, 0 },
	[SC_CTL_DONE] = { SC_CTL_MAX_BODY, 0 },
	[SC_CTL_ERROR] = { 1024, 0 },
	[SC_CTL_CANCEL] = { 0, 0 },
	[SC_CTL_LOG] = { 2048, 0 },
	[SC_CTL_STATUS] = { 0, 0 },
	[SC_CTL_STATUS_REPLY] = { 1u << 20, 0 },
	[SC_CTL_STAGED] = { SC_CTL_MAX_BODY, 0 },
	[SC_CTL_PREPARE] = { 0, 0 },
	[SC_CTL_PREPARED] = { 0, 0 },
	[SC_CTL_COMMIT] = { 0, 0 },
	[SC_CTL_CLEAN] = { 16384, SC_MAX_ROOTS },
	[SC_CTL_CLEANED] = { 0, 0 },
	[SC_CTL_KEYS_WANTED] = { 4 + SC_CTL_MAX_REFS * (SC_KEY_BODY_SIZE -
							SC_MASTER_KEY_SIZE),
				 0 },
	[SC_CTL_KEYS] = { 4 + SC_KEYS_MAX * SC_KEY_BODY_SIZE, 0 },
	[SC_CTL_LOCKED] = { 9, 0 },
	[SC_CTL_SETTLED] = { 1024, 0 },
	[SC_CTL_IMAGED] = { 0, 0 },
	[SC_CTL_LIMITS] = { 8, 0 },
};

void sc_ctl_msg_clear(struct sc_ctl_msg *msg)
{
	for (int i = 0; i < msg->nfds; i++) {
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
	}
	/* Some bodies hold keys. */
	if (msg->body)
		explicit_bzero(msg->body, msg->len);
	free(msg->body);
	*msg = (struct sc_ctl_msg){ 0 };
}

/* 1 ready, 0 timeout, -1 error set. */
static int wait_for(int sock, short events, int timeout_ms, struct sc_err *err)
{
	struct pollfd p = { .fd = sock, .events = events };
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return sc_err_sys(err, SC_ER_INTERNAL_ERROR, errno,
				  "poll of the control socket");
	return n > 0;
}

static int send_failed(int sys_errno, struct sc_err *err)
{
	return sc_err_sys(err, SC_ER_INTERNAL_ERROR, sys_errno,
			  "cannot send on the control socket");
}

/* Attach descriptors to a message header; control must outlive the send. */
static void attach_fds(struct msghdr *mh, char *control, const int *fds,
		       int nfds)
{
	struct cmsghdr *cm;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nfds);
	memset(control, 0, mh->msg_controllen);
	cm = CMSG_FIRSTHDR(mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nfds);
	memcpy(CMSG_DATA(cm), fds, sizeof(int) * (size_t)nfds);
}

static int send_all(int sock, struct msghdr *mh, struct sc_err *err)
{
	while (mh->msg_iovlen) {
		ssize_t n = sendmsg(sock, mh, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			mh->msg_control = NULL;
			mh->msg_controllen = 0;
			sc_msg_skip(mh, (size_t)n);
		} else if (errno == EAGAIN) {
			int rc = wait_for(sock, POLLOUT, SC_CTL_STALL_MS, err);

			if (rc < 0)
				return -1;
			if (rc == 0)
				return send_failed(ETIMEDOUT, err);
		} else if (errno != EINTR) {
			return send_failed(errno, err);
		}
	}
	return 0;
}

int sc_ctl_send(int sock, uint16_t type, const void *body, size_t len,
		const int *fds, int nfds, struct sc_err *err)
{
	uint8_t header[SC_CTL_HEADER_SIZE];
	char control[CMSG_SPACE(sizeof(int) * SC_CTL_MAX_FDS)]
		__attribute__((aligned(sizeof(size_t))));
	struct iovec iov[2] = { { header, sizeof(header) },
				{ (void *)(uintptr_t)body, len } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (type == 0 || type > SC_CTL_TYPE_MAX ||
	    len > type_limits[type].max_body ||
	    nfds > type_limits[type].max_fds)
		return sc_err_set(err, SC_ER_INTERNAL_ERROR,
				  "control message %u of %zu bytes is too long",
				  type, len);
	sc_store_le32(header, SC_CTL_MAGIC);
	sc_store_le16(header + 4, type);
	sc_store_le16(header + 6, 0);
	sc_store_le32(header + 8, (uint32_t)len);
	if (nfds > 0)
		attach_fds(&mh, control, fds, nfds);
	return send_all(sock, &mh, err);
}

int sc_ctl_send_enc(int sock, uint16_t type, struct sc_enc *enc, const int *fds,
		    int nfds, struct sc_err *err)
{
	int rc;

	if (enc->failed)
		rc = sc_err_set(err, SC_ER_INTERNAL_ERROR,
				"out of memory for control message %u", type);
	else
		rc = sc_ctl_send(sock, type, enc->data, enc->len, fds, nfds,
				 err);
	sc_enc_free(enc);
	return rc;
}

/* Keep the descriptors of one recvmsg(); too many are closed, not leaked. */
static int take_fds(struct msghdr *mh, struct sc_ctl_msg *msg)
{
	int rc = mh->msg_flags & MSG_CTRUNC ? -1 : 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm;
	     cm = CMSG_NXTHDR(mh, cm)) {
		size_t n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int),
			       sizeof(fd));
			if (msg->nfds < SC_CTL_MAX_FDS) {
				msg->fds[msg->nfds++] = fd;
			} else {
				close(fd);
				rc = -1;
			}
		}
	}
	return rc;
}

int sc_ctl_broken(struct sc_err *err, const char *what)
{
	if (sc_err_is_set(err))
		return -1;
	sc_err_set(err, SC_ER_CLONE_PROTOCOL, "control socket: %s", what);
	err->sys_errno = EPROTO;
	return -1;
}

/* Read len bytes; descriptors that come along go to msg. timeout_ms is for the
 * first byte; when it passes, 0 if this begins a message, else an error. */
static int recv_all(int sock, void *buf, size_t len, int timeout_ms,
		    bool begins, struct sc_ctl_msg *msg, struct sc_err *err)
{
	size_t done = 0;

	while (done < len) {
		char control[CMSG_SPACE(sizeof(int) * (SC_CTL_MAX_FDS + 1))]
			__attribute__((aligned(sizeof(size_t))));
		struct iovec iov = { (char *)buf + done, len - done };
		struct msghdr mh = { .msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control) };
		ssize_t n;
		int rc = wait_for(sock, POLLIN, timeout_ms, err);

		if (rc == 0 && begins && done == 0)
			return 0;
		if (rc == 0)
			return sc_ctl_broken(err, "message cut short");
		if (rc < 0)
			return -1;
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return sc_err_sys(err, SC_ER_INTERNAL_ERROR,
					  n < 0 ? errno : ECONNRESET,
					  "control socket");
		if (take_fds(&mh, msg) < 0)
			return sc_ctl_broken(err, "too many descriptors");
		done += (size_t)n;
		timeout_ms = SC_CTL_STALL_MS;
	}
	return 1;
}

static int check_header(const uint8_t *header, struct sc_ctl_msg *msg,
			struct sc_err *err)
{
	if (sc_load_le32(header) != SC_CTL_MAGIC || sc_load_le16(header + 6))
		return sc_ctl_broken(err, "not a snapclone message");
	msg->type = sc_load_le16(header + 4);
	msg->len = sc_load_le32(header + 8);
	if (msg->type == 0 || msg->type > SC_CTL_TYPE_MAX)
		return sc_ctl_broken(err, "unknown message type");
	if (msg->len > type_limits[msg->type].max_body)
		return sc_ctl_broken(err, "message too long");
	if (msg->nfds > type_limits[msg->type].max_fds)
		return sc_ctl_broken(err, "too many descriptors");
	return 0;
}

int sc_ctl_recv(int sock, struct sc_ctl_msg *msg, int timeout_ms,
		struct sc_err *err)
{
	uint8_t header[SC_CTL_HEADER_SIZE];
	int rc;

	sc_ctl_msg_clear(msg);
	rc = recv_all(sock, header, sizeof(header), timeout_ms, true, msg, err);
	if (rc == 0)
		return 0;
	if (rc < 0 || check_header(header, msg, err) < 0)
		goto fail;
	msg->body = malloc(msg->len + 1);
	if (!msg->body) {
		sc_err_set(err, SC_ER_INTERNAL_ERROR,
			   "out of memory for a control message");
		goto fail;
	}
	if (msg->len && recv_all(sock, msg->body, msg->len, SC_CTL_STALL_MS,
				 false, msg, err) != 1)
		goto fail;
	if (msg->nfds > type_limits[msg->type].max_fds) {
		sc_ctl_broken(err, "too many descriptors");
		goto fail;
	}
	return 1;
fail:
	sc_ctl_msg_clear(msg);
	return -1;
}
