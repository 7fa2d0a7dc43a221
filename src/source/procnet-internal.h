/* What tests of procnet.c reach: one line of the text. */
#ifndef TCPHEALTH_SOURCE_PROCNET_INTERNAL_H
#define TCPHEALTH_SOURCE_PROCNET_INTERNAL_H

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One line without its newline; false if it is not a socket's (the header line, garbage). There are no cookies: id is a hash of 4-tuple
 * and inode. Pure.
 */
bool procnet_parse_line(const char *line, size_t len, bool v6, struct tcpsock *ret_sock);

#endif
