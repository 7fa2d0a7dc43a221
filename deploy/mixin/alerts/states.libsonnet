// Tickets about states: connections that are stuck, whichever end opened them.
function(config, lib) {
  local stale(reasons, labels='') =
    lib.ofPort('tcphealth_stale_connections', labels + 'reason=~"%s"' % reasons),

  local stuck(row) = lib.alert(
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
      lib.owners(row.reason),
      'Confirm: ' + row.confirm,
      'Now: ' + row.now,
    ],
  ),

  local restart = lib.restart,

  local rows = [
    {
      alert: 'TCPHealthCloseWaitStale',
      severity: 'ticket',
      reason: 'close_wait',
      config: config.closeWait,
      summary: 'The peers have closed their connections and a program here never does.',
      what: 'in CLOSE_WAIT: the peer has closed, the program here holds on, and nothing moves.',
      confirm: lib.ss('state close-wait'),
      now: restart + '. A few of a pool of HTTP connections as client are harmless.',
    },
    {
      alert: 'TCPHealthFinWait2Held',
      severity: 'ticket',
      reason: 'fin_wait2',
      config: config.finWait2,
      summary: 'Connections were half-closed here and the peers never close their end.',
      what: 'in FIN_WAIT2 that a program holds: this end has closed its direction, the other end never does, and nothing moves.',
      confirm: lib.ss('state fin-wait-2') + '; the peer addresses it shows name the hosts whose program does not close (CLOSE_WAIT there).',
      now: 'restart the program at the peer that holds them in CLOSE_WAIT; if the peer is gone, ' + restart + '.',
    },
    {
      alert: 'TCPHealthClosingStuck',
      severity: 'ticket',
      reason: 'closing',
      config: config.closing,
      summary: 'Closed connections are not acknowledged by the peers for longer than the kernel normally waits.',
      what: 'in FIN_WAIT1, CLOSING or LAST_ACK: closed here, and the peer does not acknowledge or does not read.',
      confirm: lib.ss('state fin-wait-1 state closing state last-ack') + '; timer "persist" means that the peer is alive but its program does not read.',
      now: 'look at the peers: restart the program that does not read, or restore the path to them. Nothing here needs a restart.',
    },
    {
      alert: 'TCPHealthDeadConnectionsHeld',
      severity: 'ticket',
      reason: 'dead',
      config: config.dead,
      summary: 'A program holds descriptors of connections that the kernel has already ended.',
      what: 'that were reset or timed out and that the program has not noticed: no tool but this one shows them.',
      confirm: lib.metrics('stale_unit', 'reason="dead"') + '; ss does not show them.',
      now: restart + ' before it runs out of descriptors.',
    },
    {
      alert: 'TCPHealthConnectionsUnaccepted',
      severity: 'ticket',
      reason: 'unaccepted',
      config: config.unaccepted,
      summary: 'Connections wait in an accept queue and the program does not accept them.',
      what: 'established by the kernel and never accepted: the program that listens hangs or is out of descriptors.',
      confirm: lib.ssListeners + ' (Recv-Q is the queue, Send-Q its limit)',
      now: restart + '.',
    },
    {
      alert: 'TCPHealthConnectingTooLong',
      severity: 'ticket',
      reason: 'syn_sent',
      config: config.synSent,
      summary: 'Connections are being opened and nobody answers.',
      what: 'in SYN_SENT: nobody answers, not even with a reset.',
      confirm: lib.ss('state syn-sent'),
      now: 'look at the addresses it shows: is the host up, does a packet filter drop, is its accept queue full (TCPHealthListenerDropping there)?',
    },
    {
      alert: 'TCPHealthPeerNotReading',
      severity: 'ticket',
      reason: 'zero_window',
      config: config.zeroWindow,
      summary: 'Peers are alive but their programs do not read what is sent to them.',
      what: 'whose peer answers, but keeps its window shut: the program there does not read.',
      confirm: lib.ss('state established') + ' | grep -E "timer:.persist"',
      now: 'restart the program at the peer that hangs; the data waits in the send queue here.',
    },
    {
      alert: 'TCPHealthProgramNotReading',
      severity: 'ticket',
      reason: 'unread',
      config: config.unread,
      summary: 'A program does not read what its connections have received.',
      what: 'with data received that the program here has not read.',
      confirm: lib.ss('state established') + ' (Recv-Q above 0, and the same a minute later)',
      now: restart + ', after a stack trace of it for its developers.',
    },
    {
      alert: 'TCPHealthIdleUnnoticed',
      severity: 'information',
      reason: 'idle',
      config: config.idle,
      summary: 'Idle connections exist whose peers could be gone without anybody noticing.',
      what: 'silent for hours, without keepalive and with nothing in flight: if the peer has vanished, this host will never notice.',
      confirm: lib.ss('state established') + ' (those without "timer:" have no keepalive)',
      now: 'nothing is known to be broken. Compare with the other end, and turn keepalive on.',
    },
  ],

  // "Several and a share": a few peers that vanish are everyday life.
  local halfOpen =
    local gone = 'sum without (reason) (%s)' % lib.median(stale('keepalive|retransmit'), config.halfOpen.window);
    local all = 'sum without (state) (%s)' % lib.median(lib.ofPort('tcphealth_connections', 'state="established"'), config.halfOpen.window);
    lib.alert(
      'TCPHealthHalfOpen',
      'ticket',
      config.halfOpen.hold,
      '%s >= %d\nand\n%s >= %g * %s' % [gone, config.halfOpen.count, gone, config.halfOpen.share, all],
      'Several peers of a port do not answer any more although their connections are established.',
      [
        '%s, %s: %s established connections have peers that answer neither keepalive probes nor data. The kernel is about to notice.' % [lib.host, lib.portOf.label, lib.value],
        lib.owners('keepalive|retransmit'),
        'Confirm: %s, and look for "timer:(keepalive,...,N)" or "timer:(on,...,N)" with N above 0; then ping the peers it shows.' % lib.ss('state established'),
        'Now: find what the peers have in common: a host that is down, a firewall that forgot the connections, a path that is cut. Then, where the program does not reconnect: %s.' % lib.restart,
      ],
    ),

  // The role is what the question is about; the other alerts see the same connections without it.
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
      'Connections are stuck on a port on which nobody listens any more.',
      [
        '%s, %s: %s, and no program listens on the port any more: the service has ended or lost its listener, and something still holds its connections.' % [lib.host, lib.portOf.server, lib.connections('stuck ')],
        lib.owners('.+', role='server'),
        'Confirm: ' + lib.ssListeners + ' shows no listener, while this shows who holds on: ' + lib.ss('', role='server'),
        'Now: %s (systemctl status shows processes that have survived their service). Its clients believe that they are connected and need to reconnect.' % lib.restart,
      ],
    ),

  // Floors and not values: what falls and rises again in the meantime is not a leak.
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
      'CLOSE_WAIT connections grow and never fall: a program leaks its descriptors.',
      [
        '%s, %s: %s more connections in CLOSE_WAIT than %s ago, and the number never fell in between. The program forgets to close; when its descriptors are used up it can neither accept nor connect.' % [lib.host, lib.portOf.label, lib.value, config.leak.twoPeriods],
        lib.owners('close_wait'),
        'Confirm: %s; systemctl show -p LimitNOFILESoft -p MainPID UNIT, and ls /proc/PID/fd | wc -l, show how long it will last.' % lib.ss('state close-wait'),
        'Now: before the limit is reached, %s; the cure is in the program (close on end of file).' % lib.restart,
      ],
    ),

  name: 'tcphealth-states',
  rules: [stuck(row) for row in rows] + [halfOpen, orphaned, leak],
}
