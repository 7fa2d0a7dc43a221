// What the alerts are made of: selectors, and the sentences of a description as Go templates.
function(config) {
  local lib = self,

  // A metric of the configured targets; `labels` are further matchers.
  of(metric, labels=''):: '%s{%s}' % [metric, std.join(',', [part for part in [config.selector, labels] if part != ''])],
  // The same for metrics with a port.
  ofPort(metric, labels=''):: lib.of(metric, std.join(',', [part for part in [config.portSelector, labels] if part != ''])),

  // The median bridges a restart and missed scrapes, and sees neither peaks nor dips.
  median(selected, window):: 'quantile_over_time(0.5, %s[%s])' % [selected, window],
  increase(selected, window):: 'increase(%s[%s])' % [selected, window],

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
  // "1 connection", "2 stuck connections".
  connections(what=''):: lib.value + ' ' + what + 'connection{{ if ne (printf "%.0f" $value) "1" }}s{{ end }}',
  percent:: '{{ $value | humanizePercentage }}',
  host:: '{{ $labels.instance }}{{ with $labels.netns }} (network namespace {{ . }}){{ end }}',
  portOf:: {
    server: 'server side of its port {{ $labels.port }}',
    client: 'client side of port {{ $labels.port }} elsewhere',
    label: '{{ if eq $labels.role "server" }}%s{{ else }}%s{{ end }}' % [self.server, self.client],
  },

  // The matchers that find what belongs to the alert, for printf: a name may hold anything.
  local same(role) = 'job=%q,instance=%q,netns=%q,port=%q' + (if role == 'label' then ',role=%q' else ',role="' + role + '"'),
  local sameArgs(role) = '$labels.job $labels.instance $labels.netns $labels.port' + (if role == 'label' then ' $labels.role' else ''),

  // "Held by a.service (4, the oldest for 3h 2m 1s), ...": which units to look at, at most five.
  owners(reasons, role='label', otherwise='The owner is not known now.')::
    '{{ $owners := printf `sort_desc(topk(5, sum by (unit) (tcphealth_stale_unit_connections{' + same(role) + ',reason=~"' + reasons + '"})))` ' + sameArgs(role) + ' | query }}'
    + '{{ if $owners }}Held by {{ range $i, $owner := $owners }}{{ if $i }}, {{ end }}'
    + '{{ with $owner.Labels.unit }}{{ . }}{{ else }}an unknown unit{{ end }} ({{ $owner.Value | printf "%.0f" }}'
    + '{{ range printf `max by (unit) (tcphealth_stale_unit_oldest_seconds{' + same(role) + ',reason=~"' + reasons + '",unit=%q})` ' + sameArgs(role) + ' $owner.Labels.unit | query }}'
    + ', the oldest for {{ .Value | humanizeDuration }}{{ end }}){{ end }}.{{ else }}' + otherwise + '{{ end }}',

  // After owners(): the command for the unit that holds most. What is no plain name is not put into a command.
  // A scope (a login, a container of an engine unknown) was not started by systemd, which cannot start it anew.
  restart::
    '{{ $culprit := "" }}{{ if $owners }}{{ $culprit = first $owners | label "unit" }}{{ end }}'
    + '{{ if match "^[A-Za-z0-9:_.@-]+[.]service$" $culprit }}systemctl restart {{ $culprit }}'
    + '{{ else if match "^[A-Za-z0-9:_.@-]+[.]scope$" $culprit }}end the program that holds them (systemctl status {{ $culprit }} shows its processes)'
    + '{{ else if match "^(docker|podman):[0-9a-f]+$" $culprit }}{{ reReplaceAll "^([a-z]+):([0-9a-f]+)$" "$1 restart $2" $culprit }}'
    + '{{ else if match "^pod:[0-9a-f-]+:" $culprit }}delete the pod with this UID, its controller makes a new one'
    + '{{ else }}restart the program that holds them{{ end }}',

  // "Listening: a.service, b.service."
  listeners::
    '{{ $units := printf `tcphealth_listener_info{job=%q,instance=%q,netns=%q,port=%q}` $labels.job $labels.instance $labels.netns $labels.port | query | sortByLabel "unit" }}'
    + '{{ if $units }}Listening: {{ range $i, $listener := $units }}{{ if $i }}, {{ end }}{{ with $listener.Labels.unit }}{{ . }}{{ else }}an unknown unit{{ end }}{{ end }}.{{ else }}Nobody listens on the port now.{{ end }}',

  // A command that shows them on the host, in the right network namespace.
  local inNamespace = '{{ with $labels.netns }}ip netns exec {{ . }} {{ end }}',
  ss(states, role='label')::
    local filters = { server: 'sport', client: 'dport', label: '{{ if eq $labels.role "server" }}sport{{ else }}dport{{ end }}' };
    inNamespace + 'ss -tnop' + (if states == '' then '' else ' ' + states)
    + '{{ if match "^[0-9]+$" $labels.port }} \'' + filters[role] + " = :{{ $labels.port }}'{{ end }}",
  ssListeners:: inNamespace + "ss -tlnp 'sport = :{{ $labels.port }}'",
  metrics(metric, labels):: "curl -s http://localhost:%d/metrics | grep -E '^tcphealth_%s.*port=\"{{ $labels.port }}\",%s'" % [config.listenPort, metric, labels],
}
