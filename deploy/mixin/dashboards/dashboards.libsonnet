// All dashboards, by file name.
{
  local lib = (import 'lib.libsonnet')($._config),
  grafanaDashboards+:: {
    'tcphealth-overview.json': (import 'overview.libsonnet')($._config, lib),
    'tcphealth-port.json': (import 'port.libsonnet')($._config, lib),
    'tcphealth-hours.json': (import 'hours.libsonnet')($._config, lib),
    'tcphealth-exporter.json': (import 'exporter.libsonnet')($._config, lib),
  },
}
