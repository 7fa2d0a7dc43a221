// The alerts of two links, as an example: one that can be compared, and one that cannot, as the service
// has another port than its program. Copy it, name your own, and load the outcome beside generated/alerts.yaml.
local mixin = (import 'mixin.libsonnet') + {
  _config+:: {
    links: [
      {
        name: 'frontend to feed',
        clients: 'job="tcphealth",instance=~"frontend.*"',
        client_port: 9000,
        servers: 'job="tcphealth",instance=~"feed.*"',
        server_port: 9000,
      },
      {
        name: 'frontend to shop, behind a balancer',
        clients: 'job="tcphealth",instance=~"frontend.*"',
        client_port: 443,
        servers: 'job="tcphealth",instance=~"shop.*"',
        server_port: 8443,
      },
    ],
  },
};

{ groups: [group for group in mixin.prometheusAlerts.groups if group.name == 'tcphealth-links'] }
