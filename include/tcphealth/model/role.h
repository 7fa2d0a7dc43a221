/*
 * role: which end of a connection opened it.
 *
 * Guesses from one record and its surroundings. Knows the handshake's arithmetic and the port
 * numbers; must not know history: the caller weighs that against the guess. Pure.
 */
#pragma once

#include "tcphealth/source/events.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

enum role {
	/* This end accepted: the port is the local one. */
	ROLE_SERVER,
	/* This end connected: the port is the remote one. */
	ROLE_CLIENT,
};
#define ROLE_COUNT 2

/* What decided, strongest first. */
enum role_evidence {
	/* SYN_SENT, SYN_RECV, a Fast Open child. */
	ROLE_BY_STATE,
	/* ESTABLISHED or CLOSE_WAIT without an inode: nobody has accepted it. */
	ROLE_BY_ACCEPT_QUEUE,
	/* The bytes acknowledged count the opener's SYN, or do not. */
	ROLE_BY_HANDSHAKE,
	/* A listener is alive on the local address and port. */
	ROLE_BY_LISTENER,
	/* The other end is on this host, and its role is known. */
	ROLE_BY_OTHER_END,
	/* Its destroy event came before its TIME_WAIT was seen. */
	ROLE_BY_EVENT,
	/* A listener was seen there earlier. */
	ROLE_BY_FORMER_LISTENER,
	/* Connections to the same service are known by one of the first three. */
	ROLE_BY_KNOWN_SERVICE,
	/* Only one end is inside ip_local_port_range: the client. */
	ROLE_BY_PORT_RANGE,
	/* Both are inside, and one has the parity that connect() prefers: the client. */
	ROLE_BY_PORT_PARITY,
	/* The lower port is the server's. */
	ROLE_BY_PORT_ORDER,
};
#define ROLE_EVIDENCE_COUNT 11

const char *role_name(enum role role);
const char *role_evidence_name(enum role_evidence evidence);

struct role_guess {
	enum role role;
	enum role_evidence evidence;
	/* No second sample has to confirm it. */
	bool sure;
};

/* ip_local_port_range of the namespace. */
struct role_ports {
	uint16_t low;
	uint16_t high;
};

/* By state or accept queue alone; false if these do not decide. */
bool role_from_state(const struct tcpsock *sock, struct role_guess *ret_guess);

enum role_handshake {
	ROLE_HANDSHAKE_TELLS,
	ROLE_HANDSHAKE_REFUSES, /* this record does not tell */
	/* This host dropped segments of its own: no record of this socket will ever tell. */
	ROLE_HANDSHAKE_HOPELESS,
};

/*
 * The handshake's arithmetic: bytes acknowledged, plus those in flight, minus those sent, minus an
 * own FIN, are 1 at the end that opened the connection, where the SYN was acknowledged, and 0 at
 * the end that accepted it, as long as the connection lives (net/ipv4/tcp_input.c:
 * tcp_snd_una_update() counts from snd_una, which begins at the initial sequence number of an
 * opener, and one behind it of an acceptor). Sets *ret_guess only where it tells.
 */
enum role_handshake role_from_handshake(const struct tcpsock *sock, struct role_guess *ret_guess);

/*
 * The same sum for a destroy event: 1 for its SYN if this end opened, 1 for its FIN if it sent one.
 * False if it does not tell.
 */
bool role_death_surplus(const struct tcpdeath *death, int64_t *ret_surplus);

/*
 * The role by a destroy event, which no longer says whether a FIN was sent. False if that leaves it
 * open.
 */
bool role_from_death(const struct tcpdeath *death, enum role *ret_role);

/* By port numbers alone, which always gives an answer. */
struct role_guess role_from_ports(uint16_t local_port, uint16_t remote_port,
				  struct role_ports range);
