// The exporter itself: without it nobody sees the rest.
function(config, lib) {
  local self_ = config.exporter,
  local tail = [
    'Confirm: systemctl status tcphealth_exporter; curl -s http://localhost:%d/-/ready; journalctl -u tcphealth_exporter --since -30min' % config.listenPort,
  ],

  name: 'tcphealth-exporter',
  rules: [
    lib.alert(
      'TCPHealthExporterDown',
      'ticket',
      self_.downHold,
      '%s == 0' % lib.of('up'),
      'Prometheus cannot scrape an exporter of TCP health.',
      ['{{ $labels.instance }} has not answered for %s: no stuck connection of that host is seen.' % self_.downHold] + tail
      + ['Now: systemctl restart tcphealth_exporter, if the host is up.'],
    ),
    lib.alert(
      'TCPHealthExporterMissing',
      'ticket',
      self_.missingHold,
      'absent(%s)' % lib.of('up'),
      'Prometheus knows no exporter of TCP health at all.',
      [
        'There is no target for %s: nothing is watched, and every other alert about TCP is silent.' % std.strReplace(config.selector, '"', "'"),
        'Confirm: the page Status, Targets of Prometheus; promtool check config /etc/prometheus/prometheus.yml',
        'Now: restore the scrape job, or make the selector of the rules name the job that there is.',
      ],
    ),
    lib.alert(
      'TCPHealthSampleFailing',
      'ticket',
      self_.failingHold,
      'max_over_time(%s[%s]) == 0' % [lib.of('tcphealth_sample_success'), self_.window],
      'An exporter of TCP health is blind: its samples fail and its figures stand still.',
      ['{{ $labels.instance }}: no sample has succeeded for %s; the figures are those of the last good one.' % self_.window] + tail
      + ['Now: the log names the error. systemctl restart tcphealth_exporter helps if a sample hangs.'],
    ),
    lib.alert(
      'TCPHealthSamplesLate',
      'ticket',
      self_.lateHold,
      'timestamp(%(stamp)s) - %(stamp)s > %(late)d' % { stamp: lib.of('tcphealth_last_sample_timestamp_seconds', 'tier="states"'), late: self_.late },
      'An exporter of TCP health overruns its interval: its figures are old.',
      ['{{ $labels.instance }}: the last good sample is {{ $value | humanizeDuration }} old.'] + tail
      + ['Now: see whether the host is out of processor time or its clock is wrong (timedatectl); then systemctl restart tcphealth_exporter.'],
    ),
    lib.alert(
      'TCPHealthEventsOverrun',
      'ticket',
      self_.overrunHold,
      'increase(%s[%s]) > 0' % [lib.of('tcphealth_event_overruns_total'), self_.overrunWindow],
      'An exporter of TCP health loses events: its counters are too low.',
      ['{{ $labels.instance }}: the kernel dropped events {{ $value | printf "%%.0f" }} times in %s, as they were not read fast enough. Gauges stay right; counters lose what happened then.' % self_.overrunWindow] + tail
      + ['Now: nothing is urgent. Give the exporter processor time, or a larger net.core.rmem_max.'],
    ),
  ],
}
