// An example with two links: one that can be compared, and one that cannot, because the service port differs
// from the program's. Copy it, name your own links, and load the output beside generated/alerts.yaml.
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
