// What users feel, now or soon: failed connects, listener drops, lost segments, exhausted local ports.
function(config, lib) {
  local failing(alert, reason, summary, what, fix) = lib.alert(
    alert,
    'ticket',
    config.connects.hold,
    lib.failing('reason=~"%s"' % reason, '>= %d' % config.connects.count),
    summary,
    [
      '%s, %s: %s connection attempts in %s %s' % [lib.host, lib.portOf.client, lib.value, config.connects.window, what],
      lib.units('.+', role='client', otherwise='The unit that connects is not known: it has no stale connections to this port.'),
      'Confirm: %s; journalctl -p err --since -15min shows which programs log errors.' % lib.ss('', role='client'),
      'Fix: ' + fix,
    ],
  ),

  // If the kernel did not report the port of a failure, it is compared with all connects of the host.
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
      lib.failed(config.connects.reasons + ',port!="unknown"'),
      config.connects.count,
      lib.succeeded,
      lib.failed(config.connects.reasons + ',port="unknown"'),
      config.connects.count,
      lib.succeeded,
    ],
    'Every attempt to connect from a host to a port fails.',
    [
      '%s, %s: %s connection attempts in %s failed, and not one succeeded.' % [lib.host, lib.portOf.client, lib.value, config.connects.window],
      '{{ range printf `sum by (reason) (increase(tcphealth_failed_connects_total{job=%q,instance=%q,netns=%q,port=%q}[' + config.connects.window + '])) > 0` $labels.job $labels.instance $labels.netns $labels.port | query | sortByLabel "reason" }}{{ .Labels.reason }}: {{ .Value | printf "%.0f" }}. {{ end }}'
      + lib.units('.+', role='client', otherwise='The unit that connects is not known.'),
      '{{ if eq $labels.port "unknown" }}Confirm: the kernel did not report the port; look for it in journalctl -p err --since -15min{{ else }}Confirm: %s shows the addresses; then nc -vz ADDRESS {{ $labels.port }}{{ end }}' % lib.ss('', role='client'),
      'Fix: "refused" means that nothing listens on the port, or that a firewall rejects it: start the service there. "timeout" means nothing answers: is the host up, does a firewall drop packets, is its accept queue full? "unreachable" means that the SYN did not leave this host: ip neigh shows whether the peer is on this network. "no_local_port" means that all local ports are taken: reuse connections.',
    ],
  ),

  local listeners(alert, severity, hold, expr, summary, what, fix) = lib.alert(
    alert,
    severity,
    hold,
    expr,
    summary,
    [
      '%s, %s: %s' % [lib.host, lib.portOf.server, what],
      lib.listeners + ' ' + lib.units('unaccepted', role='server', otherwise='No connection has waited for long.'),
      'Confirm: ' + lib.ssListeners + ' (Recv-Q is the queue length, Send-Q its limit); nstat -az TcpExtListenOverflows',
      'Fix: ' + fix,
    ],
  ),

  local drops(port) = lib.increase(lib.ofPort('tcphealth_listen_drops_total', port), config.listenDrops.window),
  local dropped = drops('port!="unknown"'),
  // The listener is not known: compared with all that the namespace accepts.
  local lost = drops('port="unknown"'),
  local accepted = 'sum without (role) (%s)' % lib.increase(lib.ofPort('tcphealth_opened_connections_total', 'role="server"'), config.listenDrops.window),
  // Which queue was full, if one was: the kernel counts that by network namespace.
  local fullQueue(metric, sentence) =
    '{{ if printf `increase(%s{job=%%q,instance=%%q,netns=%%q}[%s]) > 0` $labels.job $labels.instance $labels.netns | query }} %s{{ end }}' % [metric, config.listenDrops.window, sentence],

  local retransmitted = lib.increase(lib.ofPort('tcphealth_retransmitted_segments_total'), config.retransmissions.window),
  local sent = lib.increase(lib.ofPort('tcphealth_sent_segments_total'), config.retransmissions.window),

  // A program may have a range of its own, which only its failures tell of.
  local noLocalPort = lib.failed('reason="no_local_port"'),

  local ephemeral(alert, severity, hold, ratio, summary, what, orElse='') = lib.alert(
    alert,
    severity,
    hold,
    '%s >= %g%s' % [lib.median(lib.ofPort('tcphealth_ephemeral_ports_used_ratio'), config.ephemeralPorts.window), ratio, orElse],
    summary,
    [
      '%s, %s: {{ if le $value 1.0 }}connect() can no longer take %s of the local ports towards one peer address.{{ else }}%s connection attempts in %s found no local port.{{ end }} %s' % [lib.host, lib.portOf.client, lib.percent, lib.value, config.connects.window, what],
      lib.units(lib.cured('client'), role='client', otherwise='No stale connection that a program here should close uses them: look at TIME_WAIT, and at programs that bind before they connect.'),
      'Confirm: ' + lib.inNamespace + 'ss -tan{{ if match "^[0-9]+$" $labels.port }} \'dport = :{{ $labels.port }}\'{{ end }} | cut -d" " -f1 | sort | uniq -c; ' + lib.inNamespace + 'sysctl net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports',
      'Fix: if most are in TIME_WAIT, sysctl -w net.ipv4.tcp_tw_reuse=1 and a wider net.ipv4.ip_local_port_range help at once. {{ if $units }}If the stale ones are many, %s.{{ else }}If most are ESTABLISHED, the program needs fewer, or more addresses.{{ end }}' % lib.restart,
    ],
  ),

  name: 'tcphealth-impact',
  rules: [
    nothingGetsThrough,
    failing(
      'TCPHealthConnectsRefused',
      'refused',
      'Connection attempts are refused: nothing listens on the port.',
      'were refused: nothing listens there, or a firewall rejects it.',
      'start the service on the other host; systemctl status SERVICE there shows why it ended.',
    ),
    failing(
      'TCPHealthConnectsTimingOut',
      'timeout|unreachable',
      'Connection attempts time out: nothing answers.',
      'got no answer, although the kernel sent the SYN again, or did not leave this host (unreachable).',
      'is the other host up, does a firewall drop packets, is its accept queue full (TCPHealthListenerDropping there)?',
    ),
    listeners(
      'TCPHealthAcceptQueueSaturated',
      'ticket',
      config.acceptQueue.hold,
      '%s >= %g' % [lib.median(lib.ofPort('tcphealth_listen_queue_saturation_ratio'), config.acceptQueue.window), config.acceptQueue.saturation],
      'An accept queue is nearly full: the program accepts too slowly.',
      'the accept queue of the fullest listener is %s full. Once it is full, the kernel drops new connections.' % lib.percent,
      'if the listening program hangs, restart it; if it is merely slow, reduce its load.',
    ),
    listeners(
      'TCPHealthListenerDropping',
      'page',
      config.listenDrops.hold,
      |||
        (
          %s >= %d
          unless
          %s > %g * %s
        )
        or
        (
          %s >= %d
          unless on (job, instance, netns)
          sum without (port) (%s) > %g * sum without (port) (%s)
        )
      ||| % [
        dropped,
        config.listenDrops.count,
        accepted,
        1 / config.listenDrops.share - 1,
        dropped,
        lost,
        config.listenDrops.count,
        accepted,
        1 / config.listenDrops.share - 1,
        lost,
      ],
      'A listener turns connections away.',
      '%s connections were turned away in %s. Clients wait, then time out.' % [lib.value, config.listenDrops.window]
      + fullQueue('tcphealth_kernel_listen_overflows_total', 'An accept queue was full: a longer one (backlog and net.core.somaxconn) bridges bursts.')
      + fullQueue('tcphealth_kernel_request_queue_full_drops_total', 'A SYN queue was full.'),
      'if the listening program hangs or is out of descriptors, restart it; if it is merely slow, reduce its load.',
    ),
    lib.alert(
      'TCPHealthRetransmissionsHigh',
      'ticket',
      config.retransmissions.hold,
      '%s / %s > %g\nand\n%s >= %d' % [retransmitted, sent, config.retransmissions.ratio, sent, config.retransmissions.segments],
      'Many segments are retransmitted: the path to the peers loses them.',
      [
        '%s, %s: %s of the segments sent in the last %s were retransmissions.' % [lib.host, lib.portOf.label, lib.percent, config.retransmissions.window],
        lib.units('keepalive|retransmit', otherwise='No connection has lost its peer.'),
        'Confirm: %s | grep -B1 retrans shows the peers; ip -s link shows the errors and drops of each interface.' % lib.ss('-i state established'),
        'Fix: if it is one peer, check the path to it; if it is all, check the interface, the switch and the load of this host. A restart does not help.',
      ],
    ),
    ephemeral(
      'TCPHealthEphemeralPortsRunningOut',
      'ticket',
      config.ephemeralPorts.hold,
      config.ephemeralPorts.ratio,
      'The local ports for connections to one address are running out.',
      'At 100% connect() fails with EADDRNOTAVAIL.',
    ),
    ephemeral(
      'TCPHealthEphemeralPortsExhausted',
      'page',
      config.ephemeralPorts.pageHold,
      config.ephemeralPorts.pageRatio,
      'No local port is left for connections to one address: connect() fails.',
      'connect() fails with EADDRNOTAVAIL, or bind() before it with EADDRINUSE.',
      '\nor\n%s >= %d' % [noLocalPort, config.connects.count],
    ),
  ],
}
