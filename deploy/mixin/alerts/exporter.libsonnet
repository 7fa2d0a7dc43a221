// Tickets about the exporter itself: without it the other alerts are silent.
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
      'Prometheus cannot scrape a TCP health exporter.',
      ['{{ $labels.instance }} has not answered for %s: stale connections on that host go unnoticed.' % self_.downHold] + tail
      + ['Fix: if the host is up, systemctl restart tcphealth_exporter.'],
    ),
    lib.alert(
      'TCPHealthExporterMissing',
      'ticket',
      self_.missingHold,
      'absent(%s)' % lib.of('up'),
      'Prometheus has no TCP health exporter to scrape.',
      [
        'No target matches %s: nothing is monitored, and every other TCP health alert is silent.' % std.strReplace(config.selector, '"', "'"),
        'Confirm: the page Status > Targets of Prometheus; promtool check config /etc/prometheus/prometheus.yml',
        'Fix: restore the scrape job, or set the selector of the rules to the name of the job.',
      ],
    ),
    lib.alert(
      'TCPHealthSampleFailing',
      'ticket',
      self_.failingHold,
      'max_over_time(%s[%s]) == 0' % [lib.of('tcphealth_sample_success'), self_.window],
      'A TCP health exporter is blind: its samples fail, and its metrics no longer change.',
      ['{{ $labels.instance }}: no sample has succeeded for %s. The metrics show the last good sample.' % self_.window] + tail
      + ['Fix: see the log for the error. If a sample hangs, systemctl restart tcphealth_exporter.'],
    ),
    lib.alert(
      'TCPHealthSamplesLate',
      'ticket',
      self_.lateHold,
      'timestamp(%(stamp)s) - %(stamp)s > %(late)d' % { stamp: lib.of('tcphealth_last_sample_timestamp_seconds', 'tier="states"'), late: self_.late },
      'A TCP health exporter overruns its interval: its metrics are out of date.',
      ['{{ $labels.instance }}: the last good sample is {{ $value | humanizeDuration }} old.'] + tail
      + ['Fix: check the CPU load of the host and its clock (timedatectl), then systemctl restart tcphealth_exporter.'],
    ),
    lib.alert(
      'TCPHealthEventsOverrun',
      'ticket',
      self_.overrunHold,
      'increase(%s[%s]) > 0' % [lib.of('tcphealth_event_overruns_total'), self_.overrunWindow],
      'A TCP health exporter loses events: its counters are too low.',
      ['{{ $labels.instance }}: the event buffer overflowed {{ $value | printf "%%.0f" }} times in %s. Gauges stay correct; counters miss what the kernel dropped.' % self_.overrunWindow] + tail
      + ['Fix: give the exporter more CPU time, or raise net.core.rmem_max. It is not urgent.'],
    ),
  ],
}
