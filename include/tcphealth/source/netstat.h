/*
 * netstat: a network namespace's own TCP counters and settings.
 *
 * /proc/net/snmp and netstat, /proc/sys/net/ipv4. Knows those texts and nothing of sockets. Any thread; what is
 * read belongs to the calling thread's namespace.
 */
#ifndef TCPHEALTH_SOURCE_NETSTAT_H
#define TCPHEALTH_SOURCE_NETSTAT_H

#include <stddef.h>
#include <stdint.h>

/* Order of the table in netstat.c; names are the kernel's (Documentation: RFC 4022 for Tcp). */
enum netstat_counter {
	NETSTAT_RETRANS_SEGS,     /* Tcp: RetransSegs */
	NETSTAT_OUT_SEGS,         /* Tcp: OutSegs, without retransmissions */
	NETSTAT_ACTIVE_OPENS,     /* Tcp */
	NETSTAT_PASSIVE_OPENS,    /* Tcp */
	NETSTAT_ATTEMPT_FAILS,    /* Tcp */
	NETSTAT_ESTAB_RESETS,     /* Tcp */
	NETSTAT_OUT_RSTS,         /* Tcp */
	NETSTAT_SYN_RETRANS,      /* TcpExt: TCPSynRetrans */
	NETSTAT_KEEPALIVE_PROBES, /* TcpExt: TCPKeepAlive */
	NETSTAT_TIMEOUTS,         /* TcpExt: TCPTimeouts */
	NETSTAT_LISTEN_OVERFLOWS, /* TcpExt */
	NETSTAT_LISTEN_DROPS,     /* TcpExt */
	NETSTAT_ABORT_ON_DATA,    /* TcpExt: TCPAbortOnData */
	NETSTAT_ABORT_ON_CLOSE,
	NETSTAT_ABORT_ON_MEMORY,
	NETSTAT_ABORT_ON_TIMEOUT,
	NETSTAT_ABORT_ON_LINGER,
	NETSTAT_ABORT_FAILED, /* TcpExt: TCPAbortFailed */
	NETSTAT_COUNT,
};

struct netstat {
	uint64_t value[NETSTAT_COUNT];
	uint32_t known; /* 1 << enum netstat_counter */
};

/* Settings of a namespace; times in seconds unless said. */
enum netsysctl_key {
	NETSYSCTL_KEEPALIVE_TIME,   /* tcp_keepalive_time */
	NETSYSCTL_KEEPALIVE_INTVL,  /* tcp_keepalive_intvl */
	NETSYSCTL_KEEPALIVE_PROBES, /* tcp_keepalive_probes */
	NETSYSCTL_RETRIES2,         /* tcp_retries2 */
	NETSYSCTL_FIN_TIMEOUT,      /* tcp_fin_timeout */
	NETSYSCTL_RTO_MIN_US,       /* tcp_rto_min_us (6.11), in microseconds */
	NETSYSCTL_PORT_LOW,         /* ip_local_port_range */
	NETSYSCTL_PORT_HIGH,
	NETSYSCTL_COUNT,
};

struct netsysctl {
	uint32_t value[NETSYSCTL_COUNT]; /* the kernel's default where not known */
	uint32_t known;                  /* 1 << enum netsysctl_key */
};

/* Reads NETDIR/snmp and NETDIR/netstat. What is missing is not known; never fails. */
void netstat_read(const char *netdir, struct netstat *ret_netstat);

/*
 * Reads PROCFS/sys/net/ipv4/... into what netsysctl_defaults() made or an earlier reading left: what cannot be read now, or is not a
 * number, stays as it was. For want of a descriptor nothing shall look like other settings.
 */
void netsysctl_read(const char *procfs, struct netsysctl *sysctl);

/* The kernel's defaults, nothing known. */
void netsysctl_defaults(struct netsysctl *ret_sysctl);

/* Text of snmp or netstat: pairs of a line of names and a line of numbers. Pure; adds what it finds. */
void netstat_parse(const char *text, struct netstat *netstat);

#endif
