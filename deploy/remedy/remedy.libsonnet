// For tcphealth_remedy: adds an annotation `restart` to the alerts that a restart fixes. It names the service with most
// stale connections. Without it, the alerts name the unit in their description only, and the hook does nothing.
//
//   (import 'mixin.libsonnet') + (import 'remedy.libsonnet')
{
  // The alerts, and the reasons of their stale connections.
  local cured = {
    TCPHealthCloseWaitStale: 'close_wait',
    TCPHealthCloseWaitLeak: 'close_wait',
    TCPHealthDeadConnectionsHeld: 'dead',
    TCPHealthConnectionsUnaccepted: 'unaccepted',
    TCPHealthProgramNotReading: 'unread',
    TCPHealthStuckWithoutListener: '.+',
  },

  local culprit(reasons) =
    '{{ range printf `topk(1, sum by (unit) (tcphealth_stale_unit_connections{job=%q,instance=%q,netns=%q,port=%q,role=%q,reason=~"'
    + reasons + '",unit=~".+[.]service"}))` $labels.job $labels.instance $labels.netns $labels.port $labels.role | query }}'
    + '{{ .Labels.unit }}{{ end }}',

  local named(rule) =
    if std.objectHas(cured, rule.alert) then rule { annotations+: { restart: culprit(cured[rule.alert]) } } else rule,

  prometheusAlerts+:: { groups: [group { rules: [named(rule) for rule in group.rules] } for group in super.groups] },
}
