/*
 * systemd: what a service manager passes at the start, and the messages to it.
 *
 * The protocols of sd_notify(3) and sd_listen_fds(3), by hand: a few lines each, where libsystemd
 * would bring five libraries. Knows the environment and one datagram socket; must not know what the
 * program does. The main thread; systemd_init() before any other thread starts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#define SYSTEMD_SOCKETS_MAX 16

struct systemd {
	int notify_fd; /* -1: nobody to tell */
	struct sockaddr_un notify_address;
	unsigned int notify_address_len;
	/* The manager expects a sign of life this often; 0: it expects none. */
	uint64_t watchdog_ms;
	/* Listening TCP sockets, non-blocking and close-on-exec; the owner's to close. */
	int sockets[SYSTEMD_SOCKETS_MAX];
	size_t socket_count;
	/* 0, or why there are none: -E2BIG, -ENOTSOCK (one that is not a listening TCP socket). */
	int sockets_error;
};

/*
 * Takes everything out of the environment, so that no child takes it for its own. Never fails: an
 * unusable value is ignored.
 */
void systemd_init(struct systemd *systemd);

/* Closes the notification socket; the listening sockets stay. */
void systemd_done(struct systemd *systemd);

/*
 * Each sends a datagram, and never blocks. 0, also where no manager listens, or -errno, which
 * callers may ignore. systemd_ready() also ends a reload.
 */
int systemd_ready(const struct systemd *systemd, const char *status);
int systemd_reloading(const struct systemd *systemd);
int systemd_stopping(const struct systemd *systemd);
int systemd_alive(const struct systemd *systemd);
