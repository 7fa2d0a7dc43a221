/*
 * netstat: the TCP counters and settings of a network namespace, from their text.
 * Must not know sockets, metrics or namespaces: it reads where it is told to.
 */
#include "tcphealth/source/netstat.h"

#include "tcphealth/base/file.h"
#include "tcphealth/base/number.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* TcpExt has some 130 columns, about 3 KiB, and grows with every kernel. */
#define NETSTAT_TEXT_SIZE (64 * 1024)
#define SYSCTL_TEXT_SIZE  64
#define SYSCTL_NUMBERS    2

/* A piece of text that is not NUL terminated. */
struct span {
	const char *p;
	size_t len;
};

static const struct {
	const char *group;
	const char *name;
} counters[NETSTAT_COUNT] = {
	[NETSTAT_RETRANS_SEGS] = { "Tcp", "RetransSegs" },
	[NETSTAT_OUT_SEGS] = { "Tcp", "OutSegs" },
	[NETSTAT_ACTIVE_OPENS] = { "Tcp", "ActiveOpens" },
	[NETSTAT_PASSIVE_OPENS] = { "Tcp", "PassiveOpens" },
	[NETSTAT_ATTEMPT_FAILS] = { "Tcp", "AttemptFails" },
	[NETSTAT_ESTAB_RESETS] = { "Tcp", "EstabResets" },
	[NETSTAT_OUT_RSTS] = { "Tcp", "OutRsts" },
	[NETSTAT_SYN_RETRANS] = { "TcpExt", "TCPSynRetrans" },
	[NETSTAT_KEEPALIVE_PROBES] = { "TcpExt", "TCPKeepAlive" },
	[NETSTAT_TIMEOUTS] = { "TcpExt", "TCPTimeouts" },
	[NETSTAT_LISTEN_OVERFLOWS] = { "TcpExt", "ListenOverflows" },
	[NETSTAT_LISTEN_DROPS] = { "TcpExt", "ListenDrops" },
	[NETSTAT_ABORT_ON_DATA] = { "TcpExt", "TCPAbortOnData" },
	[NETSTAT_ABORT_ON_CLOSE] = { "TcpExt", "TCPAbortOnClose" },
	[NETSTAT_ABORT_ON_MEMORY] = { "TcpExt", "TCPAbortOnMemory" },
	[NETSTAT_ABORT_ON_TIMEOUT] = { "TcpExt", "TCPAbortOnTimeout" },
	[NETSTAT_ABORT_ON_LINGER] = { "TcpExt", "TCPAbortOnLinger" },
	[NETSTAT_ABORT_FAILED] = { "TcpExt", "TCPAbortFailed" },
};

/* A file of settings: its numbers go to `first` and the keys after it, in ascending order, or not at all. */
static const struct sysctl_file {
	const char *name;
	enum netsysctl_key first;
	uint32_t numbers;
	uint32_t min;
	uint32_t max;
} sysctl_files[] = {
	{ "tcp_keepalive_time", NETSYSCTL_KEEPALIVE_TIME, 1, 0, INT32_MAX },
	{ "tcp_keepalive_intvl", NETSYSCTL_KEEPALIVE_INTVL, 1, 0, INT32_MAX },
	{ "tcp_keepalive_probes", NETSYSCTL_KEEPALIVE_PROBES, 1, 0, INT32_MAX },
	{ "tcp_retries2", NETSYSCTL_RETRIES2, 1, 0, INT32_MAX },
	{ "tcp_fin_timeout", NETSYSCTL_FIN_TIMEOUT, 1, 0, INT32_MAX },
	{ "ip_local_port_range", NETSYSCTL_PORT_LOW, 2, 1, UINT16_MAX },
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool span_equals(struct span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.p, text, span.len) == 0;
}

/* MaxConn is -1, and no number here; a counter is never negative. */
static bool parse_u64(struct span span, uint64_t *ret_value)
{
	const char *at = span.p, *end = span.p + span.len;

	return number_take(&at, end, UINT64_MAX, ret_value) == 0 && at == end;
}

/* Cuts the next line off `rest`, its newline included: a line without one is the end of a truncated file. */
static bool take_line(struct span *rest, struct span *ret_line)
{
	const char *newline;
	size_t len;

	if (rest->len == 0)
		return false;
	newline = memchr(rest->p, '\n', rest->len);
	len = newline ? (size_t)(newline - rest->p) + 1 : rest->len;
	*ret_line = (struct span){ rest->p, len };
	rest->p += len;
	rest->len -= len;
	return true;
}

/* The next word that something ends: one that runs into the end of the text may have been cut. */
static bool take_word(struct span *rest, struct span *ret_word)
{
	size_t start = 0;
	size_t end;

	while (start < rest->len && is_space(rest->p[start]))
		start++;
	end = start;
	while (end < rest->len && !is_space(rest->p[end]))
		end++;
	if (end == start || end == rest->len)
		return false;
	*ret_word = (struct span){ rest->p + start, end - start };
	rest->p += end;
	rest->len -= end;
	return true;
}

/* "Tcp" of a line "Tcp: ..."; leaves the words after it in `line`. */
static bool take_group(struct span *line, struct span *ret_group)
{
	if (!take_word(line, ret_group) || ret_group->p[ret_group->len - 1] != ':')
		return false;
	ret_group->len--;
	return ret_group->len > 0;
}

static void set_counter(struct netstat *netstat, struct span group, struct span name,
			uint64_t value)
{
	for (unsigned int i = 0; i < NETSTAT_COUNT; i++) {
		if (!span_equals(name, counters[i].name) || !span_equals(group, counters[i].group))
			continue;
		netstat->value[i] = value;
		netstat->known |= UINT32_C(1) << i;
	}
}

/* A name belongs to the number at the same place; where one of the lines is shorter, the rest is not known. */
static void take_pair(struct netstat *netstat, struct span group, struct span names,
		      struct span numbers)
{
	struct span name;
	struct span number;
	uint64_t value;

	while (take_word(&names, &name) && take_word(&numbers, &number)) {
		if (parse_u64(number, &value))
			set_counter(netstat, group, name, value);
	}
}

static void read_counters(const char *netdir, const char *file, char *text, struct netstat *netstat)
{
	char path[PATH_MAX];
	int path_len = snprintf(path, sizeof(path), "%s/%s", netdir, file);
	ssize_t len;

	if (path_len < 0 || (size_t)path_len >= sizeof(path))
		return;
	len = file_read(AT_FDCWD, path, text, NETSTAT_TEXT_SIZE);
	if (len > 0)
		netstat_parse(text, (size_t)len, netstat);
}

/* Exactly `file->numbers` numbers within the file's limits. */
static bool parse_numbers(const struct sysctl_file *file, struct span text,
			  uint32_t ret_numbers[SYSCTL_NUMBERS])
{
	struct span word;
	uint32_t floor = file->min;
	uint64_t value;

	for (uint32_t i = 0; i < file->numbers; i++) {
		if (!take_word(&text, &word) || !parse_u64(word, &value))
			return false;
		if (value < floor || value > file->max)
			return false;
		ret_numbers[i] = (uint32_t)value;
		floor = ret_numbers[i];
	}
	while (text.len > 0 && is_space(text.p[0])) {
		text.p++;
		text.len--;
	}
	return text.len == 0;
}

static void read_sysctl(const char *procfs, const struct sysctl_file *file,
			struct netsysctl *sysctl)
{
	char path[PATH_MAX];
	char text[SYSCTL_TEXT_SIZE];
	uint32_t numbers[SYSCTL_NUMBERS] = { 0 };
	int path_len = snprintf(path, sizeof(path), "%s/sys/net/ipv4/%s", procfs, file->name);
	ssize_t len;

	if (path_len < 0 || (size_t)path_len >= sizeof(path))
		return;
	len = file_read(AT_FDCWD, path, text, sizeof(text));
	if (len <= 0 || !parse_numbers(file, (struct span){ text, (size_t)len }, numbers))
		return;
	for (uint32_t i = 0; i < file->numbers; i++) {
		sysctl->value[file->first + i] = numbers[i];
		sysctl->known |= UINT32_C(1) << (file->first + i);
	}
}

void netstat_parse(const char *text, size_t len, struct netstat *netstat)
{
	struct span rest = { text, len };
	struct span line;
	struct span group;
	struct span names_group = { NULL, 0 };
	struct span names = { NULL, 0 };

	while (take_line(&rest, &line)) {
		if (!take_group(&line, &group)) {
			names_group.len = 0;
		} else if (names_group.len > 0 && names_group.len == group.len &&
			   memcmp(names_group.p, group.p, group.len) == 0) {
			take_pair(netstat, group, names, line);
			names_group.len = 0;
		} else {
			names_group = group;
			names = line;
		}
	}
}

void netstat_read(const char *netdir, struct netstat *ret_netstat)
{
	char *text = malloc(NETSTAT_TEXT_SIZE);

	memset(ret_netstat, 0, sizeof(*ret_netstat));
	if (!text)
		return;
	read_counters(netdir, "snmp", text, ret_netstat);
	read_counters(netdir, "netstat", text, ret_netstat);
	free(text);
}

void netsysctl_defaults(struct netsysctl *ret_sysctl)
{
	*ret_sysctl = (struct netsysctl){
		.value = {
			[NETSYSCTL_KEEPALIVE_TIME] = 7200,
			[NETSYSCTL_KEEPALIVE_INTVL] = 75,
			[NETSYSCTL_KEEPALIVE_PROBES] = 9,
			[NETSYSCTL_RETRIES2] = 15,
			[NETSYSCTL_FIN_TIMEOUT] = 60,
			[NETSYSCTL_PORT_LOW] = 32768,
			[NETSYSCTL_PORT_HIGH] = 60999,
		},
	};
}

void netsysctl_read(const char *procfs, struct netsysctl *sysctl)
{
	for (size_t i = 0; i < sizeof(sysctl_files) / sizeof(sysctl_files[0]); i++)
		read_sysctl(procfs, &sysctl_files[i], sysctl);
}
