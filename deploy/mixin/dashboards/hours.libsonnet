// The hours and days on which a port is used, to choose when to mute it.
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
    'The hours and days on which a port is used, and how to mute its alerts at other times.',
    [
      {
        height: 9,
        panels: [
          lib.bars('Traffic by hour (UTC)', 'Average bytes per second in each hour of the day (UTC), over the last 7 days.', 'Bps', hours(bytes)),
        ],
      },
      {
        height: 9,
        panels: [
          lib.bars('New connections per second by hour (UTC)', 'Average connections opened per second in each hour of the day (UTC), over the last 7 days.', 'none', hours(opened)) + lib.decimals(2),
        ],
      },
      {
        height: 13,
        panels: [
          lib.bars('Traffic by day of the week (UTC)', 'Average bytes per second on each day of the week (UTC), over the last 28 days.', 'Bps', days(bytes)),
          lib.timeseries('Traffic', 'Bytes per second by host, to see what the averages hide.', 'Bps', [
            lib.target('round(sum by (instance, role) (%s))' % lib.of('port:tcphealth_transferred_bytes:rate5m', 'port="$port"'), '{{role}} {{instance}}'),
          ]),
          lib.text('A mute interval for the unused hours', 'Add this to the configuration of the Alertmanager.', |||
            If nobody uses a port at night, its alerts can wait until the morning. Add this to the configuration of the
            Alertmanager. A complete example is `deploy/alertmanager/alertmanager.yml`. Times are in UTC unless you set
            `location`.

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

            Muting delays only the message: if the alert still fires in the morning, it is sent then.
          |||) + lib.width(10),
        ],
      },
    ],
    [lib.variables.port],
    'now-7d',
  )
