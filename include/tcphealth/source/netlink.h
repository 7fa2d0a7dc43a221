/*
 * netlink: the messages in which NETLINK_SOCK_DIAG describes sockets, in dumps and in destroy
 * events.
 */
#pragma once

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Parses an inet_diag_msg and its attributes: the payload of a netlink message, `len` bytes,
 * aligned to 4. False if it describes no TCP socket. Attributes outside the message are ignored.
 * Pure.
 */
bool netlink_parse(const void *payload, size_t len, struct tcpsock *ret_sock);
