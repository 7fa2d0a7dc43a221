/*
 * serve: the exporter as a service, from its start to the signal that ends it.
 *
 * Owns signals, the order of start and end, and what the service manager is told; wires collector and httpd. The main thread.
 */
#ifndef TCPHEALTH_APP_SERVE_H
#define TCPHEALTH_APP_SERVE_H

#include "tcphealth/app/options.h"

/* Returns the status of the process: 0, or 1 if it could not start. Logs why. */
int serve_run(const struct options *options);

/* --config.check: the flags were good; tells the verdict about the web configuration. Returns the status, 0 or 1. */
int serve_check(const struct options *options);

#endif
