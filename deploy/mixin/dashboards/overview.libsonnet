// Hosts and ports with problems, and units to restart.
function(config, lib)
  local alerts = 'alertname=~"TCPHealth.*",severity!="info",instance=~"$instance|"';
  local firing = 'ALERTS{alertstate="firing",%s}' % alerts;
  local alertLabels = 'alertname, severity, instance, port, role';
  local stale(metric) = lib.of(metric, 'reason!="idle"');
  local as(role, expr) = 'label_replace(%s, "role", "%s", "", "")' % [expr, role];

  lib.dashboard(
    'tcphealth-overview',
    'TCP health / Overview',
    'Hosts and ports with problems, the units at fault, and what fails.',
    [
      {
        height: 4,
        panels: [
          lib.stat('Firing alerts', 'TCP health alerts that fire now, except those of severity info.', 'short', 'count(%s)' % firing, [1]),
          lib.stat('Stale connections', 'Connections that are stale for any reason except idle.', 'short', 'sum(%s)' % stale('tcphealth_stale_connections'), [1, 20]),
          lib.stat('Oldest stale', 'How long the oldest stale connection has been stale, at least. Reason idle is left out.', 's', 'max(%s)' % stale('tcphealth_stale_unit_oldest_seconds'), [3600, 86400], 'none'),
          lib.stat('Ports blind to dead peers', 'Ports with connections on which the kernel would never notice a dead peer.', 'short', 'count(%s == Inf)' % lib.of('tcphealth_peer_loss_detection_seconds')),
          lib.stat('Hosts monitored', 'Exporters that answer.', 'short', 'sum(%s)' % lib.of('up')),
          lib.stat('Hosts not monitored', 'Exporters that do not answer, or had no good sample in the last minutes. This dashboard lacks their connections, or shows old ones.', 'short', 'count(%s == 0 or max_over_time(%s[$__rate_interval]) == 0)' % [lib.of('up'), lib.of('tcphealth_sample_success')], [1]) + lib.toExporter,
        ],
      },
      {
        height: 9,
        panels: [
          lib.table(
            'Units to restart',
            'Stale connections by unit: how many, and how long the oldest has been stale, at least. An empty unit is not known. Click a port for details.',
            ['unit', 'reason', 'port', 'role', 'instance', 'netns'],
            [
              { name: 'Stale', unit: 'short', thresholds: [1, 20], expr: 'sum by (instance, netns, port, role, reason, unit) (%s)' % stale('tcphealth_stale_unit_connections') },
              { name: 'Oldest', unit: 's', expr: 'max by (instance, netns, port, role, reason, unit) (%s)' % stale('tcphealth_stale_unit_oldest_seconds') },
            ],
            { port: lib.toPort },
          ) + lib.orElse('No stale connections'),
          lib.table(
            'Alerts',
            'TCP health alerts that fire now, except those of severity info, and how long their condition has been true. The runbooks say how to fix it.',
            ['alertname', 'severity', 'port', 'role', 'instance'],
            [{
              name: 'For',
              unit: 's',
              expr: 'max by (%(labels)s) (time() - ALERTS_FOR_STATE{%(alerts)s}) and on (%(labels)s) max by (%(labels)s) (%(firing)s)'
                    % { labels: alertLabels, alerts: alerts, firing: firing },
            }],
            { alertname: lib.toRunbooks, port: lib.toPort },
          ) + lib.bySeverity + lib.orElse('No alert fires'),
        ],
      },
      {
        height: 9,
        panels: [
          lib.table(
            'Ports with problems',
            'Ports, by host and role, with stale connections, failed connects or listener drops in the last minutes. Click a port for details.',
            ['port', 'role', 'instance', 'netns'],
            [
              { name: 'Stale', unit: 'short', thresholds: [1, 20], expr: 'sum by (instance, netns, port, role) (%s) > 0' % lib.of('port:tcphealth_stale_connections:sum') },
              {
                name: 'Connections',
                unit: 'short',
                expr: 'sum by (instance, netns, port, role) (%s) and on (instance, netns, port, role) sum by (instance, netns, port, role) (%s) > 0' % [lib.of('tcphealth_connections', 'state!="time_wait"'), lib.of('port:tcphealth_stale_connections:sum')],
              },
              { name: 'Failed /s', unit: 'none', decimals: 2, thresholds: [0.001], expr: as('client', 'sum by (instance, netns, port) (%s) > 0' % lib.of('port:tcphealth_failed_connects:rate5m')) },
              { name: 'Dropped /s', unit: 'none', decimals: 2, thresholds: [0.001], expr: as('server', 'sum by (instance, netns, port) (%s) > 0' % lib.rate('tcphealth_listen_drops_total')) },
            ],
            { port: lib.toPort },
          ) + lib.orElse('No port has problems'),
          lib.timeseries('Stale connections by reason', 'Stale connections of all selected hosts. Reason idle is left out.', 'short', [
            lib.target('sum by (reason) (%s)' % stale('tcphealth_stale_connections'), '{{reason}}'),
          ], stack=true) + lib.byReason,
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Stale connections by host and port', 'The ten ports with most stale connections. Reason idle is left out.', 'short', [
            lib.target('topk(10, sum by (instance, port, role) (%s) > 0)' % lib.of('port:tcphealth_stale_connections:sum'), '{{instance}} {{role}} {{port}}'),
          ]) + lib.orElse('No stale connections'),
          lib.timeseries('Connections by state', 'All connections of the selected hosts. TIME_WAIT is normal and has its own axis on the right.', 'short', [
            lib.target('sum by (state) (%s)' % lib.of('tcphealth_connections'), '{{state}}'),
          ], stack=true) + lib.byState + lib.apartTimeWait,
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Failed connects per second', 'Connection attempts that failed, by host and port. Reasons no_route and abandoned are left out.', 'none', [
            lib.target('topk(10, sum by (instance, port) (%s) > 0)' % lib.of('port:tcphealth_failed_connects:rate5m'), '{{instance}} to {{port}}'),
          ]) + lib.orElse('No failed connects'),
          lib.timeseries('Listener drops per second', 'Connections that listeners turned away, by host and port.', 'none', [
            lib.target('topk(10, sum by (instance, port) (%s) > 0)' % lib.rate('tcphealth_listen_drops_total'), '{{instance}} {{port}}'),
          ]) + lib.orElse('No drops'),
          lib.timeseries('Retransmitted segments', 'Share of the sent segments that are retransmissions, by host.', 'percentunit', [
            lib.target('max by (instance) (%s)' % lib.of('instance:tcphealth_kernel_retransmitted_segments:ratio_rate5m'), '{{instance}}'),
          ]) + lib.decimals(1) + lib.thresholds([config.retransmissions.ratio]),
          lib.timeseries('Local ports used', 'Share of the local ports in use for one peer address; the ten highest.', 'percentunit', [
            lib.target('topk(10, max by (instance, port) (%s))' % lib.of('tcphealth_ephemeral_ports_used_ratio'), '{{instance}} to {{port}}'),
          ]) + lib.decimals(1) + lib.thresholds([config.ephemeralPorts.ratio, config.ephemeralPorts.pageRatio]),
        ],
      },
    ],
  )
