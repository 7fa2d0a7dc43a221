/*
 * procnet: TCP sockets from the lines of /proc/net/tcp and tcp6.
 *
 * Owns the reading of that text. Must not know netlink, roles or history. A busy host has a million lines,
 * so that lines are cut out of a fixed buffer and parsed by hand.
 */
#include "procnet-internal.h"
#include "tcphealth/base/address.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/keyed.h"
#include "tcphealth/base/number.h"
#include "tcphealth/source/procfs.h"
#include "tcphealth/source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Times are in clock ticks of user space, 1/100 s on every architecture that is alive, whatever HZ is. */
#define TICK_MS 10
#define TICK_US 10000

#define READ_SIZE (16 * 1024)

struct cursor {
	const char *p;
	const char *end;
};

/* The columns of a line that are of use; the widths are checked, so that 8 hex digits fit 32 bits. */
struct columns {
	struct in6_addr local;
	struct in6_addr remote;
	uint64_t local_port;
	uint64_t remote_port;
	uint64_t state;
	uint64_t wqueue;
	uint64_t rqueue;
	uint64_t timer;
	uint64_t when;
	uint64_t retransmits;
	uint64_t uid;
	uint64_t probes;
	uint64_t inode;
	uint64_t rto;
	bool full; /* has the columns of a full socket; those of a mini end after the pointer */
};

struct procnet {
	struct source_place place;
	struct source_skipped skipped;
};

struct dump {
	uint32_t states;
	source_take_fn take_fn;
	void *arg;
	uint64_t read_ms;
	uint64_t *malformed;
	struct keyed seen; /* dump_key() alone */
};

struct reader {
	int fd;
	bool v6;
	bool first;    /* no line taken yet */
	bool skipping; /* in a line that is longer than the buffer */
	size_t len;
	char buf[READ_SIZE];
};

/* Value of a hexadecimal digit plus one; 0 for what is none. */
static const uint8_t hex_digits[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

static uint64_t hash_tuple(const struct tcpsock *sock)
{
	return tcptuple_hash(&sock->local, sock->local_port, &sock->remote, sock->remote_port);
}

static bool take_char(struct cursor *cur, char c)
{
	if (cur->p == cur->end || *cur->p != c)
		return false;
	cur->p++;
	return true;
}

static bool take_spaces(struct cursor *cur)
{
	const char *start = cur->p;

	while (cur->p < cur->end && *cur->p == ' ')
		cur->p++;
	return cur->p > start;
}

/* `min` to `max` (at most 16) hexadecimal digits. */
static bool take_hex(struct cursor *cur, size_t min, size_t max, uint64_t *ret_value)
{
	const char *start = cur->p;
	uint64_t value = 0;
	unsigned int digit;

	while (cur->p < cur->end && (digit = hex_digits[(unsigned char)*cur->p]) != 0) {
		if ((size_t)(cur->p - start) == max)
			return false;
		value = value << 4 | (digit - 1);
		cur->p++;
	}
	*ret_value = value;
	return (size_t)(cur->p - start) >= min;
}

/* Older kernels print a large uid as a negative number: it is taken as its two's complement. */
static bool take_dec(struct cursor *cur, uint64_t *ret_value)
{
	bool negative = take_char(cur, '-');
	uint64_t value;

	if (number_take(&cur->p, cur->end, UINT64_MAX, &value))
		return false;
	*ret_value = negative ? 0 - value : value;
	return true;
}

static bool take_word(struct cursor *cur)
{
	const char *start = cur->p;

	while (cur->p < cur->end && *cur->p != ' ')
		cur->p++;
	return cur->p > start;
}

/* An address is shown as the numbers that its 32-bit words, in network order, are on this host. */
static bool take_addr(struct cursor *cur, bool v6, struct in6_addr *ret_addr)
{
	size_t words = v6 ? 4 : 1;
	uint32_t addr[4] = { 0 };

	for (size_t i = 0; i < words; i++) {
		struct cursor word = { cur->p, cur->end };
		uint64_t value;

		if (cur->end - cur->p < 8)
			return false;
		word.end = word.p + 8;
		if (!take_hex(&word, 8, 8, &value))
			return false;
		addr[i] = (uint32_t)value;
		cur->p = word.p;
	}
	if (v6)
		memcpy(ret_addr, addr, sizeof(addr));
	else
		*ret_addr = address_v4(addr[0]);
	return true;
}

/* "  12: 0100007F:1F90 0200007F:C350 01 " */
static bool take_identity(struct cursor *cur, bool v6, struct columns *col)
{
	uint64_t line;

	take_spaces(cur);
	return take_dec(cur, &line) && take_char(cur, ':') && take_spaces(cur) &&
	       take_addr(cur, v6, &col->local) && take_char(cur, ':') &&
	       take_hex(cur, 4, 4, &col->local_port) && take_spaces(cur) &&
	       take_addr(cur, v6, &col->remote) && take_char(cur, ':') &&
	       take_hex(cur, 4, 4, &col->remote_port) && take_spaces(cur) &&
	       take_hex(cur, 2, 2, &col->state) && take_spaces(cur);
}

/* "00000000:00000000 02:000AFBD7 00000000 " */
static bool take_queues(struct cursor *cur, struct columns *col)
{
	return take_hex(cur, 8, 8, &col->wqueue) && take_char(cur, ':') &&
	       take_hex(cur, 8, 8, &col->rqueue) && take_spaces(cur) &&
	       take_hex(cur, 2, 2, &col->timer) && take_char(cur, ':') &&
	       take_hex(cur, 8, 16, &col->when) && take_spaces(cur) &&
	       take_hex(cur, 8, 8, &col->retransmits) && take_spaces(cur);
}

/*
 * "1000        0 31337 2 00000000624172a6 20 4 30 10 -1": uid, probes, inode, references, pointer, which is
 * not always a number, and for full sockets rto and more. Asking for the pointer finds a line that was cut.
 */
static bool take_owner(struct cursor *cur, struct columns *col)
{
	uint64_t references;

	if (!take_dec(cur, &col->uid) || !take_spaces(cur) || !take_dec(cur, &col->probes) ||
	    !take_spaces(cur) || !take_dec(cur, &col->inode) || !take_spaces(cur) ||
	    !take_dec(cur, &references) || !take_spaces(cur) || !take_word(cur))
		return false;
	col->full = take_spaces(cur) && take_dec(cur, &col->rto);
	return true;
}

static bool columns_valid(const struct columns *col)
{
	return col->state > TCP_STATE_NONE && col->state < TCP_STATE_COUNT &&
	       (col->uid <= UINT32_MAX || col->uid >= (uint64_t)(int64_t)INT32_MIN);
}

/* A socket in SYN_RECV is full if it is a Fast Open child or both ends opened at once. */
static bool columns_mini(const struct columns *col)
{
	return col->state == TCP_STATE_TIME_WAIT ||
	       (col->state == TCP_STATE_FIN_WAIT2 && col->timer == TCP_TIMER_TIME_WAIT) ||
	       (col->state == TCP_STATE_SYN_RECV && !col->full);
}

static uint8_t clamp_u8(uint64_t value)
{
	return value > UINT8_MAX ? UINT8_MAX : (uint8_t)value;
}

/* Older kernels show an overdue timer as a huge number. */
static uint32_t expires_ms(uint64_t ticks)
{
	return ticks > (UINT64_C(1) << 31) / TICK_MS ? 0 : (uint32_t)(ticks * TICK_MS);
}

static void fill_identity(struct tcpsock *sock, const struct columns *col)
{
	uint64_t id;

	sock->local = col->local;
	sock->remote = col->remote;
	sock->local_port = (uint16_t)col->local_port;
	sock->remote_port = (uint16_t)col->remote_port;
	sock->state = (uint8_t)col->state;
	sock->info_state = sock->state;
	/* Inode numbers of sockets have 32 bits, though the column has room for 64; netlink cuts them as well. */
	sock->inode = (uint32_t)(col->inode & UINT32_MAX);
	id = hash_mix(hash_tuple(sock), sock->inode);
	sock->id = id != 0 ? id : 1;
}

/*
 * The retrnsmt column is always about retransmissions (of the SYN-ACK for a request), timeout about probes;
 * netlink's one number is about the timer that runs.
 */
static void fill_full(struct tcpsock *sock, const struct columns *col)
{
	bool probing = sock->timer == TCP_TIMER_KEEPALIVE || sock->timer == TCP_TIMER_PROBE;

	sock->known |= TCPSOCK_PROBES;
	sock->probes = clamp_u8(col->probes);
	sock->retransmits = clamp_u8(col->retransmits);
	sock->timer_retransmits = probing ? sock->probes : sock->retransmits;
	if (sock->state != TCP_STATE_LISTEN && col->rto <= UINT32_MAX / TICK_US)
		sock->rto_us = (uint32_t)(col->rto * TICK_US);
}

static bool is_header(const char *line, size_t len)
{
	struct cursor cur = { line, line + len };

	take_spaces(&cur);
	return take_char(&cur, 's') && take_char(&cur, 'l') && take_spaces(&cur);
}

/* A listener shares its addresses with others of its SO_REUSEPORT group; every other socket has them alone. */
static uint64_t dump_key(const struct tcpsock *sock)
{
	return sock->state == TCP_STATE_LISTEN ? sock->id : hash_tuple(sock);
}

static int take_line(struct dump *dump, struct reader *reader, const char *line, size_t len)
{
	struct tcpsock sock;
	bool first = reader->first;
	uint64_t key;
	int err;

	reader->first = false;
	if (!procnet_parse_line(line, len, reader->v6, &sock)) {
		if (!first || !is_header(line, len))
			(*dump->malformed)++;
		return 0;
	}
	if ((dump->states & TCP_STATE_BIT(sock.state)) == 0)
		return 0;
	key = dump_key(&sock);
	if (keyed_find(&dump->seen, sizeof(key), key))
		return 0;
	if (!keyed_add(&dump->seen, sizeof(key), key))
		return -ENOMEM;
	err = dump->take_fn(dump->arg, &sock, 1, dump->read_ms);
	return err < 0 ? err : 0;
}

/* Takes the complete lines and moves the begin of the next to the front. */
static int take_lines(struct dump *dump, struct reader *reader)
{
	const char *p = reader->buf;
	const char *end = reader->buf + reader->len;
	const char *newline;

	while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		int err = reader->skipping ? 0 : take_line(dump, reader, p, (size_t)(newline - p));

		if (err < 0)
			return err;
		reader->skipping = false;
		p = newline + 1;
	}
	if (p == reader->buf && reader->len == sizeof(reader->buf) && !reader->skipping) {
		reader->skipping = true;
		reader->first = false;
		(*dump->malformed)++;
	}
	reader->len = reader->skipping ? 0 : (size_t)(end - p);
	memmove(reader->buf, p, reader->len);
	return 0;
}

/* A last line without its newline was cut somewhere, perhaps within a number: it is not taken. */
static int read_lines(struct dump *dump, struct reader *reader)
{
	for (;;) {
		/* take_lines() leaves room, which gcc 14 does not see. */
		if (reader->len >= sizeof(reader->buf))
			return -EOVERFLOW;
		ssize_t n = read(reader->fd, reader->buf + reader->len,
				 sizeof(reader->buf) - reader->len);
		int err;

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		dump->read_ms = clock_mono_coarse_ms();
		reader->len += (size_t)n;
		err = take_lines(dump, reader);
		if (err < 0)
			return err;
	}
	if (reader->len > 0)
		(*dump->malformed)++;
	return 0;
}

static int dump_file(struct dump *dump, const char *netdir, const char *name, bool v6)
{
	struct reader reader;
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/%s", netdir, name);
	int err;

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	do
		reader.fd = open(path, O_RDONLY | O_CLOEXEC);
	while (reader.fd < 0 && errno == EINTR);
	/* A host without IPv6 has no tcp6. */
	if (reader.fd < 0)
		return v6 && errno == ENOENT ? 0 : -errno;
	reader.v6 = v6;
	reader.first = true;
	reader.skipping = false;
	reader.len = 0;
	err = read_lines(dump, &reader);
	close(reader.fd);
	return err;
}

bool procnet_parse_line(const char *line, size_t len, bool v6, struct tcpsock *ret_sock)
{
	struct cursor cur = { line, line + len };
	struct columns col = { 0 };

	if (!take_identity(&cur, v6, &col) || !take_queues(&cur, &col) || !take_owner(&cur, &col) ||
	    !columns_valid(&col))
		return false;
	*ret_sock = (struct tcpsock){ 0 };
	fill_identity(ret_sock, &col);
	ret_sock->timer = (uint8_t)col.timer;
	ret_sock->timer_retransmits = clamp_u8(col.retransmits);
	ret_sock->expires_ms = expires_ms(col.when);
	ret_sock->wqueue = (uint32_t)col.wqueue;
	ret_sock->rqueue = (uint32_t)col.rqueue;
	ret_sock->uid = (uint32_t)(col.uid & UINT32_MAX);
	if (columns_mini(&col))
		ret_sock->known |= TCPSOCK_MINI;
	else
		fill_full(ret_sock, &col);
	return true;
}

static int open_procfs(const struct source_place *place, void **ret_source)
{
	struct procnet *procnet = calloc(1, sizeof(*procnet));

	if (!procnet)
		return -ENOMEM;
	procnet->place = *place;
	*ret_source = procnet;
	return 0;
}

static int dump_procfs(void *source, const struct source_query *query, source_take_fn take_fn,
		       void *arg)
{
	struct procnet *procnet = source;
	struct dump dump = {
		.states = query->states,
		.take_fn = take_fn,
		.arg = arg,
		.malformed = &procnet->skipped.malformed,
	};
	char netdir[PATH_MAX];
	int err = procfs_net_dir(procnet->place.procfs, procnet->place.pid, netdir, sizeof(netdir));

	if (err == 0)
		err = dump_file(&dump, netdir, "tcp", false);
	if (err == 0)
		err = dump_file(&dump, netdir, "tcp6", true);
	keyed_done(&dump.seen);
	return err;
}

static struct source_skipped procfs_skipped(const void *source)
{
	return ((const struct procnet *)source)->skipped;
}

const struct source_ops source_procfs = {
	.name = "procfs",
	.can = SOURCE_PIDS,
	.open = open_procfs,
	.close = free,
	.dump = dump_procfs,
	.skipped = procfs_skipped,
};
