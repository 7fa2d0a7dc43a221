/*
 * connectlog: logs the peers to which connects fail again and again.
 *
 * connects decides which; this bounds the lines: ten a minute, and one more that counts what was left out. Must not know counters. One
 * thread.
 */
#pragma once

#include "tcphealth/base/loglimit.h"
#include "tcphealth/model/connects.h"
#include "tcphealth/source/units.h"

#include <stdint.h>

void connectlog_init(struct loglimit *limit);

/* Logs what connects_next_told() gives, and how many were left out in a minute that is over. To be called with each sample. */
void connectlog_tell(struct loglimit *limit, struct connects *connects, struct units *units,
		     uint64_t now_ms);
