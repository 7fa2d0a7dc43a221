// Building blocks of the alerts: selectors, and the sentences of a description as Go templates.
local reasons = import '../reasons.json';
local units = import '../units.libsonnet';

function(config) {
  local lib = self,

  // A metric of the configured targets; `labels` adds matchers.
  of(metric, labels=''):: '%s{%s}' % [metric, std.join(',', [part for part in [config.selector, labels] if part != ''])],
  // The same for metrics with a port.
  ofPort(metric, labels=''):: lib.of(metric, std.join(',', [part for part in [config.portSelector, labels] if part != ''])),

  // A median bridges a restart and missed scrapes, and ignores peaks and dips.
  median(selected, window):: 'quantile_over_time(0.5, %s[%s])' % [selected, window],
  increase(selected, window):: 'increase(%s[%s])' % [selected, window],

  // Stale for these reasons, the program here is to blame, and a restart helps: a regular expression.
  cured(role):: std.join('|', [row.reason for row in reasons if std.member(row.restart, role)]),

  // Failed connects, those that succeeded, and ports where a share of the attempts fails.
  failed(labels):: 'sum without (reason) (%s)' % lib.increase(lib.ofPort('tcphealth_failed_connects_total', labels), config.connects.window),
  succeeded:: lib.increase(lib.ofPort('tcphealth_opened_connections_total', 'role="client"'), config.connects.window),
  failing(labels, least)::
    '%s %s\nunless\nsum without (role) (%s) > %g * %s' % [lib.failed(labels), least, lib.succeeded, 1 / config.connects.share - 1, lib.failed(labels)],

  alert(name, severity, hold, expr, summary, lines, labels={}):: {
    alert: name,
    expr: expr,
    'for': hold,
    labels: { severity: config.severities[severity] } + labels,
    annotations: {
      summary: summary,
      description: std.join('\n', lines),
      runbook_url: '%s#%s' % [config.runbookBase, std.asciiLower(name)],
    },
  },

  value:: '{{ $value | printf "%.0f" }}',
  // "1 connection", "2 stale connections".
  connections(what=''):: lib.value + ' ' + what + 'connection{{ if ne (printf "%.0f" $value) "1" }}s{{ end }}',
  percent:: '{{ $value | humanizePercentage }}',
  host:: '{{ $labels.instance }}{{ with $labels.netns }} (network namespace {{ . }}){{ end }}',
  portOf:: {
    server: 'server on port {{ $labels.port }}',
    client: 'client of port {{ $labels.port }}',
    label: '{{ if eq $labels.role "server" }}%s{{ else }}%s{{ end }}' % [self.server, self.client],
  },

  // printf format and arguments of the matchers for the alert's own series: a name may contain anything.
  local same(role) = 'job=%q,instance=%q,netns=%q,port=%q' + (if role == 'label' then ',role=%q' else ',role="' + role + '"'),
  local sameArgs(role) = '$labels.job $labels.instance $labels.netns $labels.port' + (if role == 'label' then ' $labels.role' else ''),

  // "Stale by unit: a.service (4, the oldest for 3h 2m 1s), ...", at most five units.
  units(reasons, role='label', otherwise='The unit is not known.')::
    '{{ $units := printf `sort_desc(topk(5, sum by (unit) (tcphealth_stale_unit_connections{' + same(role) + ',reason=~"' + reasons + '"})))` ' + sameArgs(role) + ' | query }}'
    + '{{ if $units }}Stale by unit: {{ range $i, $unit := $units }}{{ if $i }}, {{ end }}'
    + '{{ with $unit.Labels.unit }}{{ . }}{{ else }}unknown{{ end }} ({{ $unit.Value | printf "%.0f" }}'
    + '{{ range printf `max by (unit) (tcphealth_stale_unit_oldest_seconds{' + same(role) + ',reason=~"' + reasons + '",unit=%q})` ' + sameArgs(role) + ' $unit.Labels.unit | query }}'
    + ', the oldest for {{ .Value | humanizeDuration }}{{ end }}){{ end }}.{{ else }}' + otherwise + '{{ end }}',

  // After units(): the command for the unit with most connections. Only a plain name is put into a command.
  restart::
    local when(regex) = '{{ else if match `%s` $culprit }}' % regex;
    '{{ $culprit := "" }}{{ if $units }}{{ $culprit = first $units | label "unit" }}{{ end }}'
    + '{{ if match `%s` $culprit }}restart {{ reReplaceAll "^([^/]+)/(.+)$" "$2 inside $1" $culprit }}, not on this host' % units.inside
    + when(units.elsewhere) + 'restart the program that holds them, in {{ $culprit }}'
    + when(units.template) + 'stop the instance of {{ $culprit }} that holds them; ' + lib.ofConnection + ' names it as unit_instance'
    + when(units.engine) + 'restart the container behind {{ $culprit }}'
    + when(units.session) + 'end the program that holds them (systemctl status {{ $culprit }} lists its processes)'
    + when(units.service) + 'systemctl restart {{ $culprit }}'
    + when(units.escaped) + "systemctl restart '{{ $culprit }}'"
    + '{{ else if match "^(docker|podman):[0-9a-f]+$" $culprit }}{{ reReplaceAll "^([a-z]+):([0-9a-f]+)$" "$1 restart $2" $culprit }}'
    + '{{ else if match "^pod:[0-9a-f-]+:" $culprit }}delete the pod with this UID; its controller starts a new one'
    + '{{ else }}restart the program that holds them{{ end }}',

  // "Listening: a.service, b.service."
  listeners::
    '{{ $listeners := printf `tcphealth_listener_info{job=%q,instance=%q,netns=%q,port=%q}` $labels.job $labels.instance $labels.netns $labels.port | query | sortByLabel "unit" }}'
    + '{{ if $listeners }}Listening: {{ range $i, $listener := $listeners }}{{ if $i }}, {{ end }}{{ with $listener.Labels.unit }}{{ . }}{{ else }}an unknown unit{{ end }}{{ end }}.{{ else if match "^[0-9]+$" $labels.port }}The port has no listener now.{{ else }}The port is not known.{{ end }}',

  // Commands that show the connections on the host, in the right network namespace.
  inNamespace:: '{{ with $labels.netns }}ip netns exec {{ . }} {{ end }}',
  ss(states, role='label')::
    local filters = { server: 'sport', client: 'dport', label: '{{ if eq $labels.role "server" }}sport{{ else }}dport{{ end }}' };
    lib.inNamespace + 'ss -tnop' + (if states == '' then '' else ' ' + states)
    + '{{ if match "^[0-9]+$" $labels.port }} \'' + filters[role] + " = :{{ $labels.port }}'{{ end }}",
  ssListeners:: lib.inNamespace + "ss -tlnp{{ if match \"^[0-9]+$\" $labels.port }} 'sport = :{{ $labels.port }}'{{ end }}",
  ofConnection:: "curl -s 'http://localhost:%d/api/v1/connections?reason=any{{ if match \"^[0-9]+$\" $labels.port }}&port={{ $labels.port }}{{ end }}'" % config.listenPort,
  metrics(metric, labels):: "curl -s http://localhost:%d/metrics | grep -E '^tcphealth_%s.*port=\"{{ $labels.port }}\",%s'" % [config.listenPort, metric, labels],
}
