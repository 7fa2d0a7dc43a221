// An example of a site's settings: alerts that fire after a minute instead of 20, for a first try
// (docs/first-alert.md). In production they would fire for every connection pool.
//
//   deploy/mixin/generate --config deploy/mixin/quick.libsonnet --rules /etc/prometheus/rules
{
  _config+:: {
    // One connection in CLOSE_WAIT for a minute is enough.
    closeWait+: { count: 1, window: '1m', hold: '1m' },
    // The same where the program has not noticed it yet.
    eofUnread+: { count: 1, window: '1m', hold: '1m' },
    // Stale on a port without a listener.
    orphaned+: { window: '1m', hold: '1m' },
  },
}
