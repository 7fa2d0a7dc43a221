// Which host and port hurts, and who to restart.
function(config, lib) lib.dashboard(
  'tcphealth-overview',
  'TCP health / Overview',
  'Which host and port hurts, who holds what is stuck, and what fails.',
  [
    {
      height: 4,
      panels: [
        lib.stat('Alerts that fire', 'Alerts of TCP health that fire now, but information.', 'short', 'count(ALERTS{alertname=~"TCPHealth.*",alertstate="firing",severity!="info",instance=~"$instance|"})', [1]),
        lib.stat('Stuck connections', 'Connections that have been stuck for longer than the threshold of their reason, without those that are merely idle.', 'short', 'sum(%s)' % lib.of('tcphealth_stale_connections', 'reason!="idle"'), [1, 20]),
        lib.stat('Stuck for longest', 'How long the connection has been stuck that is stuck longest, at least; idle ones left out.', 's', 'max(%s)' % lib.of('tcphealth_stale_unit_oldest_seconds', 'reason!="idle"'), [3600, 86400]),
        lib.stat('Ports that nobody guards', 'Ports with connections whose dead peer the kernel would never notice.', 'short', 'count(%s == Inf)' % lib.of('tcphealth_peer_loss_detection_seconds')),
        lib.stat('Hosts watched', 'Exporters that answer.', 'short', 'sum(%s)' % lib.of('up')),
        lib.stat('Hosts not seen', 'Exporters that do not answer or whose samples fail.', 'short', 'count(%s == 0 or %s == 0)' % [lib.of('up'), lib.of('tcphealth_sample_success')], [1]),
      ],
    },
    {
      height: 10,
      panels: [
        lib.table(
          'Who to restart',
          'Stuck connections by the unit that holds them: how many, and how long the oldest has been stuck, at least. An empty unit is not known.',
          'short',
          [
            'sum by (instance, netns, port, role, reason, unit) (%s)' % lib.of('tcphealth_stale_unit_connections'),
            'max by (instance, netns, port, role, reason, unit) (%s)' % lib.of('tcphealth_stale_unit_oldest_seconds'),
          ],
          ['Stuck', 'Oldest'],
          { Oldest: 's' },
          lib.toPort,
        ),
        lib.table(
          'Where it hurts',
          'Ports by host and side: connections that are stuck, all connections, and failed attempts to connect a second.',
          'short',
          [
            'sum by (instance, netns, port, role) (%s) > 0' % lib.of('tcphealth_stale_connections', 'reason!="idle"'),
            'sum by (instance, netns, port, role) (%s) > 0' % lib.of('tcphealth_connections', 'state!="time_wait"'),
          ],
          ['Stuck', 'Connections'],
          {},
          lib.toPort,
        ),
      ],
    },
    {
      height: 9,
      panels: [
        lib.timeseries('Stuck connections by reason', 'Why connections are stuck, over all chosen hosts.', 'short', [
          lib.target('sum by (reason) (%s)' % lib.of('tcphealth_stale_connections'), '{{reason}}'),
        ], stack=true),
        lib.timeseries('Stuck connections by host and port', 'The ten ports with most stuck connections, idle ones left out.', 'short', [
          lib.target('topk(10, sum by (instance, port, role) (%s) > 0)' % lib.of('port:tcphealth_stale_connections:sum'), '{{instance}} {{role}} {{port}}'),
        ]),
        lib.timeseries('Connections by state', 'All connections of the chosen hosts.', 'short', [
          lib.target('sum by (state) (%s)' % lib.of('tcphealth_connections'), '{{state}}'),
        ], stack=true),
      ],
    },
    {
      height: 9,
      panels: [
        lib.timeseries('Failed connects', 'Attempts to connect that were refused or not answered, by host and port.', 'cps', [
          lib.target('topk(10, sum by (instance, port) (%s) > 0)' % lib.of('port:tcphealth_failed_connects:rate5m'), '{{instance}} {{port}}'),
        ]),
        lib.timeseries('Listener drops', 'What listeners dropped, for any cause, by host and port.', 'pps', [
          lib.target('topk(10, sum by (instance, port) (%s) > 0)' % lib.rate('tcphealth_listen_drops_total'), '{{instance}} {{port}}'),
        ]),
        lib.timeseries('Retransmitted segments', 'Part of the segments that had to be sent again, by host.', 'percentunit', [
          lib.target('max by (instance) (%s)' % lib.of('instance:tcphealth_kernel_retransmitted_segments:ratio_rate5m'), '{{instance}}'),
        ]),
        lib.timeseries('Local ports used', 'Part of the local ports in use towards one address, the ten fullest.', 'percentunit', [
          lib.target('topk(10, max by (instance, port) (%s))' % lib.of('tcphealth_ephemeral_ports_used_ratio'), '{{instance}} {{port}}'),
        ]),
      ],
    },
  ],
)
