// The exporter itself: does it see everything, and what does it cost.
function(config, lib)
  local perHost(expr) = [lib.target(expr, '{{instance}}')];

  lib.dashboard(
    'tcphealth-exporter',
    'TCP health / Exporter',
    'Whether the exporters see everything, and what they cost.',
    [
      {
        height: 4,
        panels: [
          lib.stat('Exporters that answer', 'Targets that Prometheus can scrape.', 'short', 'sum(%s)' % lib.of('up')),
          lib.stat('Blind', 'Exporters without a good sample in the last minutes.', 'short', 'count(max_over_time(%s[$__rate_interval]) == 0)' % lib.of('tcphealth_sample_success'), [1]),
          lib.stat('Without netlink', 'Exporters that read /proc/net/tcp, which tells less.', 'short', 'count(%s == 1)' % lib.of('tcphealth_sample_source', 'source="procfs"'), [1]),
          lib.stat('Without events', 'Exporters that miss connections that live and die between two samples.', 'short', 'count(%s == 0)' % lib.of('tcphealth_events_active'), [1]),
          lib.stat('Ports folded', 'Ports that have no series of their own and are counted under port "other".', 'short', 'sum(%s)' % lib.of('tcphealth_ports_folded')),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Duration of a sample', 'How long the last sample took.', 's', perHost(lib.of('tcphealth_sample_duration_seconds'))),
          lib.timeseries('Age of the sample', 'How old the figures are at the scrape; the clocks of both hosts have to agree.', 's', [
            lib.target('timestamp(%(stamp)s) - %(stamp)s' % { stamp: lib.of('tcphealth_last_sample_timestamp_seconds') }, '{{instance}} {{tier}}'),
          ]),
          lib.timeseries('Sockets sampled', 'Sockets in the last good sample, listeners included.', 'short', perHost(lib.of('tcphealth_sampled_sockets'))),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Samples that failed a second', 'It should be 0: the figures of a host whose samples fail are old.', 'none', perHost(lib.rate('tcphealth_sample_errors_total'))),
          lib.timeseries('Events a second', 'Reports of closed connections: received, lost, and closes whose figures the kernel had wiped.', 'none', [
            lib.target(lib.rate('tcphealth_events_total'), '{{instance}} received'),
            lib.target(lib.rate('tcphealth_events_lost_total'), '{{instance}} lost'),
            lib.target(lib.rate('tcphealth_wiped_closes_total'), '{{instance}} wiped'),
          ]),
          lib.timeseries('Not trusted a second', 'Messages that did not come from the kernel, records that made no sense, and overruns.', 'none', [
            lib.target(lib.rate('tcphealth_forged_messages_total'), '{{instance}} forged'),
            lib.target(lib.rate('tcphealth_malformed_records_total'), '{{instance}} malformed'),
            lib.target(lib.rate('tcphealth_event_overruns_total'), '{{instance}} overruns'),
          ]),
        ],
      },
      {
        height: 9,
        panels: [
          lib.timeseries('Processor time', 'Part of one processor: the whole process, and samples alone.', 'percentunit', [
            lib.target(lib.rate('process_cpu_seconds_total'), '{{instance}} process'),
            lib.target(lib.rate('tcphealth_sample_cpu_seconds_total'), '{{instance}} samples'),
          ]),
          lib.timeseries('Memory', 'Resident memory of the process.', 'bytes', perHost(lib.of('process_resident_memory_bytes'))),
          lib.timeseries('Descriptors', 'Open file descriptors of the process.', 'short', perHost(lib.of('process_open_fds'))),
          lib.timeseries('Evidence of roles', 'Connections by what decided which end opened them; port_range, port_parity and port_order are guesses.', 'short', [
            lib.target('sum by (evidence) (%s)' % lib.of('tcphealth_role_evidence_connections'), '{{evidence}}'),
          ], stack=true),
        ],
      },
      {
        height: 8,
        panels: [
          lib.table('Versions', 'What runs where, and for how long.', ['instance', 'version', 'revision', 'microhttpd'], [
            { name: '', expr: 'max by (instance, version, revision, microhttpd) (%s)' % lib.of('tcphealth_build_info') },
            { name: 'Up for', unit: 's', expr: 'max by (instance) (time() - %s)' % lib.of('process_start_time_seconds') },
          ]),
          lib.table('Kernel settings', 'The defaults in force for keepalive, and how long the kernel keeps trying.', ['instance', 'netns'], [
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
