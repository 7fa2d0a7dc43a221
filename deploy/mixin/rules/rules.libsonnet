// Recording rules for what dashboards query often or over long ranges. All target labels are kept.
{
  local config = $._config,
  local join(parts) = std.join(',', [part for part in parts if part != '']),
  local of(metric, labels='') = '%s{%s}' % [metric, join([config.selector, labels])],

  prometheusRules+:: {
    groups: [
      {
        name: 'tcphealth-recording',
        rules: [
          {
            record: 'port:tcphealth_transferred_bytes:rate5m',
            expr: 'rate(%s[5m]) + rate(%s[5m])' % [of('tcphealth_sent_bytes_total'), of('tcphealth_received_bytes_total')],
          },
          {
            record: 'port:tcphealth_retransmitted_segments:ratio_rate5m',
            expr: 'rate(%s[5m]) / (rate(%s[5m]) > 0)' % [of('tcphealth_retransmitted_segments_total'), of('tcphealth_sent_segments_total')],
          },
          {
            record: 'instance:tcphealth_kernel_retransmitted_segments:ratio_rate5m',
            expr: 'rate(%s[5m]) / (rate(%s[5m]) > 0)' % [of('tcphealth_kernel_retransmitted_segments_total'), of('tcphealth_kernel_sent_segments_total')],
          },
          {
            record: 'port:tcphealth_stale_connections:sum',
            expr: 'sum without (reason) (%s)' % of('tcphealth_stale_connections', 'reason!="idle"'),
          },
          {
            record: 'port:tcphealth_failed_connects:rate5m',
            expr: 'sum without (reason) (rate(%s[5m]))' % of('tcphealth_failed_connects_total', config.connects.reasons),
          },
        ],
      },
    ],
  },
}
