// The panels and dashboards used here, in Grafana's classic JSON model.
function(config) {
  local lib = self,
  local settings = config.dashboards,
  local source = { type: 'prometheus', uid: '${datasource}' },

  // A metric of the selected hosts; `labels` adds matchers.
  of(metric, labels=''):: '%s{job=~"$job",instance=~"$instance"%s}' % [metric, if labels == '' then '' else ',' + labels],
  rate(metric, labels=''):: 'rate(%s[$__rate_interval])' % lib.of(metric, labels),

  target(expr, legend=''):: { datasource: source, expr: expr, legendFormat: legend, range: true, instant: false },
  instant(expr, legend=''):: lib.target(expr, legend) { range: false, instant: true },
  row(expr):: lib.instant(expr) { format: 'table' },

  local panel(type, title, description, unit, targets) = {
    type: type,
    title: title,
    description: description,
    datasource: source,
    targets: [targets[i] { refId: lib.refId(i) } for i in std.range(0, std.length(targets) - 1)],
    fieldConfig: { defaults: { unit: unit, custom: {}, thresholds: lib.steps([]) }, overrides: [] },
    options: {},
  },

  // A ... Z, AA ...
  refId(i):: (if i >= 26 then std.char(64 + std.floor(i / 26)) else '') + std.char(65 + i % 26),
  // Green below the first threshold, red from the last one on; neutral without thresholds.
  steps(thresholds):: {
    mode: 'absolute',
    steps: [{ color: if thresholds == [] then 'text' else 'green', value: null }]
           + [{ color: if i == std.length(thresholds) - 1 then 'red' else 'orange', value: thresholds[i] } for i in std.range(0, std.length(thresholds) - 1)],
  },

  local override(matcher, options, properties) = {
    matcher: { id: matcher, options: options },
    properties: [{ id: id, value: properties[id] } for id in std.objectFields(properties)],
  },

  // Minimum length of the axis, so that a panel with only zeros has its line at the bottom.
  local softMax = { short: 1, none: 0.1, percentunit: 0.01, bytes: 1024, Bps: 1000 },

  timeseries(title, description, unit, targets, stack=false):: panel('timeseries', title, description, unit, targets) {
    fieldConfig+: { defaults+: {
      min: 0,
      color: { mode: 'palette-classic' },
      custom: {
        drawStyle: 'line',
        lineWidth: if stack then 1 else 2,
        fillOpacity: if stack then 40 else 0,
        showPoints: 'never',
        [if unit in softMax then 'axisSoftMax']: softMax[unit],
        stacking: { mode: if stack then 'normal' else 'none', group: 'A' },
      },
    } },
    options: {
      // Largest first: there is room for three.
      legend: { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'], showLegend: true, sortBy: 'Last *', sortDesc: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  },

  // The text of a panel without data, where no data means that nothing is wrong.
  orElse(text):: { fieldConfig+: { defaults+: { noValue: text } } },
  // Dashed lines at thresholds.
  thresholds(thresholds):: { fieldConfig+: { defaults+: { thresholds: lib.steps(thresholds), custom+: { thresholdsStyle: { mode: 'dashed' } } } } },
  decimals(digits):: { fieldConfig+: { defaults+: { decimals: digits } } },
  width(columns):: { columns:: columns },

  // States and reasons have the same colour everywhere; the two ends of a leak are red and orange.
  local colours = {
    established: 'green',
    close_wait: 'red',
    fin_wait2: 'orange',
    fin_wait1: 'super-light-orange',
    closing: 'yellow',
    last_ack: 'light-yellow',
    syn_sent: 'purple',
    syn_recv: 'light-purple',
    time_wait: '#8e8e8e',
    close: '#8e8e8e',
    dead: 'dark-red',
    keepalive: 'blue',
    retransmit: 'super-light-blue',
    unaccepted: 'dark-yellow',
    unread: 'dark-green',
    zero_window: 'super-light-green',
    idle: '#8e8e8e',
  },
  local colour(name) = override('byRegexp', '/\\b%s$/' % name, { color: { mode: 'fixed', fixedColor: colours[name] } }),
  byReason:: {
    fieldConfig+: { overrides+: [
      colour(name)
      for name in ['close_wait', 'fin_wait2', 'closing', 'syn_sent', 'dead', 'keepalive', 'retransmit', 'unaccepted', 'unread', 'zero_window', 'idle']
    ] },
  },
  byState:: {
    fieldConfig+: { overrides+: [
      colour(name)
      for name in ['established', 'close_wait', 'fin_wait2', 'fin_wait1', 'closing', 'last_ack', 'syn_sent', 'syn_recv', 'close', 'time_wait']
    ] },
  },
  // There may be hundreds of connections in TIME_WAIT for each other one: they get their own axis.
  apartTimeWait:: {
    fieldConfig+: { overrides+: [override('byName', 'time_wait', {
      'custom.axisPlacement': 'right',
      'custom.axisLabel': 'time_wait',
      'custom.stacking': { mode: 'none', group: 'A' },
      'custom.fillOpacity': 0,
      'custom.lineStyle': { fill: 'dash', dash: [4, 6] },
    })] },
  },

  stat(title, description, unit, expr, thresholds=[], none='0'):: panel('stat', title, description, unit, [lib.instant(expr)]) {
    fieldConfig+: { defaults+: { thresholds: lib.steps(thresholds), color: { mode: 'thresholds' }, noValue: none } },
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: 'none',
      textMode: 'value',
      justifyMode: 'center',
      orientation: 'auto',
    },
  },
  // Shows an infinite time as "never".
  never:: { fieldConfig+: { defaults+: { mappings: [
    { type: 'range', options: { from: 1e12, to: null, result: { text: 'never', color: 'orange', index: 0 } } },
  ] } } },

  // Shows 0 as "gone".
  gone:: { fieldConfig+: { defaults+: { mappings: [{ type: 'value', options: { '0': { text: 'gone', color: 'red', index: 0 } } }] } } },

  bars(title, description, unit, targets):: panel('bargauge', title, description, unit, targets) {
    fieldConfig+: { defaults+: { min: 0, color: { mode: 'fixed', fixedColor: 'blue' } } },
    options: {
      displayMode: 'basic',
      orientation: 'vertical',
      showUnfilled: false,
      valueMode: 'text',
      namePlacement: 'auto',
      text: { valueSize: 13, titleSize: 13 },
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
  },

  // Column headings by label.
  local headings = {
    alertname: 'Alert',
    instance: 'Host',
    microhttpd: 'libmicrohttpd',
    netns: 'Namespace',
    port: 'Port',
    reason: 'Reason',
    revision: 'Revision',
    role: 'Role',
    severity: 'Severity',
    unit: 'Unit',
    version: 'Version',
  },
  local widths = { alertname: 245, port: 75, role: 70, reason: 100, severity: 80 },

  // One row per set of labels, in columns of that order, and one column per figure: { name, expr, unit, decimals, thresholds }.
  // Rows are sorted by the first figure. A figure without a name is not shown. `links` is by label.
  table(title, description, labels, figures, links={}):: panel('table', title, description, 'string', [lib.row(figure.expr) for figure in figures]) {
    local value(i) = if std.length(figures) == 1 then 'Value' else 'Value #' + lib.refId(i),
    local numbers = std.range(0, std.length(figures) - 1),
    local shown = [figure for figure in figures if figure.name != ''],
    fieldConfig+: {
      defaults+: { custom: { align: 'auto', filterable: false } },
      overrides:
        [
          override(
            'byName',
            figure.name,
            { unit: figure.unit, noValue: '-', 'custom.align': 'right', 'custom.width': 105 }
            + (if 'decimals' in figure then { decimals: figure.decimals } else {})
            + (if 'thresholds' in figure
               then { thresholds: lib.steps(figure.thresholds), color: { mode: 'thresholds' }, 'custom.cellOptions': { type: 'color-text' } }
               else {})
          )
          for figure in shown
        ]
        + [override('byName', headings[label], { noValue: '-' } + (if label in widths then { 'custom.width': widths[label] } else {})) for label in labels]
        + [override('byName', headings[label], { links: [links[label]] }) for label in std.objectFields(links) if links[label] != null],
    },
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true, __name__: true, job: true } + { [value(i)]: true for i in numbers if figures[i].name == '' },
          indexByName: { [labels[i]]: i for i in std.range(0, std.length(labels) - 1) } + { [value(i)]: std.length(labels) + i for i in numbers },
          renameByName: { [label]: headings[label] for label in labels } + { [value(i)]: figures[i].name for i in numbers if figures[i].name != '' },
        },
      },
    ],
    options: { showHeader: true, cellHeight: 'sm', sortBy: [{ displayName: figure.name, desc: true } for figure in shown[0:1]] },
  },
  bySeverity:: {
    fieldConfig+: { overrides+: [override('byName', 'Severity', {
      'custom.cellOptions': { type: 'color-text' },
      mappings: [{ type: 'value', options: {
        critical: { text: 'critical', color: 'red', index: 0 },
        warning: { text: 'warning', color: 'orange', index: 1 },
        info: { text: 'info', color: 'blue', index: 2 },
      } }],
    })] },
  },

  text(title, description, content):: panel('text', title, description, 'none', []) {
    targets:: [],
    datasource:: null,
    options: { mode: 'markdown', content: content },
  },

  toPort:: {
    title: 'Details of this port',
    url: '/d/tcphealth-port?${datasource:queryparam}&${job:queryparam}&var-instance=${__data.fields.instance}&var-port=${__value.raw}&${__url_time_range}',
  },

  toExporter:: { fieldConfig+: { defaults+: { links: [
    { title: 'Exporters', url: '/d/tcphealth-exporter?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}' },
  ] } } },
  // A browser does not open local files from a web page, so only runbooks on the web get links.
  local isOnTheWeb = std.startsWith(config.runbookBase, 'http'),
  toRunbooks:: if isOnTheWeb then { title: 'Runbooks', url: config.runbookBase, targetBlank: true },

  local variable(name, label, query, multi) = {
    type: 'query',
    name: name,
    label: label,
    datasource: source,
    query: { query: query, refId: name },
    refresh: 2,
    sort: if name == 'port' then 3 else 1,
    multi: multi,
    includeAll: multi,
    [if multi then 'allValue']: '.+',
    [if multi then 'current']: { selected: true, text: ['All'], value: ['$__all'] },
    hide: 0,
    options: [],
  },

  variables:: {
    datasource: {
      type: 'datasource',
      name: 'datasource',
      label: 'Data source',
      query: 'prometheus',
      refresh: 1,
      regex: '',
      hide: 0,
      options: [],
      includeAll: false,
      multi: false,
    },
    job: variable('job', 'Job', settings.jobs, true),
    instance: variable('instance', 'Host', 'label_values(tcphealth_build_info{job=~"$job"}, instance)', true),
    port: variable('port', 'Port', 'label_values(tcphealth_connections{job=~"$job",instance=~"$instance"}, port)', false),
  },

  // Rows of panels: those of a row have its height, and share what is left of its 24 columns.
  local columns(panels) =
    local free = [panel for panel in panels if !std.objectHasAll(panel, 'columns')];
    local rest = std.foldl(function(rest, panel) rest - (if std.objectHasAll(panel, 'columns') then panel.columns else 0), panels, 24);
    local share(i) = std.floor(rest / std.length(free)) + (if i < rest % std.length(free) then 1 else 0);
    [if std.objectHasAll(panels[i], 'columns') then panels[i].columns else share(i) for i in std.range(0, std.length(panels) - 1)],
  local sums(numbers) = std.foldl(function(found, number) found + [found[std.length(found) - 1] + number], numbers, [0]),

  local placed(rows) =
    local tops = sums([row.height for row in rows]);
    local flat = std.flattenArrays([
      local widths = columns(rows[r].panels);
      [
        rows[r].panels[c] { gridPos: { x: sums(widths)[c], y: tops[r], w: widths[c], h: rows[r].height } }
        for c in std.range(0, std.length(widths) - 1)
      ]
      for r in std.range(0, std.length(rows) - 1)
    ]);
    [flat[i] { id: i + 1 } for i in std.range(0, std.length(flat) - 1)],

  local link = { asDropdown: false, icon: 'external link', includeVars: false, keepTime: false, tags: [], targetBlank: false, tooltip: '', url: '' },

  dashboard(uid, title, description, rows, variables=[], from='now-6h'):: {
    uid: uid,
    title: title,
    description: description,
    tags: settings.tags,
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: settings.refresh,
    time: { from: from, to: 'now' },
    timezone: 'browser',
    annotations: { list: [] },
    links: [
      link { type: 'dashboards', title: 'TCP health', tags: settings.tags, asDropdown: true, includeVars: true, keepTime: true },
    ] + (if isOnTheWeb then [link { type: 'link', title: 'Runbooks', url: config.runbookBase, targetBlank: true }] else []),
    templating: { list: [lib.variables.datasource, lib.variables.job, lib.variables.instance] + variables },
    panels: placed(rows),
  },
}
