// All groups of alerts.
{
  local lib = (import 'lib.libsonnet')($._config),
  prometheusAlerts+:: {
    groups:
      [
        (import 'states.libsonnet')($._config, lib),
        (import 'impact.libsonnet')($._config, lib),
        (import 'exporter.libsonnet')($._config, lib),
      ]
      + (import 'links.libsonnet')($._config, lib),
  },
}
