// Tickets about stale connections, whichever end opened them.
function(config, lib) {
  local stale(reasons, labels='') =
    lib.ofPort('tcphealth_stale_connections', labels + 'reason=~"%s"' % reasons),

  local staleAlert(row) = lib.alert(
    row.alert,
    row.severity,
    row.config.hold,
    '%s >= %d' % [
      lib.median(lib.ofPort('tcphealth_stale_connections', 'reason="%s"' % row.reason), row.config.window),
      row.config.count,
    ],
    row.summary,
    [
      '%s, %s: %s %s' % [lib.host, lib.portOf.label, lib.connections(), row.what],
      lib.units(row.reason),
      'Confirm: ' + row.confirm,
      'Fix: ' + row.fix,
    ],
  ) { reason:: row.reason },

  local restart = lib.restart,

  local rows = [
    {
      alert: 'TCPHealthCloseWaitStale',
      severity: 'ticket',
      reason: 'close_wait',
      config: config.closeWait,
      summary: 'A program has not closed connections that its peers have closed.',
      what: 'in CLOSE_WAIT: the peer has closed, the program here has not, and no data moves.',
      confirm: lib.ss('state close-wait'),
      fix: '{{ if eq $labels.role "server" }}unless the program is still working for clients that have closed their half, {{ end }}' + restart + '.',
    },
    {
      alert: 'TCPHealthFinWait2Held',
      severity: 'ticket',
      reason: 'fin_wait2',
      config: config.finWait2,
      summary: 'Peers do not close connections that this host has half-closed.',
      what: 'in FIN_WAIT2, still held by a program: this end has shut down, the peer never closes, and no data moves.',
      confirm: lib.ss('state fin-wait-2') + ' lists the peers; each of them has the connection in CLOSE_WAIT.',
      fix: 'restart the program on the peer that holds them in CLOSE_WAIT. Nothing here needs a restart; if the peer is gone, keepalive ends them.',
    },
    {
      alert: 'TCPHealthClosingStuck',
      severity: 'ticket',
      reason: 'closing',
      config: config.closing,
      summary: 'Peers have not acknowledged closed connections for longer than the kernel normally waits.',
      what: 'in FIN_WAIT1, CLOSING or LAST_ACK: closed here, but the peer does not acknowledge or does not read.',
      confirm: lib.ss('state fin-wait-1 state closing state last-ack') + '; timer "persist" means the peer is alive but its program does not read.',
      fix: 'restart the program on the peer if it does not read; otherwise restore the path to the peer. Nothing here needs a restart.',
    },
    {
      alert: 'TCPHealthDeadConnectionsHeld',
      severity: 'ticket',
      reason: 'dead',
      config: config.dead,
      summary: 'A program still holds descriptors of connections that the kernel has ended.',
      what: 'reset or timed out, unnoticed by the program. ss does not show them.',
      confirm: lib.metrics('stale_unit', 'reason="dead"'),
      fix: restart + ', before the program runs out of descriptors.',
    },
    {
      alert: 'TCPHealthConnectionsUnaccepted',
      severity: 'ticket',
      reason: 'unaccepted',
      config: config.unaccepted,
      summary: 'A program does not accept the connections in its accept queue.',
      what: 'waiting to be accepted: the listening program hangs or is out of descriptors.',
      confirm: lib.ssListeners + ' (Recv-Q is the queue length, Send-Q its limit)',
      fix: restart + '.',
    },
    {
      alert: 'TCPHealthConnectingTooLong',
      severity: 'ticket',
      reason: 'syn_sent',
      config: config.synSent,
      summary: 'Peers do not answer new connections.',
      what: 'in SYN_SENT: the peer does not answer, not even with a reset.',
      confirm: lib.ss('state syn-sent'),
      fix: 'check each peer: is the host up, does a firewall drop packets, is its accept queue full (TCPHealthListenerDropping there)?',
    },
    {
      alert: 'TCPHealthPeerNotReading',
      severity: 'ticket',
      reason: 'zero_window',
      config: config.zeroWindow,
      summary: 'Peers are alive, but their programs do not read.',
      what: "with a zero window: the peer's kernel answers, but the program there does not read.",
      confirm: lib.ss('state established') + ' | grep -E "timer:.persist"',
      fix: 'restart the program on the peer. The data waits in the send queue here.',
    },
    {
      alert: 'TCPHealthProgramNotReading',
      severity: 'ticket',
      reason: 'unread',
      config: config.unread,
      summary: 'A program does not read the data its connections have received.',
      what: 'with received data that the program here has not read.',
      confirm: lib.ss('state established') + ' (Recv-Q stays above 0 for a minute)',
      fix: restart + '; take a stack trace for its developers first.',
    },
    {
      alert: 'TCPHealthIdleUnnoticed',
      severity: 'information',
      reason: 'idle',
      config: config.idle,
      summary: 'Idle connections have no keepalive: if their peers vanished, this host would not notice.',
      what: 'silent for hours, without keepalive and with nothing in flight. If a peer has vanished, this host will never notice.',
      confirm: lib.ss('state established') + ' (a line without "timer:" has no keepalive)',
      fix: 'compare with the peer, and turn on keepalive. Nothing is known to be broken.',
    },
  ],

  // A count and a share: one or two vanished peers are normal.
  local halfOpen =
    local gone = 'sum without (reason) (%s)' % lib.median(stale('keepalive|retransmit'), config.halfOpen.window);
    local all = 'sum without (state) (%s)' % lib.median(lib.ofPort('tcphealth_connections', 'state="established"'), config.halfOpen.window);
    lib.alert(
      'TCPHealthHalfOpen',
      'ticket',
      config.halfOpen.hold,
      '%s >= %d\nand\n%s >= %g * %s' % [gone, config.halfOpen.count, gone, config.halfOpen.share, all],
      'Several peers of one port have stopped answering on established connections.',
      [
        '%s, %s: %s established connections with peers that answer neither keepalive probes nor data. The kernel has not given up on them yet.' % [lib.host, lib.portOf.label, lib.value],
        lib.units('keepalive|retransmit'),
        'Confirm: %s shows "timer:(keepalive,...,N)" or "timer:(on,...,N)" with N above 0; ping those peers.' % lib.ss('state established'),
        'Fix: find what the peers have in common: a host that is down, a firewall that dropped its state, a broken path. Nothing here needs a restart.',
      ],
    ),

  // The end of the stream is unread: a server hangs. An idle pool of a client is harmless, unless the connects of this host
  // to that port fail, or its listener on this host is gone.
  local endUnread =
    local unread(role) = '%s >= %d' % [
      lib.median(lib.ofPort('tcphealth_stale_connections', 'role="%s",reason="eof_unread"' % role), config.eofUnread.window),
      config.eofUnread.count,
    ];
    local indented(text) = '    ' + std.strReplace(text, '\n', '\n    ');
    lib.alert(
      'TCPHealthEndUnread',
      'ticket',
      config.eofUnread.hold,
      |||
        %s
        or
        (
          %s
          and on (job, instance, netns, port)
          (
        %s
            or
            max_over_time(%s[%s]) == 0
          )
        )
      ||| % [
        unread('server'),
        unread('client'),
        indented(lib.failing('reason=~"refused|timeout",port!~"other|unknown"', '> 0')),
        lib.ofPort('tcphealth_listeners'),
        config.eofUnread.window,
      ],
      'A program has not noticed that its peers have closed.',
      [
        '%s, %s: %s in CLOSE_WAIT with the end of the stream unread{{ if eq $labels.role "client" }}, and a server may be gone: connects to this port fail, at these peers or at others, or a listener on this port of this host has closed{{ end }}.' % [lib.host, lib.portOf.label, lib.connections()],
        lib.units('eof_unread'),
        'Confirm: %s (Recv-Q is 1)' % lib.ss('state close-wait'),
        'Fix: {{ if eq $labels.role "client" }}if these peers are those that fail, bring back the server; else nothing. A pool notices at its next use; if the program does not recover, check its threads.{{ else }}check its threads: are they blocked or overloaded? Then %s.{{ end }}' % restart,
      ],
    ) { reason:: 'eof_unread' },

  // About one role by its meaning: what was accepted on a port that no longer has a listener.
  local orphaned =
    lib.alert(
      'TCPHealthStuckWithoutListener',
      'ticket',
      config.orphaned.hold,
      'sum without (reason) (%s) >= %d\nunless on (job, instance, netns, port)\nmax_over_time(%s[%s]) > 0' % [
        lib.median(lib.ofPort('tcphealth_stale_connections', 'role="server",port!~"other|unknown"'), config.orphaned.window),
        config.orphaned.count,
        lib.of('tcphealth_listeners'),
        config.orphaned.window,
      ],
      'Connections are stale on a port that no longer has a listener.',
      [
        '%s, %s: %s, and the port has no listener any more. The service has ended or closed its listener, and a process still holds its connections.' % [lib.host, lib.portOf.server, lib.connections('stale ')],
        lib.units(lib.cured('server'), role='server', otherwise='No program here is to blame.'),
        'Confirm: ' + lib.ssListeners + ' shows no listener; ' + lib.ss('', role='server') + ' shows the processes that hold the connections.',
        'Fix: {{ if $units }}%s. Its clients think they are connected, and have to reconnect.{{ else }}look at the peers: one of them, or the path to it, is to blame.{{ end }}' % lib.restart,
      ],
    ) { reason:: lib.cured('server') },

  // Compares minimums: a number that falls and rises again is not a leak.
  local leak =
    local closeWait = lib.ofPort('tcphealth_connections', 'state="close_wait"');
    local now = 'min_over_time(%s[%s])' % [closeWait, config.leak.period];
    local ago(offset) = '%s offset %s)' % [std.substr(now, 0, std.length(now) - 1), offset];
    local before = ago(config.leak.period), long = ago(config.leak.twoPeriods);
    lib.alert(
      'TCPHealthCloseWaitLeak',
      'ticket',
      config.leak.hold,
      '%s - %s >= %d\nand\n%s > %s\nand\n%s > %s' % [now, long, config.leak.growth, now, before, before, long],
      'A program leaks descriptors: its connections in CLOSE_WAIT only grow.',
      [
        '%s, %s: %s more connections in CLOSE_WAIT than %s ago, and the number has never fallen. The program does not close them. Out of descriptors, it can neither accept nor connect.' % [lib.host, lib.portOf.label, lib.value, config.leak.twoPeriods],
        lib.units('close_wait|eof_unread'),
        'Confirm: %s; compare systemctl show -p LimitNOFILESoft -p MainPID UNIT with ls /proc/PID/fd | wc -l.' % lib.ss('state close-wait'),
        'Fix: {{ if eq $labels.role "client" }}if Recv-Q is 1, it may be an idle pool that grows: check its limit, and restart nothing. Otherwise, {{ end }}%s before the descriptors run out. The bug is in the program: it must close on end of file.' % lib.restart,
      ],
    ) { reason:: 'close_wait' },

  name: 'tcphealth-states',
  rules: [staleAlert(row) for row in rows] + [endUnread, halfOpen, orphaned, leak],
}
