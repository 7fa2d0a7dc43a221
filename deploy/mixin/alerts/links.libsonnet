// Tickets about links: one end has connections that the other end does not.
function(config, lib) {
  local overTime(link, function_, metric, window) =
    '(%(f)s(%(m)s{%(c)s}[%(w)s]) or %(f)s(%(m)s{%(s)s}[%(w)s]))' % { f: function_, m: metric, c: link.clients, s: link.servers, w: window },

  // The minimum at one end against the maximum at the other: a difference lasted for the whole window.
  // Every exporter was up within upWindow, which is shorter, so its series are in the sums even after a restart.
  // An end without any target is unknown, which is not the same as having no connections.
  local more(link, least, most) = |||
    (
      sum(min_over_time(tcphealth_connections{%(least)s}[%(window)s]))
      -
      (sum(max_over_time(tcphealth_connections{%(most)s}[%(window)s])) or vector(0))
    ) > 0
    and on ()
    min(max_over_time(up{%(clients)s}[%(upWindow)s])) == 1
    and on ()
    min(max_over_time(up{%(servers)s}[%(upWindow)s])) == 1
    unless on ()
    min(%(seeing)s) == 0
  ||| % {
    least: least,
    most: most,
    window: config.link.window,
    clients: link.clients,
    servers: link.servers,
    upWindow: config.link.upWindow,
    seeing: overTime(link, 'max_over_time', 'tcphealth_sample_success', config.link.upWindow),
  },

  local end(selector, role, port, states) = '%s,role="%s",port="%d",state!~"%s"' % [selector, role, port, states],
  // The counts of one end by host, and the units with stale connections there.
  local counts(name, selected) =
    name + ' now: {{ range $i, $count := query `sum by (instance) (tcphealth_connections{' + selected + '}) > 0` | sortByLabel "instance" }}{{ if $i }}, {{ end }}{{ $count.Labels.instance }} {{ $count.Value | printf "%.0f" }}{{ else }}none{{ end }}.',
  local stale(selector, role, port) =
    local matchers = '%s,role="%s",port="%s"' % [selector, role, port];
    '{{ range query `sort_desc(topk(5, tcphealth_stale_unit_connections{' + matchers + '}))` }}{{ .Labels.instance }}: {{ with .Labels.unit }}{{ . }}{{ else }}an unknown unit{{ end }} has {{ .Value | printf "%.0f" }} stale ({{ .Labels.reason }})'
    + '{{ range printf `tcphealth_stale_unit_oldest_seconds{' + matchers + ',job=%q,instance=%q,netns=%q,port=%q,role=%q,reason=%q,unit=%q}` .Labels.job .Labels.instance .Labels.netns .Labels.port .Labels.role .Labels.reason .Labels.unit | query }}, the oldest for {{ .Value | humanizeDuration }}{{ end }}. {{ else }}None of them is stale yet. {{ end }}',

  local disagree(link, side) =
    local here = if side == 'client' then 'clients' else 'servers';
    local there = if side == 'client' then 'servers' else 'clients';
    local clients = end(link.clients, 'client', link.client_port, 'time_wait');
    local servers = end(link.servers, 'server', link.server_port, 'time_wait');
    local settledClients = end(link.clients, 'client', link.client_port, 'time_wait|syn_sent');
    local settledServers = end(link.servers, 'server', link.server_port, 'time_wait|syn_recv');
    local port = '%d' % (if side == 'client' then link.client_port else link.server_port);
    local selector = if side == 'client' then link.clients else link.servers;
    lib.alert(
      'TCPHealthEndsDisagree',
      'ticket',
      config.link.hold,
      if side == 'client' then more(link, settledClients, servers) else more(link, settledServers, clients),
      'The two ends of a link disagree: one has connections that the other does not.',
      [
        'Link %s, port %s: the %s have %s that the %s do not.' % [link.name, port, here, lib.connections(), there],
        counts('Clients', clients) + ' ' + counts('Servers', servers),
        stale(selector, side, port),
        "Confirm: on a host of the %s, ss -tnop '%s = :%s'; look for each of them on its peer." % [here, if side == 'client' then 'dport' else 'sport', port],
        'Fix: these connections lead nowhere. Find out why the unit on the %s did not notice: no SO_KEEPALIVE or TCP_USER_TIMEOUT, or a missing close().' % here,
      ],
      { link: link.name, port: port, side: side },
    ),

  local comparable = [link for link in config.links if link.client_port == link.server_port],

  groups: if comparable == [] then [] else [{
    name: 'tcphealth-links',
    rules: [disagree(link, side) for link in comparable for side in ['client', 'server']],
  }],
}.groups
