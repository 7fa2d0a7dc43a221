// Every alert group.
local shipped = (import '../config.libsonnet')._config;

// The paths of the fields in `found` that `known` lacks. Lists (links) are not searched.
local unknown(found, known, path='') = std.flattenArrays([
  if !std.objectHas(known, name) then [path + name]
  else if std.isObject(found[name]) then unknown(found[name], known[name], path + name + '.')
  else []
  for name in std.objectFields(found)
]);

{
  local misspelt = unknown($._config, shipped),
  local lib = (import 'lib.libsonnet')($._config),
  prometheusAlerts+:: {
    assert misspelt == [] : 'not in config.libsonnet: ' + std.join(', ', misspelt),
    groups:
      [
        (import 'states.libsonnet')($._config, lib),
        (import 'impact.libsonnet')($._config, lib),
        (import 'exporter.libsonnet')($._config, lib),
      ]
      + (import 'links.libsonnet')($._config, lib),
  },
}
