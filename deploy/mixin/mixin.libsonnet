// Alerts, recording rules and dashboards, for `prometheusAlerts`, `prometheusRules` and `grafanaDashboards`.
(import 'config.libsonnet') +
(import 'alerts/alerts.libsonnet') +
(import 'rules/rules.libsonnet') +
(import 'dashboards/dashboards.libsonnet')
