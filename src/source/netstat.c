/*
 * netstat: the TCP counters and settings of a network namespace, from their text.
 * Must not know sockets, metrics or namespaces: it reads where it is told to.
 */
#include "tcphealth/source/netstat.h"

#include "tcphealth/base/file.h"
#include "tcphealth/base/number.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* TcpExt has about 130 columns, about 3 KiB, and grows with every kernel. */
#define NETSTAT_TEXT_SIZE (64 * 1024)
#define SYSCTL_TEXT_SIZE  64
/* Every second port, six bytes each. */
#define PORTS_TEXT_SIZE (256 * 1024)
#define SYSCTL_NUMBERS  2

#define BLANKS " \t\r"

/* Not NUL terminated. */
struct word {
	const char *text;
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
	[NETSTAT_EMBRYONIC_RSTS] = { "TcpExt", "EmbryonicRsts" },
	[NETSTAT_LOCK_DROPPED_ICMPS] = { "TcpExt", "LockDroppedIcmps" },
	[NETSTAT_REQUEST_QUEUE_FULL_DROPS] = { "TcpExt", "TCPReqQFullDrop" },
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
	{ "tcp_rto_min_us", NETSYSCTL_RTO_MIN_US, 1, 1, INT32_MAX },
	{ "ip_local_port_range", NETSYSCTL_PORT_LOW, 2, 1, UINT16_MAX },
	{ "tcp_syn_retries", NETSYSCTL_SYN_RETRIES, 1, 1, INT32_MAX },
	{ "tcp_syn_linear_timeouts", NETSYSCTL_SYN_LINEAR, 1, 0, INT32_MAX },
	{ "tcp_timestamps", NETSYSCTL_TIMESTAMPS, 1, 0, INT32_MAX },
	{ "tcp_tw_reuse", NETSYSCTL_TW_REUSE, 1, 0, INT32_MAX },
	{ "tcp_tw_reuse_delay", NETSYSCTL_TW_REUSE_DELAY_MS, 1, 0, INT32_MAX },
};

static bool is_word(struct word word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

/* The next word of a line. Something must end it: at the end of the text it may have been cut. */
static bool take_word(const char **at, struct word *ret_word)
{
	const char *start = *at + strspn(*at, BLANKS);
	size_t len = strcspn(start, BLANKS "\n");

	if (len == 0 || start[len] == '\0')
		return false;
	*ret_word = (struct word){ start, len };
	*at = start + len;
	return true;
}

/* "Tcp" of a line "Tcp: ..."; leaves the words after it. */
static bool take_group(const char **at, struct word *ret_group)
{
	if (!take_word(at, ret_group) || ret_group->text[ret_group->len - 1] != ':')
		return false;
	ret_group->len--;
	return ret_group->len > 0;
}

static void set_counter(struct netstat *netstat, struct word group, struct word name,
			uint64_t value)
{
	for (unsigned int i = 0; i < NETSTAT_COUNT; i++) {
		if (!is_word(name, counters[i].name) || !is_word(group, counters[i].group))
			continue;
		netstat->value[i] = value;
		netstat->known |= UINT32_C(1) << i;
	}
}

/* A name belongs to the number at the same place; where one of the lines is shorter, the rest is not known. */
static void take_pair(struct netstat *netstat, struct word group, const char *names,
		      const char *numbers)
{
	struct word name, number;
	uint64_t value;

	while (take_word(&names, &name) && take_word(&numbers, &number)) {
		const char *at = number.text, *end = at + number.len;

		/* MaxConn is -1; a counter is never negative. */
		if (number_take(&at, end, UINT64_MAX, &value) == 0 && at == end)
			set_counter(netstat, group, name, value);
	}
}

/* Exactly `file->numbers` numbers within the file's limits, and something that ends each. */
static bool parse_numbers(const struct sysctl_file *file, const char *text,
			  uint32_t ret_numbers[SYSCTL_NUMBERS])
{
	uint64_t value = file->min, floor;

	for (uint32_t i = 0; i < file->numbers; i++) {
		floor = value;
		text += strspn(text, BLANKS "\n");
		if (number_take(&text, NULL, file->max, &value) || value < floor ||
		    strspn(text, BLANKS "\n") == 0)
			return false;
		ret_numbers[i] = (uint32_t)value;
	}
	return text[strspn(text, BLANKS "\n")] == '\0';
}

static void read_sysctl(int procfs, const struct sysctl_file *file, struct netsysctl *sysctl)
{
	char path[64], text[SYSCTL_TEXT_SIZE];
	uint32_t numbers[SYSCTL_NUMBERS] = { 0 };

	snprintf(path, sizeof(path), "sys/net/ipv4/%s", file->name);
	if (file_read(procfs, path, text, sizeof(text)) <= 0 || !parse_numbers(file, text, numbers))
		return;
	for (uint32_t i = 0; i < file->numbers; i++) {
		sysctl->value[file->first + i] = numbers[i];
		sysctl->known |= UINT32_C(1) << (file->first + i);
	}
}

void netstat_parse(const char *text, struct netstat *netstat)
{
	struct word group, names_group = { "", 0 };
	const char *names = NULL, *next;

	for (const char *line = text; line; line = next) {
		next = strchr(line, '\n');
		next = next ? next + 1 : NULL;
		if (!take_group(&line, &group)) {
			names_group.len = 0;
		} else if (names_group.len == group.len &&
			   memcmp(names_group.text, group.text, group.len) == 0) {
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
	static const char *const files[] = { "snmp", "netstat" };
	int dir = open(netdir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *text = malloc(NETSTAT_TEXT_SIZE);

	*ret_netstat = (struct netstat){ 0 };
	for (size_t i = 0; i < 2; i++) {
		if (text && file_read(dir, files[i], text, NETSTAT_TEXT_SIZE) > 0)
			netstat_parse(text, ret_netstat);
	}
	free(text);
	if (dir >= 0)
		close(dir);
}

struct netstat netstat_growth(const struct netstat *before, const struct netstat *now)
{
	struct netstat growth = { .known = before->known & now->known };

	for (unsigned int i = 0; i < NETSTAT_COUNT; i++) {
		if (growth.known >> i & 1 && now->value[i] > before->value[i])
			growth.value[i] = now->value[i] - before->value[i];
	}
	return growth;
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
			[NETSYSCTL_RTO_MIN_US] = 200000,
			[NETSYSCTL_PORT_LOW] = 32768,
			[NETSYSCTL_PORT_HIGH] = 60999,
			[NETSYSCTL_SYN_RETRIES] = 6,
			[NETSYSCTL_TIMESTAMPS] = 1,
			[NETSYSCTL_TW_REUSE] = 2,
			[NETSYSCTL_TW_REUSE_DELAY_MS] = 1000,
		},
	};
}

void netsysctl_read(const char *procfs, struct netsysctl *sysctl)
{
	int dir = open(procfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	for (size_t i = 0; i < sizeof(sysctl_files) / sizeof(sysctl_files[0]); i++)
		read_sysctl(dir, &sysctl_files[i], sysctl);
	close(dir);
}

/* "8080,9148-9152"; what is not a port ends it. */
static void take_ports(const char *text, struct portset *set)
{
	uint64_t low, high;

	while (number_take(&text, NULL, UINT16_MAX, &low) == 0) {
		high = low;
		if (*text == '-') {
			text++;
			if (number_take(&text, NULL, UINT16_MAX, &high) < 0)
				return;
		}
		for (; low <= high; low++)
			portset_add(set, (uint16_t)low);
		text += *text == ',';
	}
}

void netsysctl_read_reserved(const char *procfs, struct portset *ret_ports)
{
	int dir = open(procfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *text = malloc(PORTS_TEXT_SIZE);

	memset(ret_ports, 0, sizeof(*ret_ports));
	if (text &&
	    file_read(dir, "sys/net/ipv4/ip_local_reserved_ports", text, PORTS_TEXT_SIZE) > 0)
		take_ports(text, ret_ports);
	free(text);
	if (dir >= 0)
		close(dir);
}
