// The exporter itself: does it see everything, and what does it cost?
function(config, lib)
  local perHost(expr) = [lib.target(expr, '{{instance}}')];

  lib.dashboard(
    'tcphealth-exporter',
    'TCP health / Exporter',
    'Do the exporters see everything, and what do they cost?',
    [
      {
        height: 4,
        panels: [
          lib.stat('Exporters up', 'Targets that Prometheus can scrape.', 'short', 'sum(%s)' % lib.of('up')),
          lib.stat('Blind', 'Exporters without a good sample in the last minutes.', 'short', 'count(max_over_time(%s[$__rate_interval]) == 0)' % lib.of('tcphealth_sample_success'), [1]),
          lib.stat('Without netlink', 'Exporters that read /proc/net/tcp, which has less data.', 'short', 'count(%s == 1)' % lib.of('tcphealth_sample_source', 'source="procfs"'), [1]),
          lib.stat('Without events', 'Exporters that get no events, and so miss connections that open and close between two samples.', 'short', 'count(%s == 0)' % lib.of('tcphealth_events_active'), [1]),
          lib.stat('Ports folded', 'Ports without series of their own, counted under port "other".', 'short', 'sum(%s)' % lib.of('tcphealth_ports_folded')),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Sample duration', 'How long the last sample took.', 's', perHost(lib.of('tcphealth_sample_duration_seconds'))),
          lib.timeseries('Sample age', 'Age of the last good sample at the scrape. The clocks of both hosts have to agree.', 's', [
            lib.target('timestamp(%(stamp)s) - %(stamp)s' % { stamp: lib.of('tcphealth_last_sample_timestamp_seconds') }, '{{instance}} {{tier}}'),
          ]),
          lib.timeseries('Sockets sampled', 'Sockets in the last good sample, listeners included.', 'short', perHost(lib.of('tcphealth_sampled_sockets'))),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Failed samples per second', 'Should be 0: if samples fail, the metrics show the last good sample.', 'none', perHost(lib.rate('tcphealth_sample_errors_total'))),
          lib.timeseries('Events per second', 'Reports of closed connections: received, lost, and received after the kernel wiped their counters.', 'none', [
            lib.target(lib.rate('tcphealth_events_total'), '{{instance}} received'),
            lib.target(lib.rate('tcphealth_events_lost_total'), '{{instance}} lost'),
            lib.target(lib.rate('tcphealth_wiped_closes_total'), '{{instance}} wiped'),
          ]),
          lib.timeseries('Rejected input per second', 'Messages that did not come from the kernel, malformed records, and overruns.', 'none', [
            lib.target(lib.rate('tcphealth_forged_messages_total'), '{{instance}} forged'),
            lib.target(lib.rate('tcphealth_malformed_records_total'), '{{instance}} malformed'),
            lib.target(lib.rate('tcphealth_event_overruns_total'), '{{instance}} overruns'),
          ]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('CPU', 'Share of one CPU: the whole process, and sampling alone.', 'percentunit', [
            lib.target(lib.rate('process_cpu_seconds_total'), '{{instance}} process'),
            lib.target(lib.rate('tcphealth_sample_cpu_seconds_total'), '{{instance}} samples'),
          ]),
          lib.timeseries('Memory', 'Resident memory of the process.', 'bytes', perHost(lib.of('process_resident_memory_bytes'))),
          lib.timeseries('Descriptors', 'Open file descriptors of the process.', 'short', perHost(lib.of('process_open_fds'))),
          lib.timeseries('Role evidence', 'Connections by the evidence for their role. port_range, port_parity and port_order are guesses.', 'short', [
            lib.target('sum by (evidence) (%s)' % lib.of('tcphealth_role_evidence_connections'), '{{evidence}}'),
          ], stack=true),
        ],
      },
      {
        height: 8,
        panels: [
          lib.table('Versions', 'Version and uptime of each exporter.', ['instance', 'version', 'revision', 'microhttpd'], [
            { name: '', expr: 'max by (instance, version, revision, microhttpd) (%s)' % lib.of('tcphealth_build_info') },
            { name: 'Up for', unit: 's', expr: 'max by (instance) (time() - %s)' % lib.of('process_start_time_seconds') },
          ]),
          lib.table('Kernel settings', 'Keepalive defaults, and how long the kernel keeps trying.', ['instance', 'netns'], [
            { name: setting[0], unit: setting[1], expr: 'max by (instance, netns) (%s)' % lib.of('tcphealth_sysctl_' + setting[2]) }
            for setting in [
              ['Keepalive', 's', 'keepalive_time_seconds'],
              ['Interval', 's', 'keepalive_interval_seconds'],
              ['Probes', 'short', 'keepalive_probes'],
              ['Retries', 'short', 'retries2'],
              ['FIN timeout', 's', 'fin_timeout_seconds'],
            ]
          ]),
        ],
      },
    ],
  )
