// In which hours and on which days a port is used: what is quiet then may be muted then.
function(config, lib)
  local bytes = 'round(sum(%s))' % lib.of('port:tcphealth_transferred_bytes:rate5m', 'port="$port"');
  local opened = 'sum(rate(%s[15m]))' % lib.of('tcphealth_opened_connections_total', 'port="$port"');
  local over(expr, when, span) = 'avg_over_time((%s and on () %s)[%s:15m])' % [expr, when, span];
  local hours(expr) = [lib.instant(over(expr, 'hour() == %d' % hour, '7d'), '%02d' % hour) for hour in std.range(0, 23)];
  local names = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  local days(expr) = [lib.instant(over(expr, 'day_of_week() == %d' % (day % 7), '28d'), names[day % 7]) for day in std.range(1, 7)];

  lib.dashboard(
    'tcphealth-hours',
    'TCP health / Hours of use',
    'In which hours and on which days a port is used, and how to mute alerts in the others.',
    [
      {
        height: 9,
        panels: [
          lib.bars('Traffic by hour (UTC)', 'Bytes a second in each hour of the day, in UTC, on average over the last 7 days.', 'Bps', hours(bytes)),
        ],
      },
      {
        height: 9,
        panels: [
          lib.bars('New connections a second by hour (UTC)', 'Connections opened a second in each hour of the day, in UTC, on average over the last 7 days.', 'none', hours(opened)) + lib.decimals(2),
        ],
      },
      {
        height: 13,
        panels: [
          lib.bars('Traffic by day of the week (UTC)', 'Bytes a second on each day of the week, in UTC, on average over the last 28 days.', 'Bps', days(bytes)),
          lib.timeseries('Traffic', 'Bytes a second by host, to see what the averages hide.', 'Bps', [
            lib.target('round(sum by (instance, role) (%s))' % lib.of('port:tcphealth_transferred_bytes:rate5m', 'port="$port"'), '{{role}} {{instance}}'),
          ]),
          lib.text('A mute interval for the hours without use', 'What to add to the configuration of the Alertmanager.', |||
            A port that nobody uses at night may be stuck until the morning. In the configuration of the Alertmanager
            (the whole is in `deploy/alertmanager/alertmanager.yml`; times are in UTC unless `location` says otherwise):

            ```yaml
            time_intervals:
            - name: nobody-uses-it
              time_intervals:
              - weekdays: ['monday:friday']
                times:
                - {start_time: '20:00', end_time: '24:00'}
                - {start_time: '00:00', end_time: '06:00'}
              - weekdays: ['saturday', 'sunday']

            route:
              routes:
              - matchers: [port="$port", severity!="critical"]
                receiver: tickets
                group_by: [port]
                mute_time_intervals: [nobody-uses-it]
            ```

            Muting delays the message; the alert goes on, and is sent in the morning if it still fires.
          |||) + lib.width(10),
        ],
      },
    ],
    [lib.variables.port],
    'now-7d',
  )
