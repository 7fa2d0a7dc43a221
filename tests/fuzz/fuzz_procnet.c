/* Fuzzes the lines of tcp and tcp6, one by one and as a file that procnet reads. */
#include "../../src/source/procnet-internal.h"
#include "tcphealth/source/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A procfs whose net/tcp and net/tcp6 lead to a file in memory. */
static char dir[] = "/tmp/fuzz_procnet.XXXXXX";
static char net[64];
static char links[2][80];
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
	rmdir(net);
	rmdir(dir);
}

static void make_dir(void)
{
	char target[64];

	memory = memfd_create("fuzz_procnet", MFD_CLOEXEC);
	require(memory >= 0 && mkdtemp(dir));
	snprintf(target, sizeof(target), "/proc/self/fd/%d", memory);
	snprintf(net, sizeof(net), "%s/net", dir);
	snprintf(links[0], sizeof(links[0]), "%s/tcp", net);
	snprintf(links[1], sizeof(links[1]), "%s/tcp6", net);
	require(mkdir(net, 0700) == 0);
	require(symlink(target, links[0]) == 0 && symlink(target, links[1]) == 0);
	atexit(remove_dir);
}

static void check(const struct tcpsock *sock)
{
	require(sock->id != 0 && sock->state > 0 && sock->state < TCP_STATE_COUNT);
	require(sock->expires_ms <= UINT32_C(1) << 31);
	require((sock->known & ~(uint32_t)(TCPSOCK_MINI | TCPSOCK_PROBES)) == 0);
	require(tcpsock_knows(sock, TCPSOCK_MINI) != tcpsock_knows(sock, TCPSOCK_PROBES));
}

static int take(void *arg, const struct tcpsock *socks, size_t count, uint64_t read_ms)
{
	(void)read_ms;
	for (size_t i = 0; i < count; i++)
		check(&socks[i]);
	*(size_t *)arg += count;
	return 0;
}

static void parse_lines(const char *text, size_t size, bool v6, struct tally *tally)
{
	const char *newline;

	while (size > 0 && (newline = memchr(text, '\n', size)) != NULL) {
		size_t len = (size_t)(newline - text);
		struct tcpsock sock;

		tally->lines++;
		if (procnet_parse_line(text, len, v6, &sock)) {
			check(&sock);
			tally->sockets++;
		}
		text += len + 1;
		size -= len + 1;
	}
	tally->lines += size > 0;
}

/* A file gives no more sockets than its lines do, and none is lost but as a duplicate. */
static void dump_file(const uint8_t *data, size_t size, const struct tally *tally)
{
	const struct source_place place = { .procfs = dir };
	const struct source_query query = { .states = TCP_STATES_ALL };
	struct source_skipped skipped;
	size_t count = 0;
	void *source;

	require(ftruncate(memory, 0) == 0);
	require(pwrite(memory, data, size, 0) == (ssize_t)size);
	require(source_procfs.open(&place, &source) == 0);
	require(source_procfs.dump(source, &query, take, &count) == 0);
	skipped = source_procfs.skipped(source);
	source_procfs.close(source);
	require(count <= tally->sockets);
	require((count > 0) == (tally->sockets > 0) || skipped.malformed > 0);
	require(count + skipped.malformed <= tally->lines);
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
