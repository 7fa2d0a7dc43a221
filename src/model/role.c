/*
 * role: the evidence about which end opened a connection. Pure; knows no history.
 */
#include "tcphealth/model/role.h"

#include <stddef.h>

/*
 * A connection that has sent nothing and got no acknowledgement for so long: no field changed while
 * the record was read.
 */
#define QUIET_MS 20

const char *role_name(enum role role)
{
	return role == ROLE_SERVER ? "server" : "client";
}

const char *role_evidence_name(enum role_evidence evidence)
{
	static const char *const names[ROLE_EVIDENCE_COUNT] = {
		[ROLE_BY_STATE] = "state",
		[ROLE_BY_ACCEPT_QUEUE] = "accept_queue",
		[ROLE_BY_HANDSHAKE] = "handshake",
		[ROLE_BY_LISTENER] = "listener",
		[ROLE_BY_OTHER_END] = "other_end",
		[ROLE_BY_EVENT] = "event",
		[ROLE_BY_FORMER_LISTENER] = "former_listener",
		[ROLE_BY_KNOWN_SERVICE] = "known_service",
		[ROLE_BY_PORT_RANGE] = "port_range",
		[ROLE_BY_PORT_PARITY] = "port_parity",
		[ROLE_BY_PORT_ORDER] = "port_order",
	};

	return (size_t)evidence < ROLE_EVIDENCE_COUNT ? names[evidence] : "unknown";
}

bool role_from_state(const struct tcpsock *sock, struct role_guess *ret_guess)
{
	*ret_guess = (struct role_guess){ ROLE_SERVER, ROLE_BY_STATE, true };
	if (sock->state == TCP_STATE_SYN_SENT && sock->info_state == TCP_STATE_SYN_SENT) {
		ret_guess->role = ROLE_CLIENT;
		return true;
	}
	if (sock->state == TCP_STATE_SYN_RECV || tcpsock_knows(sock, TCPSOCK_FASTOPEN))
		return true;
	/*
	 * info_state is read last: a socket that is closing may look ESTABLISHED without an inode.
	 */
	if (sock->inode == 0 && !tcpsock_knows(sock, TCPSOCK_MINI) &&
	    (sock->info_state == TCP_STATE_ESTABLISHED ||
	     sock->info_state == TCP_STATE_CLOSE_WAIT)) {
		ret_guess->evidence = ROLE_BY_ACCEPT_QUEUE;
		return true;
	}
	return false;
}

/* Bytes sent once; false where this kernel does not say. */
static bool sent_once(const struct tcpsock *sock, int64_t *ret_sent)
{
	if (tcpsock_knows(sock, TCPSOCK_SENT)) {
		*ret_sent = (int64_t)(sock->bytes_sent - sock->bytes_retrans);
		return true;
	}
	*ret_sent = 0;
	return tcpsock_knows(sock, TCPSOCK_DATA_SEGS) && sock->data_segs_out == 0;
}

/*
 * Bytes sent and not acknowledged; false if wqueue, read outside the socket's lock, cannot belong
 * to `unacked`.
 */
static bool bytes_in_flight(const struct tcpsock *sock, int64_t *ret_inflight)
{
	int64_t inflight = (int64_t)sock->wqueue - (int64_t)sock->notsent_bytes;

	*ret_inflight = 0;
	if (sock->unacked == 0)
		return true;
	*ret_inflight = inflight;
	return inflight >= (int64_t)sock->unacked && inflight <= (int64_t)sock->unacked * 65535;
}

static bool past_handshake(unsigned int state)
{
	const uint32_t states =
		TCP_STATE_BIT(TCP_STATE_ESTABLISHED) | TCP_STATE_BIT(TCP_STATE_CLOSE_WAIT) |
		TCP_STATE_BIT(TCP_STATE_FIN_WAIT1) | TCP_STATE_BIT(TCP_STATE_FIN_WAIT2) |
		TCP_STATE_BIT(TCP_STATE_CLOSING) | TCP_STATE_BIT(TCP_STATE_LAST_ACK);

	return state < TCP_STATE_COUNT && (states & TCP_STATE_BIT(state)) != 0;
}

static bool fin_was_sent(const struct tcpsock *sock)
{
	bool closed = sock->info_state == TCP_STATE_FIN_WAIT1 ||
		      sock->info_state == TCP_STATE_FIN_WAIT2 ||
		      sock->info_state == TCP_STATE_CLOSING ||
		      sock->info_state == TCP_STATE_LAST_ACK;

	/* A FIN behind unsent data waits with it. */
	return closed && sock->notsent_bytes == 0;
}

enum role_handshake role_from_handshake(const struct tcpsock *sock, struct role_guess *ret_guess)
{
	int64_t sent, inflight, surplus;

	if (!tcpsock_knows(sock, TCPSOCK_INFO | TCPSOCK_BYTES | TCPSOCK_NOTSENT))
		return ROLE_HANDSHAKE_REFUSES;
	if (sock->info_state != sock->state || !past_handshake(sock->info_state))
		return ROLE_HANDSHAKE_REFUSES;
	if (!sent_once(sock, &sent) || !bytes_in_flight(sock, &inflight))
		return ROLE_HANDSHAKE_REFUSES;
	surplus = (int64_t)sock->bytes_acked - sent + inflight - (fin_was_sent(sock) ? 1 : 0);
	if (surplus < 0)
		return ROLE_HANDSHAKE_HOPELESS;
	if (surplus > 1)
		return ROLE_HANDSHAKE_REFUSES;
	ret_guess->role = surplus == 1 ? ROLE_CLIENT : ROLE_SERVER;
	ret_guess->evidence = ROLE_BY_HANDSHAKE;
	ret_guess->sure = sock->unacked == 0 && sock->wqueue == sock->notsent_bytes &&
			  sock->last_data_sent_ms >= QUIET_MS && sock->last_ack_recv_ms >= QUIET_MS;
	return ROLE_HANDSHAKE_TELLS;
}

bool role_death_surplus(const struct tcpdeath *death, int64_t *ret_surplus)
{
	const uint8_t needed = TCPDEATH_INFO | TCPDEATH_SENT | TCPDEATH_NOTSENT;
	/*
	 * A reset empties the queues, but not the sequence numbers that wqueue and notsent are made
	 * of.
	 */
	int32_t inflight = (int32_t)(death->wqueue - death->notsent_bytes);

	if ((death->flags & needed) != needed || death->remote_port == 0)
		return false;
	*ret_surplus = (int64_t)death->bytes_acked -
		       (int64_t)(death->bytes_sent - death->bytes_retrans) + inflight;
	return true;
}

bool role_from_death(const struct tcpdeath *death, enum role *ret_role)
{
	int64_t surplus;

	if (!role_death_surplus(death, &surplus))
		return false;
	if (surplus == 0 || surplus == 2) {
		*ret_role = surplus == 2 ? ROLE_CLIENT : ROLE_SERVER;
		return true;
	}
	/* One SYN or one FIN: a segment delivered beyond the handshake and the data was a FIN. */
	if (surplus == 1 && (death->flags & TCPDEATH_DELIVERED) &&
	    death->delivered == death->data_segs_out + 2) {
		*ret_role = ROLE_SERVER;
		return true;
	}
	return false;
}

struct role_guess role_from_ports(uint16_t local_port, uint16_t remote_port,
				  struct role_ports range)
{
	bool local_in = local_port >= range.low && local_port <= range.high;
	bool remote_in = remote_port >= range.low && remote_port <= range.high;
	struct role_guess guess = { ROLE_CLIENT, ROLE_BY_PORT_RANGE, false };

	if (local_in != remote_in) {
		guess.role = local_in ? ROLE_CLIENT : ROLE_SERVER;
		return guess;
	}
	if (local_in && (local_port ^ remote_port) & 1) {
		guess.evidence = ROLE_BY_PORT_PARITY;
		guess.role = ((local_port ^ range.low) & 1) == 0 ? ROLE_CLIENT : ROLE_SERVER;
		return guess;
	}
	guess.evidence = ROLE_BY_PORT_ORDER;
	guess.role = local_port < remote_port ? ROLE_SERVER : ROLE_CLIENT;
	return guess;
}
