// One port in both roles: states, stale connections, keepalive, queues, connects.
function(config, lib)
  local port(labels='') = 'port="$port"' + (if labels == '' then '' else ',' + labels);
  local inEachRole(make) = [make(role) for role in ['server', 'client']];

  lib.dashboard(
    'tcphealth-port',
    'TCP health / Port',
    'One port in both roles: the hosts that serve it, and the hosts that connect to it.',
    [
      {
        height: 4,
        panels: [
          lib.stat('Connections as server', 'Connections that hosts accepted on this port, without TIME_WAIT.', 'short', 'sum(%s)' % lib.of('tcphealth_connections', port('role="server",state!="time_wait"'))),
          lib.stat('Connections as client', 'Connections that hosts opened to this port, without TIME_WAIT. If all servers and clients are selected, it should equal the number as server.', 'short', 'sum(%s)' % lib.of('tcphealth_connections', port('role="client",state!="time_wait"'))),
          lib.stat('Stale', 'Stale connections in both roles. Reason idle is left out.', 'short', 'sum(%s)' % lib.of('tcphealth_stale_connections', port('reason!="idle"')), [1, 20]),
          lib.stat('Listeners', 'Listeners on this port; "gone" if the exporter saw the last one close.', 'short', 'sum(%s)' % lib.of('tcphealth_listeners', port()), none='none') + lib.gone,
          lib.stat('Without keepalive', 'Established connections without keepalive, in both roles.', 'short', 'sum(%s)' % lib.of('tcphealth_keepalive_connections', port('keepalive="off"'))),
          lib.stat('Dead peer noticed after', 'Time until the kernel notices a vanished peer, at worst.', 's', 'max(%s)' % lib.of('tcphealth_peer_loss_detection_seconds', port()), none='no connection') + lib.never,
        ],
      },
      {
        height: 9,
        panels: inEachRole(function(role) lib.timeseries('States as ' + role, 'Connections by TCP state, over the selected hosts.', 'short', [
          lib.target('sum by (state) (%s)' % lib.of('tcphealth_connections', port('role="%s"' % role)), '{{state}}'),
        ], stack=true) + lib.byState + lib.apartTimeWait),
      },
      {
        height: 9,
        panels: [
          lib.table(
            'Stale by reason and unit',
            'Stale connections on this port by unit: how many, and how long the oldest has been stale, at least. An empty unit is not known.',
            ['unit', 'reason', 'role', 'instance', 'netns'],
            [
              { name: 'Stale', unit: 'short', thresholds: [1, 20], expr: 'sum by (instance, netns, role, reason, unit) (%s)' % lib.of('tcphealth_stale_unit_connections', port()) },
              { name: 'Oldest', unit: 's', expr: 'max by (instance, netns, role, reason, unit) (%s)' % lib.of('tcphealth_stale_unit_oldest_seconds', port()) },
            ],
          ) + lib.orElse('No stale connections on this port') + lib.width(12),
        ] + inEachRole(function(role) lib.timeseries('Stale by reason as ' + role, 'Stale connections by reason, over the selected hosts.', 'short', [
          lib.target('sum by (reason) (%s)' % lib.of('tcphealth_stale_connections', port('role="%s"' % role)), '{{reason}}'),
        ], stack=true) + lib.byReason),
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Both ends', 'Connections by host and role: the servers should have as many as the clients.', 'short', [
            lib.target('sum by (instance, role) (%s)' % lib.of('tcphealth_connections', port('state!~"time_wait|syn_sent|syn_recv"')), '{{role}} {{instance}}'),
          ]),
          lib.timeseries('Oldest by state', 'How long the oldest connection in each state has been in it, at least.', 's', [
            lib.target('max by (state, role) (%s) > 0' % lib.of('tcphealth_oldest_state_age_seconds', port()), '{{role}} {{state}}'),
          ]) + lib.byState,
          lib.timeseries('Longest silence', 'Time since the last segment from the most silent peer of an established connection.', 's', [
            lib.target('max by (instance, role) (%s)' % lib.of('tcphealth_longest_silence_seconds', port()), '{{role}} {{instance}}'),
          ]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Keepalive', 'Established connections with and without keepalive; unknown while another timer hides it.', 'short', [
            lib.target('sum by (keepalive, role) (%s)' % lib.of('tcphealth_keepalive_connections', port()), '{{role}} {{keepalive}}'),
          ], stack=true),
          lib.timeseries('Unanswered keepalive probes', 'Probes without an answer so far. One probe per connection is normally in flight.', 'short', [
            lib.target('sum by (instance, role) (%s)' % lib.of('tcphealth_unanswered_keepalive_probes', port()), '{{role}} {{instance}}'),
          ]),
          lib.timeseries('Retransmitted segments', 'Share of the sent segments that are retransmissions.', 'percentunit', [
            lib.target('max by (instance, role) (%s)' % lib.of('port:tcphealth_retransmitted_segments:ratio_rate5m', port()), '{{role}} {{instance}}'),
          ]) + lib.decimals(1) + lib.thresholds([config.retransmissions.ratio]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Accept queue', 'Connections that wait to be accepted, and the maximum.', 'short', [
            lib.target('sum by (instance) (%s)' % lib.of('tcphealth_listen_queue_length', port()), 'waiting {{instance}}'),
            lib.target('sum by (instance) (%s)' % lib.of('tcphealth_listen_queue_limit', port()), 'limit {{instance}}'),
          ]) + lib.orElse('No listener'),
          lib.timeseries('Accept queue of the fullest listener', 'At 100 %, the kernel drops new connections.', 'percentunit', [
            lib.target('max by (instance) (%s)' % lib.of('tcphealth_listen_queue_saturation_ratio', port()), '{{instance}}'),
          ]) + lib.thresholds([config.acceptQueue.saturation, 1]) + lib.orElse('No listener'),
          lib.timeseries('Listener drops per second', 'Connections that listeners turned away.', 'none', [
            lib.target('sum by (instance) (%s)' % lib.rate('tcphealth_listen_drops_total', port()), '{{instance}}'),
          ]) + lib.orElse('No listener'),
          lib.timeseries('Data waiting', 'Bytes received but not read, and bytes written but not acknowledged.', 'bytes', [
            lib.target('sum by (role) (%s)' % lib.of('tcphealth_receive_queue_bytes', port()), '{{role}} unread'),
            lib.target('sum by (role) (%s)' % lib.of('tcphealth_send_queue_bytes', port()), '{{role}} unacknowledged'),
          ]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Opened and closed per second', 'Connections that were established, and established connections that ended.', 'none', [
            lib.target('sum by (role) (%s)' % lib.rate('tcphealth_opened_connections_total', port()), '{{role}} opened'),
            lib.target('sum by (role) (%s)' % lib.rate('tcphealth_closed_connections_total', port()), '{{role}} closed'),
          ]),
          lib.timeseries('Failed connects per second', 'Connection attempts that failed, by reason.', 'none', [
            lib.target('sum by (instance, reason) (%s)' % lib.rate('tcphealth_failed_connects_total', port()), '{{reason}} {{instance}}'),
          ]) + lib.orElse('No failed connects'),
          lib.timeseries('Bytes per second', 'Bytes acknowledged by the peers, and bytes received.', 'Bps', [
            lib.target('round(sum by (role) (%s))' % lib.rate('tcphealth_sent_bytes_total', port()), '{{role}} sent'),
            lib.target('round(sum by (role) (%s))' % lib.rate('tcphealth_received_bytes_total', port()), '{{role}} received'),
          ]),
          lib.timeseries('Local ports used', 'Share of the local ports in use for one peer address.', 'percentunit', [
            lib.target('max by (instance) (%s)' % lib.of('tcphealth_ephemeral_ports_used_ratio', port()), '{{instance}}'),
          ]) + lib.decimals(1) + lib.thresholds([config.ephemeralPorts.ratio, config.ephemeralPorts.pageRatio]) + lib.orElse('No clients'),
        ],
      },
    ],
    [lib.variables.port],
  )
