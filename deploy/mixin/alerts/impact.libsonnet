// What hurts, or is about to: connects that fail, listeners that drop, segments that are lost, ports that run out.
function(config, lib) {
  local failed(labels) = 'sum without (reason) (%s)' % lib.increase(lib.ofPort('tcphealth_failed_connects_total', labels), config.connects.window),
  local succeeded = lib.increase(lib.ofPort('tcphealth_opened_connections_total', 'role="client"'), config.connects.window),

  local failing(alert, reason, summary, what, now) = lib.alert(
    alert,
    'ticket',
    config.connects.hold,
    '%s >= %d\nunless\nsum without (role) (%s) > %g * %s' % [
      failed('reason="%s"' % reason),
      config.connects.count,
      succeeded,
      1 / config.connects.share - 1,
      failed('reason="%s"' % reason),
    ],
    summary,
    [
      '%s, %s: %s connects in %s %s' % [lib.host, lib.portOf.client, lib.value, config.connects.window, what],
      lib.owners('.+', role='client', otherwise='Which unit tries is not known: none of its connections to this port is stuck now.'),
      'Confirm: %s; journalctl -p err --since -15min shows who complains.' % lib.ss('', role='client'),
      'Now: ' + now,
    ],
  ),

  // A port of which the kernel told nothing is compared with all connects of the host.
  local nothingGetsThrough = lib.alert(
    'TCPHealthNoConnectSucceeds',
    'page',
    config.connects.pageHold,
    |||
      (
        %s >= %d
        unless
        sum without (role) (%s) > 0
      )
      or
      (
        %s >= %d
        unless on (job, instance, netns)
        sum without (role, port) (%s) > 0
      )
    ||| % [
      failed('reason=~"refused|timeout",port!="unknown"'),
      config.connects.count,
      succeeded,
      failed('reason=~"refused|timeout",port="unknown"'),
      config.connects.count,
      succeeded,
    ],
    'Every attempt of a host to connect to a port fails.',
    [
      '%s, %s: %s connects were refused or not answered in %s, and not one succeeded.' % [lib.host, lib.portOf.client, lib.value, config.connects.window],
      '{{ range printf `sum by (reason) (increase(tcphealth_failed_connects_total{job=%q,instance=%q,netns=%q,port=%q}[' + config.connects.window + '])) > 0` $labels.job $labels.instance $labels.netns $labels.port | query | sortByLabel "reason" }}{{ .Labels.reason }}: {{ .Value | printf "%.0f" }}. {{ end }}'
      + lib.owners('.+', role='client', otherwise='Which unit tries is not known.'),
      '{{ if eq $labels.port "unknown" }}Confirm: the kernel did not tell the port; journalctl -p err --since -15min names it{{ else }}Confirm: %s shows the addresses; then nc -vz ADDRESS {{ $labels.port }}{{ end }}' % lib.ss('', role='client'),
      'Now: "refused" means that the host answers and nobody listens there: systemctl status of the service on that host, and restart it. "timeout" means that nobody answers: is the host up, does a packet filter drop, is its accept queue full?',
    ],
  ),

  local listeners(alert, severity, hold, expr, summary, what, now) = lib.alert(
    alert,
    severity,
    hold,
    expr,
    summary,
    [
      '%s, %s: %s' % [lib.host, lib.portOf.server, what],
      lib.listeners + ' ' + lib.owners('unaccepted', role='server', otherwise='None has waited for long.'),
      'Confirm: ' + lib.ssListeners + ' (Recv-Q is the queue, Send-Q its limit); nstat -az TcpExtListenOverflows',
      'Now: ' + now,
    ],
  ),

  local dropped = lib.increase(lib.ofPort('tcphealth_listen_drops_total'), config.listenDrops.window),
  local accepted = 'sum without (role) (%s)' % lib.increase(lib.ofPort('tcphealth_opened_connections_total', 'role="server"'), config.listenDrops.window),
  // Duplicate SYNs are drops of a listener too, but not in the kernel's own count.
  local turnedAway = lib.increase(lib.of('tcphealth_kernel_listen_drops_total'), config.listenDrops.window),

  local retransmitted = lib.increase(lib.ofPort('tcphealth_retransmitted_segments_total'), config.retransmissions.window),
  local sent = lib.increase(lib.ofPort('tcphealth_sent_segments_total'), config.retransmissions.window),

  local ephemeral(alert, severity, hold, ratio, summary, what) = lib.alert(
    alert,
    severity,
    hold,
    '%s >= %g' % [lib.median(lib.ofPort('tcphealth_ephemeral_ports_used_ratio'), config.ephemeralPorts.window), ratio],
    summary,
    [
      '%s, %s: %s of the local ports towards one address are in use. %s' % [lib.host, lib.portOf.client, lib.percent, what],
      lib.owners('.+', role='client', otherwise='No stuck connection holds them: look at TIME_WAIT.'),
      'Confirm: ss -tan \'dport = :{{ $labels.port }}\' | cut -d" " -f1 | sort | uniq -c; sysctl net.ipv4.ip_local_port_range',
      'Now: mostly TIME_WAIT: sysctl -w net.ipv4.tcp_tw_reuse=1 and a wider net.ipv4.ip_local_port_range help at once. Mostly ESTABLISHED or CLOSE_WAIT: %s.' % lib.restart,
    ],
  ),

  name: 'tcphealth-impact',
  rules: [
    nothingGetsThrough,
    failing(
      'TCPHealthConnectsRefused',
      'refused',
      'Connects are refused: nobody listens where a program wants to connect to.',
      'were refused: the other host answers, and nobody listens there.',
      'start the service again on the other host: systemctl status SERVICE there.',
    ),
    failing(
      'TCPHealthConnectsTimingOut',
      'timeout',
      'Connects get no answer at all.',
      'got no answer, although the SYN was sent again.',
      'is the other host up, does a packet filter drop, is its accept queue full (TCPHealthListenerDropping there)?',
    ),
    listeners(
      'TCPHealthAcceptQueueSaturated',
      'ticket',
      config.acceptQueue.hold,
      '%s >= %g' % [lib.median(lib.ofPort('tcphealth_listen_queue_saturation_ratio'), config.acceptQueue.window), config.acceptQueue.saturation],
      'An accept queue is nearly full: the program does not accept fast enough.',
      'the accept queue of the fullest listener is %s full. When it is full the kernel drops new connections.' % lib.percent,
      'if it hangs, systemctl restart the unit that listens; if it is merely slow, take load from it.',
    ),
    listeners(
      'TCPHealthListenerDropping',
      'page',
      config.listenDrops.hold,
      '%s >= %d\nunless\n%s > %g * %s\nand on (job, instance, netns)\n%s > 0' % [
        dropped,
        config.listenDrops.count,
        accepted,
        1 / config.listenDrops.share - 1,
        dropped,
        turnedAway,
      ],
      'A listener turns connections away because its queue is full.',
      '%s packets of new connections were dropped in %s, and the kernel counts connections turned away: clients wait, and then time out.' % [lib.value, config.listenDrops.window],
      'if it hangs or is out of descriptors, systemctl restart the unit that listens; if it is merely slow, take load from it, and give it a longer queue (backlog and net.core.somaxconn).',
    ),
    lib.alert(
      'TCPHealthRetransmissionsHigh',
      'ticket',
      config.retransmissions.hold,
      '%s / %s > %g\nand\n%s >= %d' % [retransmitted, sent, config.retransmissions.ratio, sent, config.retransmissions.segments],
      'Many segments have to be sent again: the path to the peers loses them.',
      [
        '%s, %s: %s of the segments were sent again in the last %s.' % [lib.host, lib.portOf.label, lib.percent, config.retransmissions.window],
        lib.owners('keepalive|retransmit', otherwise='No connection of the port has lost its peer.'),
        'Confirm: %s | grep -B1 retrans shows the peers; ip -s link shows errors and drops of the interfaces.' % lib.ss('-i state established'),
        'Now: one peer: look at that path. All peers: look at the interface, the switch and the load of this host. No restart helps.',
      ],
    ),
    ephemeral(
      'TCPHealthEphemeralPortsRunningOut',
      'ticket',
      config.ephemeralPorts.hold,
      config.ephemeralPorts.ratio,
      'The local ports for connections to one address are running out.',
      'When all are used connect() fails with EADDRNOTAVAIL.',
    ),
    ephemeral(
      'TCPHealthEphemeralPortsExhausted',
      'page',
      config.ephemeralPorts.pageHold,
      config.ephemeralPorts.pageRatio,
      'No local port is left for connections to one address: connects fail.',
      'connect() fails with EADDRNOTAVAIL, or is about to.',
    ),
  ],
}
