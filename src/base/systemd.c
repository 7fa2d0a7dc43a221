/*
 * systemd: NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS. Must not know what the program does.
 */
#include "tcphealth/base/systemd.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_SOCKET 3 /* SD_LISTEN_FDS_START */

static bool read_number(const char *name, uint64_t *ret)
{
	const char *text = getenv(name);

	return text && number_parse(text, UINT64_MAX, ret) == 0;
}

/* Both kinds of variables may be meant for another process: the one that started us. */
static bool is_for_us(const char *name, bool required)
{
	uint64_t pid;

	if (!getenv(name))
		return !required;
	return read_number(name, &pid) && pid == (uint64_t)getpid();
}

/* A path, or "@name" for an abstract one. */
static bool make_address(const char *name, struct systemd *systemd)
{
	struct sockaddr_un *address = &systemd->notify_address;
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(address->sun_path))
		return false;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, name, len);
	systemd->notify_address_len = (unsigned int)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	else
		systemd->notify_address_len++;
	return true;
}

static void take_notify(struct systemd *systemd)
{
	const char *name = getenv("NOTIFY_SOCKET");

	if (name && make_address(name, systemd))
		systemd->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsetenv("NOTIFY_SOCKET");
}

static void take_watchdog(struct systemd *systemd)
{
	uint64_t us;

	if (read_number("WATCHDOG_USEC", &us) && is_for_us("WATCHDOG_PID", false))
		systemd->watchdog_ms = us / 1000;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static int take_socket(int fd)
{
	int domain = socket_option(fd, SO_DOMAIN);
	int flags = fcntl(fd, F_GETFL);

	if ((domain != AF_INET && domain != AF_INET6) ||
	    socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_ACCEPTCONN) != 1)
		return -ENOTSOCK;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

/* All or none. */
static int take_sockets(struct systemd *systemd, uint64_t count)
{
	if (count > SYSTEMD_SOCKETS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < (size_t)count; i++) {
		int fd = FIRST_SOCKET + (int)i;
		int err = take_socket(fd);
		if (err)
			return err;
		systemd->sockets[i] = fd;
	}
	systemd->socket_count = (size_t)count;
	return 0;
}

static void take_listeners(struct systemd *systemd)
{
	uint64_t count;

	if (is_for_us("LISTEN_PID", true) && read_number("LISTEN_FDS", &count))
		systemd->sockets_error = take_sockets(systemd, count);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void systemd_init(struct systemd *systemd)
{
	memset(systemd, 0, sizeof(*systemd));
	systemd->notify_fd = -1;
	take_notify(systemd);
	take_watchdog(systemd);
	take_listeners(systemd);
}

void systemd_done(struct systemd *systemd)
{
	if (systemd->notify_fd >= 0)
		close(systemd->notify_fd);
	systemd->notify_fd = -1;
}

static int tell(const struct systemd *systemd, const char *text)
{
	size_t len = strlen(text);

	if (systemd->notify_fd < 0)
		return 0;
	ssize_t sent = sendto(systemd->notify_fd, text, len, MSG_NOSIGNAL,
			      (const struct sockaddr *)&systemd->notify_address,
			      systemd->notify_address_len);
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EMSGSIZE;
}

int systemd_ready(const struct systemd *systemd, const char *status)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=%.200s", status);
	return tell(systemd, text);
}

int systemd_reloading(const struct systemd *systemd)
{
	char text[80];

	/* By this time the manager knows which of several reloads has ended. */
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		       clock_mono_ns() / 1000);
	return tell(systemd, text);
}

int systemd_stopping(const struct systemd *systemd)
{
	return tell(systemd, "STOPPING=1\nSTATUS=Ending");
}

int systemd_alive(const struct systemd *systemd)
{
	return tell(systemd, "WATCHDOG=1");
}
