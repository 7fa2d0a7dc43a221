/* options: what the targets that read command lines have in common: what is true of all options that were taken. */
#pragma once

#include "tcphealth/app/options.h"
#include "tcphealth/web/listenaddr.h"
#include "text.h"

static inline void check_options(const struct options *options)
{
	struct listenaddr parts;

	if (options->mode == OPTIONS_HELP || options->mode == OPTIONS_VERSION)
		return; /* the rest was not looked at */
	require(options->listen_count >= 1 && options->listen_count <= OPTIONS_LISTEN_MAX);
	for (size_t i = 0; i < options->listen_count; i++)
		require(!listenaddr_parse(options->listen[i], &parts));
	require(options->telemetry_path[0] == '/' && options->telemetry_path[1] != '\0');
	require(options->max_requests <= 10000);
	require(options->interval_ms >= 100 && options->interval_ms <= 3600000);
	require(options->ports_max >= 1 && options->ports_max <= 65536);
	require(options->stale.least[STALE_KEEPALIVE] >= 1 &&
		options->stale.least[STALE_KEEPALIVE] <= 255);
	require(options->cpu_budget >= 0 && options->cpu_budget <= 1);
	require(options->netns[0] != '\0');
	require(options->path_procfs[0] != '\0');
}
