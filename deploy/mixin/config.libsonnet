// Settings of a site: selectors, thresholds, the address of the runbooks, links to compare.
// Override them in your own file (see README.md), as quick.libsonnet does:
//
//   { _config+:: { selector: 'job="sockets"', closeWait+: { count: 20 } } }
//
// A name that is not in this file is an error, so that typing mistakes are found.
{
  _config+:: {
    // Selects the targets that are tcphealth_exporters. Target labels only: it is applied to `up` as well.
    selector: 'job="tcphealth"',
    // Added to every selector of a metric with a port, to exclude some: 'port!~"9100|4317"'.
    portSelector: '',
    // The address of docs/runbooks.md, which has a section for each alert. The default is the copy that the Debian
    // package installs on each host, which needs no web server. If you publish the file, set its address with
    // `generate --runbook-base URL`.
    runbookBase: 'file:///usr/share/doc/tcphealth-exporter/runbooks.md',
    // The exporter's port, for the commands in the descriptions.
    listenPort: 10793,

    severities: { page: 'critical', ticket: 'warning', information: 'info' },

    // Stale connections. An alert fires when at least `count` connections of a host, port and role are stale for
    // `hold`, as the median over `window`: neither churn nor a restart of the exporter decides.
    // `count` is not 1 because a program may still work for a client that has closed its half.
    closeWait: { count: 5, window: '10m', hold: '10m' },
    eofUnread: { count: 5, window: '10m', hold: '10m' },
    finWait2: { count: 5, window: '10m', hold: '10m' },
    closing: { count: 5, window: '10m', hold: '10m' },
    dead: { count: 5, window: '10m', hold: '10m' },
    unaccepted: { count: 3, window: '5m', hold: '5m' },
    synSent: { count: 3, window: '5m', hold: '5m' },
    zeroWindow: { count: 3, window: '10m', hold: '10m' },
    unread: { count: 3, window: '10m', hold: '10m' },
    idle: { count: 5, window: '10m', hold: '30m' },
    // Half-open: at least `count`, and at least this share of the established connections.
    halfOpen: { count: 3, share: 0.1, window: '5m', hold: '2m' },
    // One is enough on a port without a listener.
    orphaned: { count: 1, window: '10m', hold: '5m' },
    // Connections in CLOSE_WAIT: the minimum of each of three periods exceeds the one before, by `growth` in all.
    leak: { growth: 5, period: '30m', twoPeriods: '1h', hold: '15m' },

    // Failed connects: `count` in the window, without those that programs make all day. A ticket also needs this share of the
    // attempts; a page needs all.
    connects: { reasons: 'reason!~"no_route|abandoned"', count: 5, window: '10m', share: 0.05, hold: '10m', pageHold: '5m' },
    // Accept queues: the saturation that counts as full, and the share of connections a listener may drop.
    acceptQueue: { saturation: 0.8, window: '5m', hold: '5m' },
    listenDrops: { count: 10, share: 0.01, window: '5m', hold: '5m' },
    retransmissions: { ratio: 0.05, segments: 1000, window: '10m', hold: '15m' },
    ephemeralPorts: { ratio: 0.8, window: '5m', hold: '10m', pageRatio: 1, pageHold: '2m' },

    // The exporter itself. `late` is in seconds and has to exceed --collector.interval.
    exporter: { downHold: '5m', missingHold: '10m', window: '5m', failingHold: '5m', late: 120, lateHold: '10m', overrunWindow: '15m', overrunHold: '30m' },

    // Links to compare: { name, clients, client_port, servers, server_port }. `clients` and
    // `servers` select ALL targets of that end. The counts are comparable only if the port is the same at both
    // ends: with a NAT gateway, load balancer or service port between them, each end counts other connections.
    // A link with two different ports gets no alert. See links-example.jsonnet.
    links: [],
    link: { window: '5m', upWindow: '3m', hold: '10m' },

    dashboards: {
      tags: ['tcphealth'],
      refresh: '1m',
      // The query for the values of the job variable.
      jobs: 'label_values(tcphealth_build_info, job)',
    },
  },
}
