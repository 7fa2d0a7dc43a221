/* procnet-internal: what tests of procnet.c reach. */
#pragma once

#include "tcphealth/source/tcpsock.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Parses a line without its newline; false if it describes no socket (the header, garbage). The
 * id is a hash of 4-tuple and inode, for lack of cookies. Pure.
 */
bool procnet_parse_line(const char *line, size_t len, bool v6, struct tcpsock *ret_sock);
