/*
 * systemd: the environment that a service manager leaves, a NAME=VALUE a line: none of it is left, and what is taken is
 * sane. A value of "self" is the number of this process, without which most of it is another one's.
 */
#include "tcphealth/base/systemd.h"
#include "text.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
				     "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES" };
#define NAMES (sizeof(names) / sizeof(names[0]))

static void set(const char *line)
{
	char self[16];

	(void)snprintf(self, sizeof(self), "%d", (int)getpid());
	for (size_t i = 0; i < NAMES; i++) {
		size_t len = strlen(names[i]);

		if (strncmp(line, names[i], len) == 0 && line[len] == '=') {
			const char *value = line + len + 1;

			require(setenv(names[i], strcmp(value, "self") == 0 ? self : value, 1) ==
				0);
		}
	}
}

static void check(const struct systemd *systemd)
{
	for (size_t i = 0; i < NAMES; i++)
		require(getenv(names[i]) == NULL);
	require(systemd->watchdog_ms <= UINT64_MAX / 1000);
	require(systemd->socket_count <= SYSTEMD_SOCKETS_MAX);
	require(systemd->sockets_error == 0 || systemd->socket_count == 0);
	require(systemd->sockets_error <= 0);
	/* Nobody gave this process a socket. */
	require(systemd->socket_count == 0);
	if (systemd->notify_fd < 0)
		return;
	require(systemd->notify_address.sun_family == AF_UNIX);
	require(systemd->notify_address_len > offsetof(struct sockaddr_un, sun_path) + 1);
	require(systemd->notify_address_len <= sizeof(systemd->notify_address));
	require(systemd->notify_address.sun_path[0] == '/' ||
		systemd->notify_address.sun_path[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, size), *rest = text, *line;
	struct systemd systemd;

	while ((line = strsep(&rest, "\n")))
		set(line);
	systemd_init(&systemd);
	check(&systemd);
	systemd_done(&systemd);
	free(text);
	return 0;
}
