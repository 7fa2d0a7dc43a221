/*
 * account: what a socket did since it was last seen, added to its pair. Knows no ages and no
 * sources.
 */
#include "tcphealth/model/account.h"

#include "tcphealth/model/role.h"

/* tcp_disconnect() sets write_seq to max_window + 2: 2 means that no window was ever heard of. */
#define NOTSENT_NEVER_CONNECTED 2
#define MIN_RTT_NONE            UINT32_MAX

struct account_numbers account_numbers_of(const struct tcpsock *sock)
{
	return (struct account_numbers){
		.acked = sock->bytes_acked,
		.received = sock->bytes_received,
		.retrans = sock->total_retrans,
		.segs_out = sock->segs_out,
		.tuple = account_tuple(sock->local_port, sock->remote_port),
	};
}

struct account_numbers account_numbers_of_death(const struct tcpdeath *death)
{
	return (struct account_numbers){
		.acked = death->bytes_acked,
		.received = death->bytes_received,
		.retrans = death->total_retrans,
		.segs_out = death->segs_out,
		.tuple = account_tuple(death->local_port, death->remote_port),
	};
}

void account_base(struct track_entry *entry, const struct account_numbers *numbers)
{
	entry->acked_low = (uint32_t)numbers->acked;
	entry->acked_high = (uint16_t)(numbers->acked >> 32);
	entry->received_low = (uint32_t)numbers->received;
	entry->received_high = (uint16_t)(numbers->received >> 32);
	entry->retrans = numbers->retrans;
	entry->segs_out = numbers->segs_out;
	entry->tuple = numbers->tuple & 0x7ffu;
}

/*
 * An entry keeps 48 bits of a byte counter, which one fast connection may pass in a day:
 * differences are taken modulo 2^48, and the upper half of them are steps back.
 */
#define BYTES_MASK ((UINT64_C(1) << 48) - 1)

static uint64_t bytes_since(uint64_t now, uint64_t then)
{
	return (now - then) & BYTES_MASK;
}

static bool fell(uint64_t now, uint64_t then)
{
	return bytes_since(now, then) > BYTES_MASK / 2;
}

static bool is_new_life(const struct track_entry *entry, const struct account_numbers *numbers)
{
	if (entry->tuple == 0 && track_acked(entry) == 0 && track_received(entry) == 0)
		return false; /* nothing was ever noted */
	return numbers->tuple != entry->tuple || fell(numbers->acked, track_acked(entry)) ||
	       fell(numbers->received, track_received(entry)) ||
	       numbers->retrans < entry->retrans ||
	       (int32_t)(numbers->segs_out - entry->segs_out) < 0;
}

void account_add(struct ledger_pair *pair, struct track_entry *entry,
		 const struct account_numbers *numbers)
{
	if (is_new_life(entry, numbers)) {
		account_close(pair, entry);
		account_base(entry, &(struct account_numbers){ 0 });
		entry->opened = entry->closed = false;
	}
	ledger_add(pair, LEDGER_SENT_BYTES, bytes_since(numbers->acked, track_acked(entry)));
	ledger_add(pair, LEDGER_RECEIVED_BYTES,
		   bytes_since(numbers->received, track_received(entry)));
	ledger_add(pair, LEDGER_RETRANSMITTED_SEGMENTS, numbers->retrans - entry->retrans);
	ledger_add(pair, LEDGER_SENT_SEGMENTS, (uint32_t)(numbers->segs_out - entry->segs_out));
	account_base(entry, numbers);
}

void account_open(struct ledger_pair *pair, struct track_entry *entry)
{
	if (!entry->opened)
		ledger_add(pair, LEDGER_OPENED, 1);
	entry->opened = true;
}

void account_close(struct ledger_pair *pair, struct track_entry *entry)
{
	/*
	 * If its first connect failed, a socket may try again, and be established and closed then.
	 */
	if (!entry->opened || entry->closed)
		return;
	ledger_add(pair, LEDGER_CLOSED, 1);
	entry->closed = true;
}

static bool was_established(const struct tcpdeath *death)
{
	bool has_rtt = (death->flags & TCPDEATH_MIN_RTT) && death->min_rtt_us != MIN_RTT_NONE;

	/* Wiped: `delivered` is 0 whatever happened. */
	if (death->remote_port == 0)
		return has_rtt || death->notsent_bytes > NOTSENT_NEVER_CONNECTED;
	if (death->flags & TCPDEATH_DELIVERED)
		return death->delivered != 0;
	return death->bytes_acked != 0 || has_rtt;
}

enum account_end account_end(const struct tcpdeath *death, bool syn_sent)
{
	bool wiped = death->remote_port == 0;
	int64_t surplus = 0;

	if (!(death->flags & TCPDEATH_REMOTE) || !(death->flags & TCPDEATH_INFO))
		return ACCOUNT_NOISE;
	if (was_established(death))
		return ACCOUNT_ESTABLISHED;
	if (wiped)
		return ACCOUNT_FAILED;
	/* TCP_FASTOPEN_CONNECT: the SYN waits for data that never came. */
	if (death->segs_out == 0)
		return ACCOUNT_NOISE;
	/* A SYN of its own, which is still in flight, makes it a client. */
	if (syn_sent || (role_death_surplus(death, &surplus) && surplus == 1))
		return ACCOUNT_FAILED;
	return ACCOUNT_NOISE;
}
