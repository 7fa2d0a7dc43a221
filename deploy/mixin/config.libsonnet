// What a site may want to change: selectors, thresholds, where the runbooks are, which links to compare.
// Override it in a file of your own (README.md), as quick.libsonnet does:
//
//   { _config+:: { selector: 'job="sockets"', closeWait+: { count: 20 } } }
//
// A name that is not here is an error, so that a misspelt one does not go unseen.
{
  _config+:: {
    // The targets that are tcphealth_exporters: labels of targets only, as it goes on `up` too.
    selector: 'job="tcphealth"',
    // Added for everything that has a port, to leave some out: 'port!~"9100|4317"'.
    portSelector: '',
    // Where people read docs/runbooks.md; the sections are named like the alerts. This is where the Debian package
    // puts it, on each host: a place that exists without a web server. Where the file is published, say so with
    // `generate --runbook-base URL`.
    runbookBase: 'file:///usr/share/doc/tcphealth-exporter/runbooks.md',
    // Where the exporter listens, for the commands in the descriptions.
    listenPort: 10793,

    severities: { page: 'critical', ticket: 'warning', information: 'info' },

    // States. `count` connections of a host, port and side have to be stuck, as the median over `window`
    // (so that neither churn nor a restart of the exporter decides), for as long as `hold`.
    // Pools of HTTP connections keep a few CLOSE_WAIT as client for hours: that is why it is not 1.
    closeWait: { count: 5, window: '10m', hold: '10m' },
    finWait2: { count: 5, window: '10m', hold: '10m' },
    closing: { count: 5, window: '10m', hold: '10m' },
    dead: { count: 5, window: '10m', hold: '10m' },
    unaccepted: { count: 3, window: '5m', hold: '5m' },
    synSent: { count: 3, window: '5m', hold: '5m' },
    zeroWindow: { count: 3, window: '10m', hold: '10m' },
    unread: { count: 3, window: '10m', hold: '10m' },
    idle: { count: 5, window: '10m', hold: '30m' },
    // Half-open: several, and a share of what is established.
    halfOpen: { count: 3, share: 0.1, window: '5m', hold: '2m' },
    // One is enough where nobody listens any more.
    orphaned: { count: 1, window: '10m', hold: '5m' },
    // CLOSE_WAIT of which three floors, each of a period, lie above each other, by `growth` in all.
    leak: { growth: 5, period: '30m', twoPeriods: '1h', hold: '15m' },

    // Connects that fail: `count` in the window. A ticket needs a share of the attempts as well, a page that none succeeds.
    connects: { count: 5, window: '10m', share: 0.05, hold: '10m', pageHold: '5m' },
    // Accept queues: how full is full, and which share of the connections a listener may drop.
    acceptQueue: { saturation: 0.8, window: '5m', hold: '5m' },
    listenDrops: { count: 10, share: 0.01, window: '5m', hold: '5m' },
    retransmissions: { ratio: 0.05, segments: 1000, window: '10m', hold: '15m' },
    ephemeralPorts: { ratio: 0.8, window: '5m', hold: '10m', pageRatio: 0.98, pageHold: '2m' },

    // The exporter itself. `late` is in seconds, and more than --collector.interval.
    exporter: { downHold: '5m', missingHold: '10m', window: '5m', failingHold: '5m', late: 120, lateHold: '10m', overrunWindow: '15m', overrunHold: '30m' },

    // Links whose two ends are compared: { name, clients, client_port, servers, server_port }, where `clients`
    // and `servers` select ALL the targets of that side. The counts can only be compared where the port
    // is the same at both ends: with an address translation, a balancer or a service port between them
    // each end counts other connections, and for such a link (client_port is not server_port) there is no
    // alert. See links-example.jsonnet.
    links: [],
    link: { window: '5m', upWindow: '3m', hold: '10m' },

    dashboards: {
      tags: ['tcphealth'],
      refresh: '1m',
      // Which of the targets' labels name the job and the host.
      jobs: 'label_values(tcphealth_build_info, job)',
    },
  },
}
