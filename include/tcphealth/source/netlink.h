/*
 * netlink: the messages in which NETLINK_SOCK_DIAG tells of sockets, for dumps and for destroy events alike. Pure.
 */
#ifndef TCPHEALTH_SOURCE_NETLINK_H
#define TCPHEALTH_SOURCE_NETLINK_H

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One inet_diag_msg with its attributes (the payload of a netlink message, `len` bytes, 4-byte
 * aligned) as a record. False if it is no TCP socket; attributes that lie outside the message are ignored.
 */
bool netlink_parse(const void *payload, size_t len, struct tcpsock *ret_sock);

#endif
