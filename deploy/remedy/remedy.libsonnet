// For tcphealth_remedy: adds an annotation `restart` to the alerts that a restart fixes. It names the unit with most stale
// connections, if that is a service of the host that systemd can restart. Without it, the alerts name the unit in their
// description only, and the hook does nothing.
//
//   (import 'mixin.libsonnet') + (import 'remedy.libsonnet')
local units = import 'units.libsonnet';
{
  // The roles in which a restart fixes all of an alert's reasons: never a fault of the peer, nor a pool of a client.
  local rolesOf(reasons) = [
    role
    for role in ['server', 'client']
    if std.count([std.member(row.restart, role) for row in import 'reasons.json' if std.member(std.split(reasons, '|'), row.reason)], false) == 0
  ],

  local culprit(reasons) =
    '{{ range printf `topk(1, sum by (unit) (tcphealth_stale_unit_connections{job=%q,instance=%q,netns=%q,port=%q,role=%q,role=~"'
    + std.join('|', rolesOf(reasons)) + '",reason=~"' + reasons + '"}))` $labels.job $labels.instance $labels.netns $labels.port $labels.role | query }}'
    + '{{ if not (match `%s` .Labels.unit) }}{{ if match `%s` .Labels.unit }}{{ .Labels.unit }}{{ end }}{{ end }}{{ end }}'
      % [std.join('|', [units.elsewhere, units.template, units.engine, units.session]), units.escaped],

  local named(rule) =
    if std.objectHasAll(rule, 'reason') && rolesOf(rule.reason) != [] then
      rule { annotations+: { restart: culprit(rule.reason) } }
    else rule,

  prometheusAlerts+:: { groups: [group { rules: [named(rule) for rule in group.rules] } for group in super.groups] },
}
