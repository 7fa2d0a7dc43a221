// Panels and dashboards in Grafana's classic JSON model, as far as they are needed here.
function(config) {
  local lib = self,
  local settings = config.dashboards,
  local source = { type: 'prometheus', uid: '${datasource}' },

  // A metric of the chosen hosts; `labels` are further matchers.
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
  steps(limits):: {
    mode: 'absolute',
    steps: [{ color: 'green', value: null }]
           + [{ color: if i == std.length(limits) - 1 then 'red' else 'orange', value: limits[i] } for i in std.range(0, std.length(limits) - 1)],
  },

  timeseries(title, description, unit, targets, stack=false):: panel('timeseries', title, description, unit, targets) {
    fieldConfig+: { defaults+: {
      min: 0,
      custom: {
        drawStyle: 'line',
        lineWidth: 1,
        fillOpacity: if stack then 30 else 10,
        showPoints: 'never',
        stacking: { mode: if stack then 'normal' else 'none', group: 'A' },
      },
    } },
    options: {
      legend: { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'], showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  },

  stat(title, description, unit, expr, limits=[]):: panel('stat', title, description, unit, [lib.instant(expr)]) {
    fieldConfig+: { defaults+: { thresholds: lib.steps(limits), noValue: '0' } },
    options: { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, colorMode: 'value', graphMode: 'none' },
  },

  bars(title, description, unit, targets):: panel('bargauge', title, description, unit, targets) {
    fieldConfig+: { defaults+: { min: 0, color: { mode: 'continuous-BlYlRd' } } },
    options: { displayMode: 'gradient', orientation: 'vertical', showUnfilled: false, reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } },
  },

  // One row a set of labels, one column a query; `columns` are the names of the columns of the figures.
  table(title, description, unit, exprs, columns, units={}, link=null):: panel('table', title, description, unit, [lib.row(expr) for expr in exprs]) {
    fieldConfig+: {
      defaults+: { custom: { align: 'auto', filterable: true } },
      overrides:
        [
          { matcher: { id: 'byName', options: name }, properties: [{ id: 'unit', value: units[name] }] }
          for name in std.objectFields(units)
        ]
        + (if link == null then [] else [
             { matcher: { id: 'byName', options: 'port' }, properties: [{ id: 'links', value: [link] }] },
           ]),
    },
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true, __name__: true, job: true },
          renameByName: if std.length(columns) == 1 then { Value: columns[0], 'Value #A': columns[0] }
          else { ['Value #' + lib.refId(i)]: columns[i] for i in std.range(0, std.length(columns) - 1) },
        },
      },
    ],
    options: { showHeader: true, cellHeight: 'sm', sortBy: [{ displayName: columns[0], desc: true }] },
  },

  text(title, description, content):: panel('text', title, description, 'none', []) {
    targets:: [],
    datasource:: null,
    options: { mode: 'markdown', content: content },
  },

  toPort:: {
    title: 'This port in detail',
    url: '/d/tcphealth-port?${datasource:queryparam}&${job:queryparam}&var-instance=${__data.fields.instance}&var-port=${__value.raw}&${__url_time_range}',
  },

  local variable(name, label, query, multi) = {
    type: 'query',
    name: name,
    label: label,
    datasource: source,
    query: { query: query, refId: name },
    definition: query,
    refresh: 2,
    sort: if name == 'port' then 3 else 1,
    multi: multi,
    includeAll: multi,
    allValue: if multi then '.+' else null,
    current: if multi then { selected: true, text: ['All'], value: ['$__all'] } else {},
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
      current: {},
      hide: 0,
      options: [],
      includeAll: false,
      multi: false,
    },
    job: variable('job', 'Job', settings.jobs, true),
    instance: variable('instance', 'Host', 'label_values(tcphealth_build_info{job=~"$job"}, instance)', true),
    port: variable('port', 'Port', 'label_values(tcphealth_connections{job=~"$job",instance=~"$instance"}, port)', false),
  },

  // Rows of panels: those of a row share its width and have its height.
  local placed(rows) =
    local below = std.foldl(function(tops, row) tops + [tops[std.length(tops) - 1] + row.height], rows, [0]);
    local flat = std.flattenArrays([
      [
        rows[r].panels[c] {
          gridPos: { x: c * std.floor(24 / std.length(rows[r].panels)), y: below[r], w: std.floor(24 / std.length(rows[r].panels)), h: rows[r].height },
        }
        for c in std.range(0, std.length(rows[r].panels) - 1)
      ]
      for r in std.range(0, std.length(rows) - 1)
    ]);
    [flat[i] { id: i + 1 } for i in std.range(0, std.length(flat) - 1)],

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
    links: [{ type: 'dashboards', title: 'TCP health', tags: settings.tags, asDropdown: true, includeVars: true, keepTime: true, icon: 'external link' }],
    templating: { list: [lib.variables.datasource, lib.variables.job, lib.variables.instance] + variables },
    panels: placed(rows),
  },
}
