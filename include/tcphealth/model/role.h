/*
 * role: which end of a connection opened it.
 *
 * Pure: a record and what is known around it in, a guess out. Knows the handshake's arithmetic and
 * the port numbers; must not know history, which the caller weighs against this guess.
 */
#ifndef TCPHEALTH_MODEL_ROLE_H
#define TCPHEALTH_MODEL_ROLE_H

#include "tcphealth/source/events.h"
#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stdint.h>

enum role {
	ROLE_SERVER, /* this end accepted: the port is the local one */
	ROLE_CLIENT, /* this end connected: the port is the remote one */
};
#define ROLE_COUNT 2

/* What decided, strongest first. */
enum role_evidence {
	ROLE_BY_STATE,           /* SYN_SENT, SYN_RECV, a Fast Open child */
	ROLE_BY_ACCEPT_QUEUE,    /* ESTABLISHED or CLOSE_WAIT without an inode: not accepted yet */
	ROLE_BY_HANDSHAKE,       /* bytes acknowledged count the opener's SYN */
	ROLE_BY_LISTENER,        /* a listener is alive on the local address and port */
	ROLE_BY_OTHER_END,       /* the other end is on this host, too, and known */
	ROLE_BY_EVENT,           /* its destroy event told, before its TIME_WAIT was seen */
	ROLE_BY_FORMER_LISTENER, /* a listener was seen there earlier */
	ROLE_BY_PORT_RANGE,      /* only one end is inside ip_local_port_range: the client */
	ROLE_BY_PORT_PARITY, /* both are inside, one has the parity that connect() prefers: the client */
	ROLE_BY_PORT_ORDER, /* the lower port is the service */
};
#define ROLE_EVIDENCE_COUNT 10

const char *role_name(enum role role);
const char *role_evidence_name(enum role_evidence evidence);

struct role_guess {
	enum role role;
	enum role_evidence evidence;
	bool sure; /* need not be confirmed by a second look */
};

/* ip_local_port_range of the namespace. */
struct role_ports {
	uint16_t low;
	uint16_t high;
};

/* By state or accept queue alone; false if these tell nothing. */
bool role_from_state(const struct tcpsock *sock, struct role_guess *ret_guess);

enum role_handshake {
	ROLE_HANDSHAKE_TELLS,
	ROLE_HANDSHAKE_REFUSES, /* not with this look */
	ROLE_HANDSHAKE_HOPELESS, /* this host dropped segments of its own: never again for this socket */
};

/*
 * The handshake's arithmetic: bytes acknowledged, plus in flight, minus sent, less an own FIN, is 1 at the end that opened the
 * connection (its SYN was acknowledged) and 0 at the end that accepted it, for the connection's whole life
 * (net/ipv4/tcp_input.c: tcp_snd_una_update counts from snd_una, which starts at the initial sequence number for an opener and one
 * behind it for an acceptor). Sets *ret_guess only where it tells.
 */
enum role_handshake role_from_handshake(const struct tcpsock *sock,
					struct role_guess *ret_guess);

/*
 * What a destroy event's numbers leave over: its SYN if this end opened, its FIN if it sent one. False if it does not say.
 */
bool role_death_surplus(const struct tcpdeath *death, int64_t *ret_surplus);

/* The same for a destroy event, where the state is lost and with it whether a FIN was counted. False if undecided. */
bool role_from_death(const struct tcpdeath *death, enum role *ret_role);

/* By port numbers alone: always an answer. */
struct role_guess role_from_ports(uint16_t local_port, uint16_t remote_port,
				    struct role_ports range);

#endif
