// For tcphealth_remedy: adds an annotation `restart` to the alerts that a restart fixes. It names the unit with most stale
// connections, if that is a service of the host that systemd can restart. Without it, the alerts name the unit in their
// description only, and the hook does nothing.
//
//   (import 'mixin.libsonnet') + (import 'remedy.libsonnet')
local units = import 'units.libsonnet';
{
  // A restart fixes what the program here is to blame for. Alerts about any reason name the program that holds them.
  local cured = [row.reason for row in import 'reasons.json' if row.blame == 'program'] + ['.+'],

  local culprit(reasons) =
    '{{ range printf `topk(1, sum by (unit) (tcphealth_stale_unit_connections{job=%q,instance=%q,netns=%q,port=%q,role=%q,reason=~"'
    + reasons + '"}))` $labels.job $labels.instance $labels.netns $labels.port $labels.role | query }}'
    + '{{ if not (match `%s` .Labels.unit) }}{{ if match `%s` .Labels.unit }}{{ .Labels.unit }}{{ end }}{{ end }}{{ end }}'
      % [std.join('|', [units.elsewhere, units.template, units.engine, units.session]), units.escaped],

  local named(rule) =
    if std.objectHasAll(rule, 'reason') && std.member(cured, rule.reason) then
      rule { annotations+: { restart: culprit(rule.reason) } }
    else rule,

  prometheusAlerts+:: { groups: [group { rules: [named(rule) for rule in group.rules] } for group in super.groups] },
}
