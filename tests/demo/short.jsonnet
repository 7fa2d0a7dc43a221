// The shipped alerts and rules, faster for a demonstration: minutes become seconds, hours become minutes. Configures one
// link, and adds the annotation for the remedy hook.
local mixin = (import 'mixin.libsonnet') + (import 'remedy.libsonnet');

local isTime(value) =
  std.isString(value) && std.length(value) > 1 && std.member('mh', value[std.length(value) - 1])
  && std.foldl(function(all, digit) all && std.member('0123456789', digit), std.stringChars(value[:std.length(value) - 1]), true);

local shorter(value) =
  if isTime(value) then value[:std.length(value) - 1] + { m: 's', h: 'm' }[value[std.length(value) - 1]]
  else if std.isObject(value) then std.mapWithKey(function(_, part) shorter(part), value)
  else value;

function(clients, servers, port)
  local short = mixin {
    _config:: shorter(super._config) + {
      exporter+: { late: super.late / 60 },
      links: [{
        name: 'opener to load',
        clients: 'job="tcphealth",instance="%s"' % clients,
        client_port: port,
        servers: 'job="tcphealth",instance="%s"' % servers,
        server_port: port,
      }],
    },
  };
  { alerts: short.prometheusAlerts, rules: short.prometheusRules }
