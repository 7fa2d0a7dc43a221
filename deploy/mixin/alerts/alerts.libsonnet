// All groups of alerts.
local shipped = (import '../config.libsonnet')._config;

// What is in `found` and not in `known`, by its path. Lists (links) are their own.
local strangers(found, known, path='') = std.flattenArrays([
  if !std.objectHas(known, name) then [path + name]
  else if std.isObject(found[name]) then strangers(found[name], known[name], path + name + '.')
  else []
  for name in std.objectFields(found)
]);

{
  local strange = strangers($._config, shipped),
  local lib = (import 'lib.libsonnet')($._config),
  prometheusAlerts+:: {
    assert strange == [] : 'config.libsonnet knows no ' + std.join(', ', strange),
    groups:
      [
        (import 'states.libsonnet')($._config, lib),
        (import 'impact.libsonnet')($._config, lib),
        (import 'exporter.libsonnet')($._config, lib),
      ]
      + (import 'links.libsonnet')($._config, lib),
  },
}
