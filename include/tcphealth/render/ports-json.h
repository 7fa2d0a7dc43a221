/*
 * ports-json: the metrics of a port, as JSON.
 *
 * Walks the table of metrics; a row with a JSON key is a member. Pure. Must not know HTTP.
 */
#pragma once

#include "tcphealth/model/snapshot.h"
#include "tcphealth/render/json.h"

#include <stdint.h>

/* Writes "port": 22, "unknown" or "other". */
void ports_json_port(struct json *json, uint32_t port);

/* Writes a pair of the namespace as an object. */
void ports_json_pair(struct json *json, const struct snapshot_ns *ns,
		     const struct snapshot_pair *pair);
