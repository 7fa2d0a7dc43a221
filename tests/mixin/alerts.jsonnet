// promtool's unit tests of the alerts that one host makes alone, from a table: each fires, does not fire just below
// its limits, resolves, and survives a restart of the exporter and a series that vanishes.
//
// A test is a story, told in minutes: GOOD until 30, then what its name says until 150. checks.py looks at the names.
local onset = 30, turn = 90, end = 150;

// What a series does in a minute: a state of the story (`good`, `bad`, a variant of `below`), or nothing to be seen.
local always(state) = function(minute) if minute < onset then 'good' else state;
local stories(case) =
  { fires: always('bad'), resolves: function(minute) if minute < onset || minute >= turn then 'good' else 'bad' }
  + {
    restarts: function(minute) if minute < onset then 'good' else if minute == turn then 'stale' else if minute == turn + 1 then 'gone' else 'worse',
    vanishes: function(minute) if minute < onset then 'good' else if minute < turn then 'bad' else if minute == turn then 'stale' else 'gone',
  }
  + { ['below%d' % i]: always('below%d' % i) for i in std.range(0, std.length(case.below) - 1) }
  + (if std.objectHas(case, 'peaks') && !case.peaks then {} else {
       // Peaks that are as high, but last for a minute in three.
       peaks: function(minute) if minute < onset || minute % 3 > 0 then 'good' else 'bad',
     });

// The value of a gauge, or the increment of a counter.
local value(case, i, state) =
  local series = case.series[i];
  if state == 'good' then series.good
  else if state == 'bad' then series.bad
  else if state == 'worse' then (if series.counter then 2 * series.bad else series.bad)
  else case.below[std.parseInt(std.substr(state, 5, 2))][i];

local text(number) = std.toString(number);
local gauge(case, i, story) = [
  local state = story(minute);
  if state == 'stale' then 'stale' else if state == 'gone' then '_' else text(value(case, i, state))
  for minute in std.range(0, end)
];
// A restart sets a counter to 0.
local counter(case, i, story) =
  std.foldl(function(sofar, minute)
    local state = story(minute);
    if state == 'stale' || state == 'gone' then
      { now: 0, out: sofar.out + [if state == 'stale' then 'stale' else '_'] }
    else
      local now = sofar.now + value(case, i, state);
      { now: now, out: sofar.out + [text(now)] }, std.range(0, end), { now: 0, out: [] }).out;

local inputs(case, name) = [
  {
    series: '%s{job="tcphealth",instance="%s"%s}' % [case.series[i].metric, name, if case.series[i].labels == '' then '' else ',' + case.series[i].labels],
    values: std.join(' ', (if case.series[i].counter then counter else gauge)(case, i, stories(case)[name])),
  }
  for i in std.range(0, std.length(case.series) - 1)
];

// In which minutes it fires. Neither the minutes without the exporter nor those after a restart interrupt the alert.
local minutes(case, name) =
  local before = [10, onset - 1], during = [onset + case.by, turn - 1], after = [turn + 30, end];
  local silent(list) = { [std.toString(minute)]: false for minute in std.set(list) };
  local firing(list) = { [std.toString(minute)]: true for minute in std.set(list) };
  silent(before) + (
    if name == 'fires' then firing(during + after)
    else if name == 'restarts' then firing(during + std.range(turn - 1, turn + 15) + after)
    else if name == 'resolves' || name == 'vanishes' then firing(during) + silent(after)
    else silent(during + after)
  );

local expect(case, name) = [
  {
    eval_time: minute + 'm',
    alertname: case.alert,
    exp_alerts: if minutes(case, name)[minute] then [{ exp_labels: { job: 'tcphealth', instance: name, severity: case.severity } + case.labels }] else [],
  }
  for minute in std.objectFields(minutes(case, name))
];

local test(case) = {
  rule_files: ['only-%s.yaml' % case.alert],
  evaluation_interval: '1m',
  tests: [{ name: name, interval: '1m', input_series: inputs(case, name), alert_rule_test: expect(case, name) } for name in std.objectFields(stories(case))],
};

local gaugeOf(metric, labels, good, bad) = { metric: metric, labels: labels, good: good, bad: bad, counter: false };
local counterOf(metric, labels, good, bad) = gaugeOf(metric, labels, good, bad) { counter: true };

// Of a state: what is stuck for one reason.
local state(alert, reason, role, count, by, severity='warning') = {
  alert: alert,
  severity: severity,
  labels: { role: role, port: '8080', reason: reason },
  series: [gaugeOf('tcphealth_stale_connections', 'role="%s",port="8080",reason="%s"' % [role, reason], 0, count)],
  below: [[count - 1]],
  by: by,
};

local connects(alert, reason) = {
  alert: alert,
  severity: 'warning',
  labels: { port: '5432' },
  series: [
    counterOf('tcphealth_failed_connects_total', 'port="5432",reason="%s"' % reason, 0, 0.56),
    counterOf('tcphealth_failed_connects_total', 'port="5432",reason="abandoned"', 5, 5),
    counterOf('tcphealth_opened_connections_total', 'role="client",port="5432"', 1, 10.5),
  ],
  below: [[0.4, 5, 0], [0.56, 5, 10.8]],
  by: 22,
  peaks: false,
};

local cases = [
  state('TCPHealthCloseWaitStale', 'close_wait', 'server', 5, 18),
  // No alert depends on the role: had it been guessed wrong, this would be seen as well.
  state('TCPHealthCloseWaitStale', 'close_wait', 'client', 5, 18) { name: 'as-client' },
  state('TCPHealthEndUnread', 'eof_unread', 'server', 5, 18),
  // A pool of a client, and the connects of its host to that port.
  {
    alert: 'TCPHealthEndUnread',
    name: 'connects-fail',
    severity: 'warning',
    labels: { role: 'client', port: '5432', reason: 'eof_unread' },
    series: [
      gaugeOf('tcphealth_stale_connections', 'role="client",port="5432",reason="eof_unread"', 0, 5),
      counterOf('tcphealth_failed_connects_total', 'port="5432",reason="refused"', 0, 0.5),
      counterOf('tcphealth_failed_connects_total', 'port="5432",reason="timeout"', 0, 0.5),
      counterOf('tcphealth_failed_connects_total', 'port="5432",reason="abandoned"', 0, 9),
      counterOf('tcphealth_failed_connects_total', 'port="5433",reason="refused"', 9, 9),
      counterOf('tcphealth_opened_connections_total', 'role="client",port="5432"', 1, 18),
      gaugeOf('tcphealth_listeners', 'port="5433"', 0, 0),
    ],
    // A pool as idle, and the connects succeed, are given up, or fail to another port; fewer; hardly any of many connects fail.
    below: [[5, 0, 0, 9, 9, 1, 0], [5, 0, 0, 0, 9, 0, 0], [4, 0.5, 0.5, 0, 9, 0, 0], [5, 0.5, 0.5, 0, 9, 20, 0]],
    by: 22,
    peaks: false,
  },
  {
    alert: 'TCPHealthEndUnread',
    name: 'listener-gone',
    severity: 'warning',
    labels: { role: 'client', port: '5432', reason: 'eof_unread' },
    series: [
      gaugeOf('tcphealth_stale_connections', 'role="client",port="5432",reason="eof_unread"', 0, 5),
      gaugeOf('tcphealth_listeners', 'port="5432"', 1, 0),
    ],
    below: [[4, 0], [5, 1]],
    by: 21,
  },
  state('TCPHealthFinWait2Held', 'fin_wait2', 'client', 5, 18),
  state('TCPHealthClosingStuck', 'closing', 'server', 5, 18),
  state('TCPHealthDeadConnectionsHeld', 'dead', 'client', 5, 18),
  state('TCPHealthConnectionsUnaccepted', 'unaccepted', 'server', 3, 10),
  state('TCPHealthConnectingTooLong', 'syn_sent', 'client', 3, 10),
  state('TCPHealthPeerNotReading', 'zero_window', 'server', 3, 18),
  state('TCPHealthProgramNotReading', 'unread', 'server', 3, 18),
  state('TCPHealthIdleUnnoticed', 'idle', 'server', 5, 40, 'info'),
  {
    alert: 'TCPHealthHalfOpen',
    severity: 'warning',
    labels: { role: 'client', port: '5432' },
    series: [
      gaugeOf('tcphealth_stale_connections', 'role="client",port="5432",reason="keepalive"', 0, 2),
      gaugeOf('tcphealth_stale_connections', 'role="client",port="5432",reason="retransmit"', 0, 1),
      gaugeOf('tcphealth_connections', 'role="client",port="5432",state="established"', 30, 30),
      gaugeOf('tcphealth_connections', 'role="client",port="5432",state="time_wait"', 900, 900),
    ],
    // Not several; several, and no share.
    below: [[1, 1, 2, 900], [2, 1, 31, 900]],
    by: 7,
  },
  {
    alert: 'TCPHealthStuckWithoutListener',
    severity: 'warning',
    labels: { role: 'server', port: '9000' },
    series: [
      gaugeOf('tcphealth_stale_connections', 'role="server",port="9000",reason="close_wait"', 1, 1),
      gaugeOf('tcphealth_stale_connections', 'role="server",port="9000",reason="idle"', 0, 0),
      gaugeOf('tcphealth_listeners', 'port="9000"', 1, 0),
    ],
    below: [[0, 0, 0], [9, 9, 1]],
    by: 17,
  },
  {
    alert: 'TCPHealthNoConnectSucceeds',
    severity: 'critical',
    labels: { port: '5432' },
    series: [
      counterOf('tcphealth_failed_connects_total', 'port="5432",reason="refused"', 0, 0.28),
      counterOf('tcphealth_failed_connects_total', 'port="5432",reason="timeout"', 0, 0.28),
      counterOf('tcphealth_failed_connects_total', 'port="5432",reason="no_route"', 3, 3),
      counterOf('tcphealth_opened_connections_total', 'role="client",port="5432"', 1, 0),
      counterOf('tcphealth_opened_connections_total', 'role="server",port="5432"', 7, 7),
    ],
    below: [[0.2, 0.2, 3, 0, 7], [5, 5, 3, 0.1, 7]],
    by: 17,
    peaks: false,
  },
  connects('TCPHealthConnectsRefused', 'refused'),
  connects('TCPHealthConnectsTimingOut', 'timeout'),
  connects('TCPHealthConnectsTimingOut', 'unreachable') { name: 'unreachable' },
  {
    alert: 'TCPHealthAcceptQueueSaturated',
    severity: 'warning',
    labels: { port: '8080' },
    series: [gaugeOf('tcphealth_listen_queue_saturation_ratio', 'port="8080"', 0.1, 0.8)],
    below: [[0.79]],
    by: 10,
  },
  {
    alert: 'TCPHealthListenerDropping',
    severity: 'critical',
    labels: { port: '8080' },
    series: [
      counterOf('tcphealth_listen_drops_total', 'port="8080"', 0, 2.1),
      counterOf('tcphealth_opened_connections_total', 'role="server",port="8080"', 10, 204),
    ],
    // Few; a small part of all.
    below: [[1.9, 10], [2.1, 212]],
    by: 12,
    peaks: false,
  },
  {
    alert: 'TCPHealthRetransmissionsHigh',
    severity: 'warning',
    labels: { role: 'client', port: '443' },
    series: [
      counterOf('tcphealth_retransmitted_segments_total', 'role="client",port="443"', 1, 5.2),
      counterOf('tcphealth_sent_segments_total', 'role="client",port="443"', 1000, 102),
    ],
    below: [[4.9, 102], [50, 98]],
    by: 27,
    peaks: false,
  },
  {
    alert: 'TCPHealthEphemeralPortsRunningOut',
    severity: 'warning',
    labels: { port: '443' },
    series: [gaugeOf('tcphealth_ephemeral_ports_used_ratio', 'port="443"', 0.1, 0.8)],
    below: [[0.79]],
    by: 14,
  },
  {
    alert: 'TCPHealthEphemeralPortsExhausted',
    severity: 'critical',
    labels: { port: '443' },
    series: [gaugeOf('tcphealth_ephemeral_ports_used_ratio', 'port="443"', 0.1, 1)],
    below: [[0.999]],
    by: 7,
  },
  {
    alert: 'TCPHealthEphemeralPortsExhausted',
    name: 'range-of-its-own',
    severity: 'critical',
    labels: { port: 'unknown' },
    series: [
      gaugeOf('tcphealth_ephemeral_ports_used_ratio', 'port="443"', 0.1, 0.2),
      counterOf('tcphealth_failed_connects_total', 'port="unknown",reason="no_local_port"', 0, 0.56),
    ],
    below: [[0.2, 0.4]],
    by: 14,
    peaks: false,
  },
  {
    alert: 'TCPHealthEventsOverrun',
    severity: 'warning',
    labels: {},
    series: [counterOf('tcphealth_event_overruns_total', '', 0, 1)],
    below: [[0]],
    by: 35,
    peaks: false,
  },
];

{
  [case.alert + (if std.objectHas(case, 'name') then '-' + case.name else '') + '.json']: test(case)
  for case in cases
}
