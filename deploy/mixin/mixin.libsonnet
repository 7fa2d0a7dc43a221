// Alerts, recording rules and dashboards, as `prometheusAlerts`, `prometheusRules` and `grafanaDashboards`.
(import 'config.libsonnet') +
(import 'alerts/alerts.libsonnet') +
(import 'rules/rules.libsonnet') +
(import 'dashboards/dashboards.libsonnet')
