/* Fuzzes the lines of tcp and tcp6, one by one and as a file that procnet reads. */
#include "tcphealth/source/procnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A directory whose tcp and tcp6 lead to a file in memory. */
static char dir[] = "/tmp/fuzz_procnet.XXXXXX";
static char links[2][64];
static int memory = -1;

struct tally {
	size_t lines;
	size_t sockets;
};

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void remove_dir(void)
{
	unlink(links[0]);
	unlink(links[1]);
	rmdir(dir);
}

static void make_dir(void)
{
	char target[64];

	memory = memfd_create("fuzz_procnet", MFD_CLOEXEC);
	require(memory >= 0 && mkdtemp(dir));
	snprintf(target, sizeof(target), "/proc/self/fd/%d", memory);
	snprintf(links[0], sizeof(links[0]), "%s/tcp", dir);
	snprintf(links[1], sizeof(links[1]), "%s/tcp6", dir);
	require(symlink(target, links[0]) == 0 && symlink(target, links[1]) == 0);
	atexit(remove_dir);
}

static int check(void *arg, const struct tcpsock *sock)
{
	size_t *count = arg;

	(*count)++;
	require(sock->id != 0 && sock->state > 0 && sock->state < TCP_STATE_COUNT);
	require(sock->expires_ms <= UINT32_C(1) << 31);
	require((sock->known & ~(uint32_t)(TCPSOCK_MINI | TCPSOCK_PROBES)) == 0);
	require(tcpsock_knows(sock, TCPSOCK_MINI) != tcpsock_knows(sock, TCPSOCK_PROBES));
	return 0;
}

static void parse_lines(const char *text, size_t size, bool v6, struct tally *tally)
{
	const char *newline;

	while (size > 0 && (newline = memchr(text, '\n', size)) != NULL) {
		size_t len = (size_t)(newline - text);
		struct tcpsock sock;

		tally->lines++;
		if (procnet_parse_line(text, len, v6, &sock))
			check(&tally->sockets, &sock);
		text += len + 1;
		size -= len + 1;
	}
	tally->lines += size > 0;
}

/* A file gives no more sockets than its lines do, and none is lost but as a duplicate. */
static void dump_file(const uint8_t *data, size_t size, const struct tally *tally)
{
	struct procnet_stats stats = { 0 };
	size_t count = 0;

	require(ftruncate(memory, 0) == 0);
	require(pwrite(memory, data, size, 0) == (ssize_t)size);
	require(procnet_dump(dir, TCP_STATES_ALL, check, &count, &stats) == 0);
	require(count <= tally->sockets);
	require((count > 0) == (tally->sockets > 0) || stats.malformed > 0);
	require(count + stats.malformed <= tally->lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct tally tally = { 0, 0 };
	struct tcpsock sock;

	if (memory < 0)
		make_dir();
	procnet_parse_line(text, size, false, &sock);
	procnet_parse_line(text, size, true, &sock);
	parse_lines(text, size, false, &tally);
	parse_lines(text, size, true, &tally);
	dump_file(data, size, &tally);
	return 0;
}
