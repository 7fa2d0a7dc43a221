/*
 * serve: runs the exporter as a service, from the start to the signal that ends it.
 *
 * Owns signals, the order of start and stop, and the messages to the service manager. Connects
 * collector and httpd. The main thread.
 */
#pragma once

#include "tcphealth/app/options.h"

/* Returns the exit status: 0, or 1 if it could not start. Logs why. */
int serve_run(const struct options *options);

/*
 * --config.check: prints whether the web configuration is valid; the flags were parsed
 * before. Returns the exit status, 0 or 1.
 */
int serve_check(const struct options *options);
