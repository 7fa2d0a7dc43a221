// Which host and port hurts, and who to restart.
function(config, lib)
  local alerts = 'alertname=~"TCPHealth.*",severity!="info",instance=~"$instance|"';
  local firing = 'ALERTS{alertstate="firing",%s}' % alerts;
  local alertLabels = 'alertname, severity, instance, port, role';
  local stuck(metric) = lib.of(metric, 'reason!="idle"');
  local as(role, expr) = 'label_replace(%s, "role", "%s", "", "")' % [expr, role];

  lib.dashboard(
    'tcphealth-overview',
    'TCP health / Overview',
    'Which host and port hurts, who holds what is stuck, and what fails.',
    [
      {
        height: 4,
        panels: [
          lib.stat('Alerts that fire', 'Alerts of TCP health that fire now, but information.', 'short', 'count(%s)' % firing, [1]),
          lib.stat('Stuck connections', 'Connections that have been stuck for longer than the threshold of their reason, without those that are merely idle.', 'short', 'sum(%s)' % stuck('tcphealth_stale_connections'), [1, 20]),
          lib.stat('Stuck for', 'How long the connection has been stuck that is stuck longest, at least; idle ones left out.', 's', 'max(%s)' % stuck('tcphealth_stale_unit_oldest_seconds'), [3600, 86400], 'nothing'),
          lib.stat('Ports that nobody guards', 'Ports with connections whose dead peer the kernel would never notice.', 'short', 'count(%s == Inf)' % lib.of('tcphealth_peer_loss_detection_seconds')),
          lib.stat('Hosts watched', 'Exporters that answer.', 'short', 'sum(%s)' % lib.of('up')),
          lib.stat('Hosts not seen', 'Exporters that do not answer, or had no good sample in the last minutes: what you see here is without their connections, or old.', 'short', 'count(%s == 0 or max_over_time(%s[$__rate_interval]) == 0)' % [lib.of('up'), lib.of('tcphealth_sample_success')], [1]) + lib.toExporter,
        ],
      },
      {
        height: 9,
        panels: [
          lib.table(
            'Who to restart',
            'Stuck connections by the unit that holds them: how many, and how long the oldest has been stuck, at least. An empty unit is not known. The port leads to its details.',
            ['unit', 'reason', 'port', 'role', 'instance', 'netns'],
            [
              { name: 'Stuck', unit: 'short', limits: [1, 20], expr: 'sum by (instance, netns, port, role, reason, unit) (%s)' % stuck('tcphealth_stale_unit_connections') },
              { name: 'Oldest', unit: 's', expr: 'max by (instance, netns, port, role, reason, unit) (%s)' % stuck('tcphealth_stale_unit_oldest_seconds') },
            ],
            { port: lib.toPort },
          ) + lib.orElse('Nothing is stuck'),
          lib.table(
            'What fires',
            'Alerts of TCP health that fire now, but information, and for how long their condition has held. The runbooks tell what to do.',
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
            'Where it hurts',
            'Ports by host and side on which connections are stuck, or connects fail, or listeners drop, in the last minutes. The port leads to its details.',
            ['port', 'role', 'instance', 'netns'],
            [
              { name: 'Stuck', unit: 'short', limits: [1, 20], expr: 'sum by (instance, netns, port, role) (%s) > 0' % lib.of('port:tcphealth_stale_connections:sum') },
              {
                name: 'Connections',
                unit: 'short',
                expr: 'sum by (instance, netns, port, role) (%s) and on (instance, netns, port, role) sum by (instance, netns, port, role) (%s) > 0' % [lib.of('tcphealth_connections', 'state!="time_wait"'), lib.of('port:tcphealth_stale_connections:sum')],
              },
              { name: 'Failed /s', unit: 'none', decimals: 2, limits: [0.001], expr: as('client', 'sum by (instance, netns, port) (%s) > 0' % lib.of('port:tcphealth_failed_connects:rate5m')) },
              { name: 'Dropped /s', unit: 'none', decimals: 2, limits: [0.001], expr: as('server', 'sum by (instance, netns, port) (%s) > 0' % lib.rate('tcphealth_listen_drops_total')) },
            ],
            { port: lib.toPort },
          ) + lib.orElse('Nothing hurts'),
          lib.timeseries('Stuck connections by reason', 'Why connections are stuck, over all chosen hosts; idle ones left out.', 'short', [
            lib.target('sum by (reason) (%s)' % stuck('tcphealth_stale_connections'), '{{reason}}'),
          ], stack=true) + lib.byReason,
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Stuck connections by host and port', 'The ten ports with most stuck connections, idle ones left out.', 'short', [
            lib.target('topk(10, sum by (instance, port, role) (%s) > 0)' % lib.of('port:tcphealth_stale_connections:sum'), '{{instance}} {{role}} {{port}}'),
          ]) + lib.orElse('Nothing is stuck'),
          lib.timeseries('Connections by state', 'All connections of the chosen hosts; those in TIME_WAIT, which is normal, on the axis at the right.', 'short', [
            lib.target('sum by (state) (%s)' % lib.of('tcphealth_connections'), '{{state}}'),
          ], stack=true) + lib.byState + lib.apartTimeWait,
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Failed connects a second', 'Attempts to connect that were refused or not answered, by host and port.', 'none', [
            lib.target('topk(10, sum by (instance, port) (%s) > 0)' % lib.of('port:tcphealth_failed_connects:rate5m'), '{{instance}} to {{port}}'),
          ]) + lib.orElse('No connect fails'),
          lib.timeseries('Listener drops a second', 'What listeners dropped, for any cause, by host and port.', 'none', [
            lib.target('topk(10, sum by (instance, port) (%s) > 0)' % lib.rate('tcphealth_listen_drops_total'), '{{instance}} {{port}}'),
          ]) + lib.orElse('No listener drops'),
          lib.timeseries('Retransmitted segments', 'Part of the segments that had to be sent again, by host.', 'percentunit', [
            lib.target('max by (instance) (%s)' % lib.of('instance:tcphealth_kernel_retransmitted_segments:ratio_rate5m'), '{{instance}}'),
          ]) + lib.decimals(1) + lib.limits([config.retransmissions.ratio]),
          lib.timeseries('Local ports used', 'Part of the local ports in use towards one address, the ten fullest.', 'percentunit', [
            lib.target('topk(10, max by (instance, port) (%s))' % lib.of('tcphealth_ephemeral_ports_used_ratio'), '{{instance}} to {{port}}'),
          ]) + lib.decimals(1) + lib.limits([config.ephemeralPorts.ratio, config.ephemeralPorts.pageRatio]),
        ],
      },
    ],
  )
