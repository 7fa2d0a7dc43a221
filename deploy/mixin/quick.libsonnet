// An example of what a site changes: here, everything that makes the alerts about the mission's night patient. For a
// first try (docs/first-alert.md), where nobody wants to wait for 20 minutes. As a production's rules these would
// complain about every pool of connections.
//
//   deploy/mixin/generate --config deploy/mixin/quick.libsonnet --rules /etc/prometheus/rules
{
  _config+:: {
    // This end never closes: one connection is enough, and it has to be so for a minute.
    closeWait+: { count: 1, window: '1m', hold: '1m' },
    // Stuck on a port on which nobody listens any more.
    orphaned+: { window: '1m', hold: '1m' },
  },
}
