/*
 * source: where TCP sockets come from, and what each of these places can tell.
 *
 * Knows no kernel interface itself, and must not know what a figure needs: figures ask. Any thread.
 */
#ifndef TCPHEALTH_SOURCE_SOURCE_H
#define TCPHEALTH_SOURCE_SOURCE_H

/* What the records of a source tell; a figure that needs more is left out. */
enum source_can {
	SOURCE_INFO = 1 << 0,    /* tcp_info: counters, silence, hidden keepalive */
	SOURCE_BACKLOG = 1 << 1, /* limits of accept queues */
	SOURCE_DROPS = 1 << 2,   /* drops of listeners */
	SOURCE_EVENTS = 1 << 3,  /* destroyed sockets, with their last counters */
};

#endif
