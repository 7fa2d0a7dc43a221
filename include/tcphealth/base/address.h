/*
 * address: IP addresses. All are IPv6; an IPv4 address is v4-mapped.
 *
 * Must not know sockets. Pure; any thread.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* a.b.c.d or RFC 5952 text of an address, v4-mapped as IPv4. Returns dst. */
#define ADDRESS_LEN 48
const char *address_text(const struct in6_addr *addr, char dst[ADDRESS_LEN]);

/* a.b.c.d:port or [address]:port. Returns dst. */
#define ADDRESS_ENDPOINT_LEN (ADDRESS_LEN + 8)
const char *address_endpoint_text(const struct in6_addr *addr, uint16_t port,
				  char dst[ADDRESS_ENDPOINT_LEN]);

/* The v4-mapped form of an IPv4 address in network byte order. */
struct in6_addr address_v4(uint32_t addr_be);

/* The address of a peer or an interface. False for other families: nothing is written. */
bool address_of(const struct sockaddr *from, struct in6_addr *ret_addr);

/* :: or 0.0.0.0 */
bool address_is_any(const struct in6_addr *addr);

/* ::1 or 127.0.0.0/8 */
bool address_is_loopback(const struct in6_addr *addr);
