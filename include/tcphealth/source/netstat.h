/*
 * netstat: the TCP counters and settings of a network namespace.
 *
 * Knows the texts of /proc/net/snmp, /proc/net/netstat and /proc/sys/net/ipv4, and no sockets.
 * Reads the calling thread's namespace. Any thread.
 */
#pragma once

#include "tcphealth/base/portset.h"

#include <stdint.h>

/* In the order of the table in netstat.c, by their names in the kernel (Tcp: RFC 4022). */
enum netstat_counter {
	NETSTAT_RETRANS_SEGS,     /* Tcp: RetransSegs */
	NETSTAT_OUT_SEGS,         /* Tcp: without retransmissions */
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
	NETSTAT_ABORT_FAILED,             /* TcpExt: TCPAbortFailed */
	NETSTAT_EMBRYONIC_RSTS,           /* TcpExt */
	NETSTAT_LOCK_DROPPED_ICMPS,       /* TcpExt */
	NETSTAT_REQUEST_QUEUE_FULL_DROPS, /* TcpExt: TCPReqQFullDrop */
	NETSTAT_COUNT,
};

struct netstat {
	uint64_t value[NETSTAT_COUNT];
	uint32_t known; /* 1 << enum netstat_counter */
};

/* Times are in seconds, but for those in us and ms. */
enum netsysctl_key {
	NETSYSCTL_KEEPALIVE_TIME,   /* tcp_keepalive_time */
	NETSYSCTL_KEEPALIVE_INTVL,  /* tcp_keepalive_intvl */
	NETSYSCTL_KEEPALIVE_PROBES, /* tcp_keepalive_probes */
	NETSYSCTL_RETRIES2,         /* tcp_retries2 */
	NETSYSCTL_FIN_TIMEOUT,      /* tcp_fin_timeout */
	NETSYSCTL_RTO_MIN_US,       /* tcp_rto_min_us (Linux 6.11) */
	NETSYSCTL_PORT_LOW,         /* ip_local_port_range */
	NETSYSCTL_PORT_HIGH,
	NETSYSCTL_SYN_RETRIES,       /* tcp_syn_retries */
	NETSYSCTL_SYN_LINEAR,        /* tcp_syn_linear_timeouts; 0 before Linux 6.5 */
	NETSYSCTL_TIMESTAMPS,        /* tcp_timestamps: 0 is off */
	NETSYSCTL_TW_REUSE,          /* tcp_tw_reuse: 1 is on, 2 on for loopback only */
	NETSYSCTL_TW_REUSE_DELAY_MS, /* tcp_tw_reuse_delay (Linux 6.14) */
	NETSYSCTL_COUNT,
};

struct netsysctl {
	/* The kernel's default if it is not known. */
	uint32_t value[NETSYSCTL_COUNT];
	uint32_t known; /* 1 << enum netsysctl_key */
};

/* Reads NETDIR/snmp and NETDIR/netstat. A missing line stays unknown; cannot fail. */
void netstat_read(const char *netdir, struct netstat *ret_netstat);

/* How much each counter grew between two readings; one that either does not know is not known. */
struct netstat netstat_growth(const struct netstat *before, const struct netstat *now);

/*
 * Reads PROCFS/sys/net/ipv4 over what netsysctl_defaults() or an earlier reading has left. A value
 * that cannot be read, or is not a number, stays as it was, so that a lack of descriptors changes
 * no setting.
 */
void netsysctl_read(const char *procfs, struct netsysctl *sysctl);

/* Reads PROCFS/sys/net/ipv4/ip_local_reserved_ports; empty if it cannot be read. */
void netsysctl_read_reserved(const char *procfs, struct portset *ret_ports);

/* The kernel's defaults, nothing known. */
void netsysctl_defaults(struct netsysctl *ret_sysctl);

/*
 * Adds the figures of a text of snmp or netstat: a line of names, a line of numbers, and so on.
 * Pure.
 */
void netstat_parse(const char *text, struct netstat *netstat);
