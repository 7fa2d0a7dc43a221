// One port: both sides, states, what is stuck, keepalive, queues, connects.
function(config, lib)
  local port(labels='') = 'port="$port"' + (if labels == '' then '' else ',' + labels);
  local sides = [{ role: 'server', name: 'server side' }, { role: 'client', name: 'client side' }];
  local bothSides(make) = [make(side) for side in sides];

  lib.dashboard(
    'tcphealth-port',
    'TCP health / Port',
    'One port on both sides: the hosts that serve it, and the hosts that connect to it.',
    [
      {
        height: 4,
        panels: [
          lib.stat('Connections, server side', 'Connections that hosts accepted on this port, without TIME_WAIT.', 'short', 'sum(%s)' % lib.of('tcphealth_connections', port('role="server",state!="time_wait"'))),
          lib.stat('Connections, client side', 'Connections that hosts opened to this port, without TIME_WAIT. It should be the same as on the server side where all hosts of both sides are chosen.', 'short', 'sum(%s)' % lib.of('tcphealth_connections', port('role="client",state!="time_wait"'))),
          lib.stat('Stuck', 'Connections that are stuck on either side, idle ones left out.', 'short', 'sum(%s)' % lib.of('tcphealth_stale_connections', port('reason!="idle"')), [1, 20]),
          lib.stat('Listeners', 'Sockets that listen on this port; gone where the last was closed while it was watched.', 'short', 'sum(%s)' % lib.of('tcphealth_listeners', port()), none='none') + lib.gone,
          lib.stat('Without keepalive', 'Established connections without keepalive, on either side.', 'short', 'sum(%s)' % lib.of('tcphealth_keepalive_connections', port('keepalive="off"'))),
          lib.stat('Dead peer noticed', 'After which time the kernel notices that a peer has vanished, at worst.', 's', 'max(%s)' % lib.of('tcphealth_peer_loss_detection_seconds', port()), none='no connection') + lib.never,
        ],
      },
      {
        height: 9,
        panels: bothSides(function(side) lib.timeseries('States, ' + side.name, 'Connections by TCP state, over the chosen hosts.', 'short', [
          lib.target('sum by (state) (%s)' % lib.of('tcphealth_connections', port('role="%s"' % side.role)), '{{state}}'),
        ], stack=true) + lib.byState + lib.apartTimeWait),
      },
      {
        height: 9,
        panels: [
          lib.table(
            'Stuck by reason and unit',
            'Who holds what is stuck on this port: how many, and how long the oldest has been stuck, at least. An empty unit is not known.',
            ['unit', 'reason', 'role', 'instance', 'netns'],
            [
              { name: 'Stuck', unit: 'short', limits: [1, 20], expr: 'sum by (instance, netns, role, reason, unit) (%s)' % lib.of('tcphealth_stale_unit_connections', port()) },
              { name: 'Oldest', unit: 's', expr: 'max by (instance, netns, role, reason, unit) (%s)' % lib.of('tcphealth_stale_unit_oldest_seconds', port()) },
            ],
          ) + lib.orElse('Nothing is stuck on this port') + lib.width(12),
        ] + bothSides(function(side) lib.timeseries('Stuck by reason, ' + side.name, 'Why connections are stuck, over the chosen hosts.', 'short', [
          lib.target('sum by (reason) (%s)' % lib.of('tcphealth_stale_connections', port('role="%s"' % side.role)), '{{reason}}'),
        ], stack=true) + lib.byReason),
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Two ends', 'Connections by host and side: what the clients hold, the servers should hold too.', 'short', [
            lib.target('sum by (instance, role) (%s)' % lib.of('tcphealth_connections', port('state!~"time_wait|syn_sent|syn_recv"')), '{{role}} {{instance}}'),
          ]),
          lib.timeseries('Oldest in its state', 'How long the connection longest in a state has been in it, at least.', 's', [
            lib.target('max by (state, role) (%s) > 0' % lib.of('tcphealth_oldest_state_age_seconds', port()), '{{role}} {{state}}'),
          ]) + lib.byState,
          lib.timeseries('Longest silence', 'Time since the most silent peer of an established connection was heard.', 's', [
            lib.target('max by (instance, role) (%s)' % lib.of('tcphealth_longest_silence_seconds', port()), '{{role}} {{instance}}'),
          ]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Keepalive cover', 'Established connections with and without keepalive; unknown while another timer hides it.', 'short', [
            lib.target('sum by (keepalive, role) (%s)' % lib.of('tcphealth_keepalive_connections', port()), '{{role}} {{keepalive}}'),
          ], stack=true),
          lib.timeseries('Unanswered keepalive probes', 'Probes without an answer now; one of a connection is normally just in flight.', 'short', [
            lib.target('sum by (instance, role) (%s)' % lib.of('tcphealth_unanswered_keepalive_probes', port()), '{{role}} {{instance}}'),
          ]),
          lib.timeseries('Retransmitted segments', 'Part of the segments that had to be sent again.', 'percentunit', [
            lib.target('max by (instance, role) (%s)' % lib.of('port:tcphealth_retransmitted_segments:ratio_rate5m', port()), '{{role}} {{instance}}'),
          ]) + lib.decimals(1) + lib.limits([config.retransmissions.ratio]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Accept queue', 'Connections that wait to be accepted, and how many may.', 'short', [
            lib.target('sum by (instance) (%s)' % lib.of('tcphealth_listen_queue_length', port()), 'waiting {{instance}}'),
            lib.target('sum by (instance) (%s)' % lib.of('tcphealth_listen_queue_limit', port()), 'limit {{instance}}'),
          ]) + lib.orElse('Nobody listens'),
          lib.timeseries('Accept queue, fullest listener', 'At 100 % the kernel drops new connections.', 'percentunit', [
            lib.target('max by (instance) (%s)' % lib.of('tcphealth_listen_queue_saturation_ratio', port()), '{{instance}}'),
          ]) + lib.limits([config.acceptQueue.saturation, 1]) + lib.orElse('Nobody listens'),
          lib.timeseries('Listener drops a second', 'What the listeners dropped, for any cause.', 'none', [
            lib.target('sum by (instance) (%s)' % lib.rate('tcphealth_listen_drops_total', port()), '{{instance}}'),
          ]) + lib.orElse('Nobody listens'),
          lib.timeseries('Data waiting', 'Bytes received and not read, and bytes written and not acknowledged.', 'bytes', [
            lib.target('sum by (role) (%s)' % lib.of('tcphealth_receive_queue_bytes', port()), '{{role}} unread'),
            lib.target('sum by (role) (%s)' % lib.of('tcphealth_send_queue_bytes', port()), '{{role}} unsent'),
          ]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Opened and closed a second', 'Connections that became established, and those of them that ended.', 'none', [
            lib.target('sum by (role) (%s)' % lib.rate('tcphealth_opened_connections_total', port()), '{{role}} opened'),
            lib.target('sum by (role) (%s)' % lib.rate('tcphealth_closed_connections_total', port()), '{{role}} closed'),
          ]),
          lib.timeseries('Failed connects a second', 'Attempts to connect that never got established, by reason.', 'none', [
            lib.target('sum by (instance, reason) (%s)' % lib.rate('tcphealth_failed_connects_total', port()), '{{reason}} {{instance}}'),
          ]) + lib.orElse('No connect failed'),
          lib.timeseries('Bytes', 'Bytes acknowledged by the peers, and received.', 'Bps', [
            lib.target('round(sum by (role) (%s))' % lib.rate('tcphealth_sent_bytes_total', port()), '{{role}} sent'),
            lib.target('round(sum by (role) (%s))' % lib.rate('tcphealth_received_bytes_total', port()), '{{role}} received'),
          ]),
          lib.timeseries('Local ports used', 'Part of the local ports in use towards one address.', 'percentunit', [
            lib.target('max by (instance) (%s)' % lib.of('tcphealth_ephemeral_ports_used_ratio', port()), '{{instance}}'),
          ]) + lib.decimals(1) + lib.limits([config.ephemeralPorts.ratio, config.ephemeralPorts.pageRatio]) + lib.orElse('No client here'),
        ],
      },
    ],
    [lib.variables.port],
  )
