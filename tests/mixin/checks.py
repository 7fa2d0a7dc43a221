"""The checks of files: what is generated, and what the rules, runbooks and dashboards contain."""
import difflib
import filecmp
import glob
import json
import os
import re
import subprocess

import yaml

from promql import analyse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MIXIN = os.path.join(ROOT, 'deploy/mixin')
DASHBOARDS = os.path.join(ROOT, 'grafana/dashboards')
RUNBOOKS = os.path.join(ROOT, 'docs/runbooks.md')
GENERATED = ['deploy/mixin/generated', 'grafana/dashboards']

# What targets have, and what Prometheus makes itself.
TARGET_LABELS = {'job', 'instance', 'netns'}
OWN_METRICS = {'up': set(), 'ALERTS': {'alertname', 'alertstate', 'severity', 'port', 'role', 'link'}}
OWN_METRICS['ALERTS_FOR_STATE'] = OWN_METRICS['ALERTS'] - {'alertstate'}
SECTIONS = ['Meaning', 'Confirm', 'Fix', 'Prevent']
SEVERITIES = {'critical', 'warning', 'info'}
UNITS = {'short', 's', 'bytes', 'Bps', 'percentunit', 'none', 'string'}


def sh(*command, **options):
    """Runs a command; returns its status and its output with its complaints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          check=False, **options)
    return done.returncode, done.stdout


def complaints(*command, **options):
    """The output of a command that fails, else nothing."""
    status, out = sh(*command, **options)
    return (out.splitlines() or [f'{command[0]}: status {status}']) if status else []


def jsonnet(expression):
    """The value of a jsonnet expression about the mixin."""
    done = subprocess.run(['jsonnet', '-J', MIXIN, '-J', HERE, '-e', expression], stdout=subprocess.PIPE, check=True,
                          timeout=60)
    return json.loads(done.stdout)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


class Project:
    """The mixin as jsonnet tells it, and the documented metrics; read once."""

    def __init__(self):
        self.config = jsonnet("(import 'mixin.libsonnet')._config")
        groups = jsonnet("(import 'mixin.libsonnet').prometheusAlerts.groups")
        self.links = jsonnet("(import 'links-example.jsonnet').groups")
        self.groups = groups
        self.alerts = [rule for group in groups + self.links for rule in group['rules']]
        self.records = [rule for group in jsonnet("(import 'mixin.libsonnet').prometheusRules.groups")
                        for rule in group['rules']]
        self.dashboards = {os.path.basename(path): json.loads(read(path))
                           for path in sorted(glob.glob(os.path.join(DASHBOARDS, '*.json')))}
        self.metrics, self.values = documented(read(os.path.join(ROOT, 'docs/metrics.md')))
        for rule in self.records:
            labels = [self.metrics[selector.metric] for selector in analyse(rule['expr'])[0]]
            self.metrics[rule['record']] = set.union(*labels)
        self.metrics.update(OWN_METRICS)

    def expressions(self):
        """Every expression that is evaluated, with where it stands."""
        for rule in self.records:
            yield rule['record'], rule['expr']
        for rule in self.alerts:
            yield rule['alert'], rule['expr']
            for query in re.findall(r'`([^`]*tcphealth_[^`]*)`', rule['annotations']['description']):
                yield f'description of {rule["alert"]}', query.replace('%q', '"x"')
        for name, dashboard in self.dashboards.items():
            for panel in dashboard['panels']:
                for target in panel.get('targets', []):
                    yield f'{name}: {panel["title"]}', target['expr']


def documented(text):
    """The metrics of docs/metrics.md with their labels, and the values that labels may have, by label."""
    metrics = {}
    for name, labels in re.findall(r'^\| `(\w+)` \| \w+ \| ([^|]*)\|', text, re.MULTILINE):
        metrics[name] = {label.strip() for label in labels.split(',') if label.strip()}
    values = {}
    for label, rest in re.findall(r'^- `(\w+)`(.*(?:\n  .*)*)', text, re.MULTILINE):
        if label in ('role', 'state', 'reason', 'evidence', 'keepalive'):
            values.setdefault(label, set()).update(re.findall(r'`(\w+)`', rest))
    return metrics, values


# Generated files

def is_generated(scratch):
    fresh = os.path.join(scratch, 'fresh')
    yield from complaints(os.path.join(MIXIN, 'generate'), fresh)
    for folder in GENERATED:
        compared = filecmp.dircmp(os.path.join(ROOT, folder), os.path.join(fresh, folder))
        _, differing, unreadable = filecmp.cmpfiles(compared.left, compared.right, compared.common_files, shallow=False)
        for name in compared.left_only + compared.right_only + differing + unreadable:
            yield f'{folder}/{name} is not what deploy/mixin/generate makes'


def is_formatted():
    sources = [path for folder in (MIXIN, HERE) for ending in ('libsonnet', 'jsonnet')
               for path in glob.glob(f'{folder}/**/*.{ending}', recursive=True)]
    for path in sorted(sources):
        if sh('jsonnetfmt', '--test', path)[0]:
            yield f'jsonnetfmt -i {os.path.relpath(path, ROOT)}'


def rules_are_valid():
    return complaints('promtool', 'check', 'rules', *sorted(glob.glob(os.path.join(MIXIN, 'generated/*.yaml'))))


# promtool's unit tests

def bare(groups):
    """Rules without annotations: the tests of when an alert fires need not repeat what it says."""
    return {'groups': [dict(group, rules=[{key: rule[key] for key in rule if key != 'annotations'}
                                          for rule in group['rules']]) for group in groups]}


def each_alone(groups):
    """{file: its one alert}: a test of one alert need not evaluate them all."""
    return {f'only-{rule["alert"]}.yaml': bare([{'name': 'alone', 'rules': [rule]}])
            for group in groups for rule in group['rules']}


def lay_out_tests(project, scratch):
    """Puts the rules and all tests of promtool side by side; the tests' names."""
    folder = os.path.join(scratch, 'promtool')
    os.makedirs(folder, exist_ok=True)
    files = {
        'bare-alerts.yaml': bare(project.groups),
        'bare-links.yaml': bare(project.links),
        'full-alerts.yaml': {'groups': project.groups},
        'full-links.yaml': {'groups': project.links},
        'rules.out.yaml': {'groups': [{'name': 'rules', 'rules': project.records}]},
        **each_alone(project.groups),
    }
    tests = jsonnet("import 'alerts.jsonnet'")
    for name, content in {**files, **tests}.items():
        write(os.path.join(folder, name), json.dumps(content))
    by_hand = [os.path.basename(path) for path in glob.glob(os.path.join(HERE, '*.yaml'))]
    for name in by_hand:
        write(os.path.join(folder, name), read(os.path.join(HERE, name)))
    return folder, sorted(tests) + sorted(set(by_hand) - {'descriptions.yaml'})


class UnitTests:
    """One run of promtool for all files, as starting it costs more than the tests."""

    def __init__(self, project, scratch):
        self.folder, self.names = lay_out_tests(project, scratch)
        self.said = None

    def verdicts(self):
        if self.said is None:
            _, out = sh('promtool', 'test', 'rules', *self.names, cwd=self.folder)
            self.said = dict(re.findall(r'^Unit Testing:  (\S+)\n((?:(?!Unit Testing:).*\n?)*)', out, re.MULTILINE))
        return self.said

    def check(self, name):
        verdict = self.verdicts().get(name, 'promtool said nothing')
        return [] if verdict.split() == ['SUCCESS'] else verdict.splitlines()


# What a test of promtool shows begins its name, "fires, resolves: ...": each kind is needed for each alert. Whether it does
# show that is seen in what it expects, True for each moment in which something fires.
KINDS = {
    'fires': lambda firing, _: True in firing,
    'below': lambda firing, _: False in firing,
    'resolves': lambda firing, _: True in firing and not firing[-1],
    'restarts': lambda firing, gaps: gaps and firing.count(True) > 1,
    'vanishes': lambda firing, _: bool(firing),
}
GAPS = re.compile(r'\bstale\b|_|(?<![\d.])0(?:x\d+)? 1')


def minutes_of(time):
    return int(time[:-1]) * {'m': 1, 'h': 60}[time[-1]]


def kinds_shown(test):
    """(alert, kind, whether the test does show it) of a unit test."""
    name = test.get('name', '').partition(':')[0]
    kinds = {re.sub(r'\d+$', '', kind) for kind in name.split(', ')} & set(KINDS)
    gaps = any(GAPS.search(series['values']) for series in test['input_series'])
    moments = {}
    for expected in sorted(test.get('alert_rule_test', []), key=lambda entry: minutes_of(entry['eval_time'])):
        moments.setdefault(expected['alertname'], []).append(bool(expected['exp_alerts']))
    for alert, firing in moments.items():
        yield from ((alert, kind, bool(KINDS[kind](firing, gaps))) for kind in kinds)


def every_alert_is_tested(project, tests):
    """Each alert fires, does not fire just below, resolves, survives a restart and a series that is missing."""
    shown = set()
    for name in tests.names:
        for test in yaml.safe_load(read(os.path.join(tests.folder, name)))['tests']:
            for alert, kind, holds in kinds_shown(test):
                shown.add((alert, kind))
                if not holds:
                    yield f'{name}: "{test["name"]}" does not show that {alert} {kind}'
    for alert in sorted({rule['alert'] for rule in project.alerts}):
        yield from (f'{alert}: no unit test is called "{kind}"' for kind in KINDS if (alert, kind) not in shown)


def rendered(project, tests):
    """Each alert's summary and description as promtool renders them, from the difference to an empty expectation."""
    path = os.path.join(tests.folder, 'descriptions.yaml')
    names = sorted({rule['alert'] for rule in project.alerts})
    wanted = json.dumps([{'eval_time': '120m', 'alertname': name, 'exp_alerts': []} for name in names])
    write(path, re.sub(r'(?m)^  input_series:', f'  alert_rule_test: {wanted}\n  input_series:',
                       read(os.path.join(HERE, 'descriptions.yaml'))))
    _, out = sh('promtool', 'test', 'rules', path, cwd=tests.folder)
    for labels, description, summary in re.findall(
            r'Labels:(\{.*\})\s+Annotations:\{description="((?:[^"\\]|\\.)*)".*summary="([^"]*)"', out):
        yield f'{labels}\n{summary}\n' + json.loads(f'"{description}"')


def descriptions_are_as_agreed(project, tests):
    golden = os.path.join(HERE, 'descriptions.txt')
    told = '\n\n'.join(sorted(set(rendered(project, tests)))) + '\n'
    for rule in project.alerts:
        if f'alertname="{rule["alert"]}"' not in told:
            yield f'{rule["alert"]} is not in descriptions.yaml'
    if os.environ.get('TCPHEALTH_GOLDEN') == 'write':
        write(golden, told)
    yield from difflib.unified_diff(read(golden).splitlines(), told.splitlines(), 'agreed', 'now', lineterm='')
    for wrong in re.findall(r'.*(?:<no value>|<error|map\[).*', told):
        yield f'a template went wrong: {wrong}'


#: What is proposed to be done about stale connections of a unit, and what the annotation for the remedy hook says.
CURES = {
    'feed.service': ('systemctl restart feed.service', 'feed.service'),
    'load@35111.service': ('systemctl restart load@35111.service', 'load@35111.service'),
    r'my\x2dapp.service': (r"systemctl restart 'my\x2dapp.service'", r'my\x2dapp.service'),
    'user@1000.service': ('end the program that holds them (systemctl status user@1000.service lists its processes)', None),
    'session-3.scope': ('end the program that holds them (systemctl status session-3.scope lists its processes)', None),
    'check@.service': ("stop the instance of check@.service that holds them; "
                       "curl -s 'http://localhost:10793/api/v1/connections?reason=any&port=PORT' names it as unit_instance", None),
    'docker.service': ('restart the container behind docker.service', None),
    'k3s-agent.service': ('restart the container behind k3s-agent.service', None),
    'docker:0123456789ab': ('docker restart 0123456789ab', None),
    'docker:0123456789ab/nginx.service': ('restart nginx.service inside docker:0123456789ab, not on this host', None),
    'machine:web1/nginx.service': ('restart nginx.service inside machine:web1, not on this host', None),
    'machine:web1/my service; reboot': ('restart the program that holds them, in machine:web1/my service; reboot', None),
    'machine:web1': ('restart the program that holds them, in machine:web1', None),
    'machine:nginx.service': ('restart the program that holds them, in machine:nginx.service', None),
    '/boxes/web1/system.slice/nginx.service': (
        'restart the program that holds them, in /boxes/web1/system.slice/nginx.service', None),
    'sshd.socket': ('restart the program that holds them', None),
}


def units_are_cured(tests):
    """Each unit has a port of its own, on which a service of this host has fewer stale connections."""
    alert = 'TCPHealthCloseWaitStale'
    groups = jsonnet("((import 'mixin.libsonnet') + (import '../remedy/remedy.libsonnet')).prometheusAlerts.groups")
    proposed = {rule['alert']: rule['annotations']['restart'] for group in groups for rule in group['rules']
                if 'restart' in rule['annotations']}
    hook = set(re.findall(r"'(TCPHealth\w+)'", read(os.path.join(ROOT, 'deploy/remedy/tcphealth_remedy'))))
    if set(proposed) != hook:
        yield f'the rules propose a restart for {sorted(proposed)}, the hook accepts {sorted(hook)}'
    for name, roles in (('TCPHealthEndUnread', 'server'), ('TCPHealthCloseWaitStale', 'server|client')):
        if f'role=~"{roles}"' not in proposed.get(name, ''):
            yield f'{name} proposes a restart in other roles than {roles}'
    series = []
    for port, unit in enumerate(CURES, 1):
        labels = f'job="tcphealth",instance="app1",role="server",port="{port}",reason="close_wait"'
        series += [{'series': f'tcphealth_stale_connections{{{labels}}}', 'values': '20x130'}]
        series += [{'series': f'tcphealth_stale_unit_connections{{{labels},unit={json.dumps(name)}}}', 'values': f'{count}x130'}
                   for name, count in ((unit, 15), ('other.service', 5))]
    test = {'interval': '1m', 'input_series': series, 'alert_rule_test': [{'eval_time': '120m', 'alertname': alert, 'exp_alerts': []}]}
    write(os.path.join(tests.folder, 'remedy.yaml'), json.dumps({'groups': groups}))
    path = os.path.join(tests.folder, 'cures.yaml')
    write(path, json.dumps({'rule_files': ['remedy.yaml'], 'evaluation_interval': '5m', 'tests': [test]}))
    _, out = sh('promtool', 'test', 'rules', path, cwd=tests.folder)
    told = {int(port): (json.loads(f'"{fix}"'), restart and json.loads(f'"{restart}"')) for port, fix, restart in re.findall(
        r'Labels:\{.*port="(\d+)".*\}\s+Annotations:\{description="(?:[^"\\]|\\.)*Fix: unless[^,]*, ((?:[^"\\]|\\.)*)\.",'
        r'(?: restart="((?:[^"\\]|\\.)*)",)?', out)}
    for port, (unit, (fix, restart)) in enumerate(CURES.items(), 1):
        if told.get(port) != (fix.replace('PORT', str(port)), restart or ''):
            yield f'{unit}: {told.get(port)}'


# Conventions of alerts

def alerts_keep_conventions(project):
    for rule in project.alerts:
        name, notes = rule['alert'], rule['annotations']
        if not re.fullmatch(r'TCPHealth([A-Z][a-z0-9]+)+', name):
            yield f'{name}: not CamelCase with the prefix TCPHealth'
        if not re.fullmatch(r'\d+[smh]', rule.get('for', '')):
            yield f'{name}: no `for`'
        if rule['labels'].get('severity') not in SEVERITIES:
            yield f'{name}: severity {rule["labels"].get("severity")}'
        if '{{' in notes['summary'] or not re.fullmatch(r'[A-Z].*\.', notes['summary']):
            yield f'{name}: the summary is no sentence that is always the same'
        for part in ('Confirm: ', 'Fix: '):
            if part not in notes['description']:
                yield f'{name}: the description has no "{part}"'
        if '{{' not in notes['description'] and name != 'TCPHealthExporterMissing':
            yield f'{name}: the description does not say where'


def alerts_are_told_apart(project):
    """Pages are for impact: none is about a state alone."""
    pages = {rule['alert'] for rule in project.alerts if rule['labels']['severity'] == 'critical'}
    for name in sorted(pages):
        [expr] = [rule['expr'] for rule in project.alerts if rule['alert'] == name]
        metrics = {selector.metric for selector in analyse(expr)[0]}
        if metrics & {'tcphealth_connections', 'tcphealth_stale_connections'}:
            yield f'{name} pages about a state'
    if not pages:
        yield 'nothing pages'
    for group in project.groups + project.links:
        seen = [(rule['alert'], rule['labels'].get('side')) for rule in group['rules']]
        if len(seen) != len(set(seen)):
            yield f'{group["name"]}: an alert twice'


#: What the description of an alert about a port must name: host, port, role, unit, age (regular expressions).
NAMED = (r'\$labels\.instance', r'\$labels\.port', 'server on port|client of port', 'tcphealth_stale_unit_connections',
         'humanizeDuration')
#: About one role by its meaning: connections that were accepted on a port that no longer has a listener, and pools of clients.
ONE_SIDED = ('TCPHealthStuckWithoutListener', 'TCPHealthEndUnread')


def alerts_name_what_hurts(project):
    for group in project.groups:
        for rule in group['rules'] if group['name'] in ('tcphealth-states', 'tcphealth-impact') else ():
            for part in NAMED:
                if not re.search(part, rule['annotations']['description']):
                    yield f'{rule["alert"]}: the description has no {part}'


def states_alert_on_both_sides(project):
    """The role of a connection may be a guess: no alert about a state depends on it."""
    [rules] = [group['rules'] for group in project.groups if group['name'] == 'tcphealth-states']
    for rule in rules:
        if re.search(r'\brole\s*=', rule['expr']) and rule['alert'] not in ONE_SIDED:
            yield f'{rule["alert"]} selects a role'


def records_keep_conventions(project):
    for rule in project.records:
        if not re.fullmatch(r'[a-z_]+:tcphealth_[a-z_]+:[a-z0-9_]+', rule['record']):
            yield f'{rule["record"]} is not level:metric:operation'


def links_need_one_port(project):
    links = [rule['labels']['link'] for group in project.links for rule in group['rules']]
    if sorted(links) != ['frontend to feed'] * 2:
        yield f'alerts of links are {links}'
    if any(group['name'] == 'tcphealth-links' for group in project.groups):
        yield 'there are alerts of links although none is configured'


def configuration_is_used(project):
    """A changed selector and a changed runbook base arrive in every rule."""
    override = "_config+:: { selector: 'job=\"elsewhere\"', runbookBase: 'https://wiki/r' }"
    groups = jsonnet(f"((import 'mixin.libsonnet') + {{ {override} }}).prometheusAlerts.groups")
    for rule in (rule for group in groups for rule in group['rules']):
        if not rule['annotations']['runbook_url'].startswith('https://wiki/r#'):
            yield f'{rule["alert"]}: {rule["annotations"]["runbook_url"]}'
        for selector in analyse(rule['expr'])[0]:
            if ('job', '=', 'elsewhere') not in selector.matchers:
                yield f'{rule["alert"]}: {selector} ignores the selector'
    for rule in project.alerts:
        if not rule['annotations']['runbook_url'].startswith(project.config['runbookBase'] + '#'):
            yield f'{rule["alert"]}: {rule["annotations"]["runbook_url"]}'


# Runbooks

def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


def runbooks_exist(project):
    sections = {anchor(heading): (heading, body)
                for heading, body in re.findall(r'^## (.*)\n((?:(?!## ).*\n?)*)', read(RUNBOOKS), re.MULTILINE)}
    wanted = {rule['annotations']['runbook_url'].split('#', 1)[1]: rule['alert'] for rule in project.alerts}
    for target, alert in wanted.items():
        if target not in sections:
            yield f'{alert}: docs/runbooks.md has no section #{target}'
            continue
        for part in SECTIONS:
            if f'**{part}.**' not in sections[target][1]:
                yield f'{alert}: the runbook has no part "{part}"'
        if not re.search(r'^    \S', sections[target][1], re.MULTILINE):
            yield f'{alert}: the runbook has no command'
    for target, (heading, _) in sections.items():
        if heading.startswith('TCPHealth') and target not in wanted:
            yield f'docs/runbooks.md tells of {heading}, which is no alert'


# Names

def names_exist(project):
    for where, expr in project.expressions():
        selectors, grouping = analyse(expr)
        known = TARGET_LABELS.union(*(project.metrics.get(selector.metric, set()) for selector in selectors))
        yield from (f'{where}: groups by {label}' for label in sorted(grouping - known))
        for selector in selectors:
            yield from wrong_in(project, selector, where)


def wrong_in(project, selector, where):
    if selector.metric not in project.metrics:
        yield f'{where}: no metric {selector.metric}'
        return
    for label, operator, value in selector.matchers:
        if label not in project.metrics[selector.metric] | TARGET_LABELS:
            yield f'{where}: {selector.metric} has no label {label}'
        if label in project.values and not value.startswith('$') and value not in ('.+', 'x'):
            words = set(value.split('|')) if '~' in operator else {value}
            yield from (f'{where}: no {label} is {word}' for word in sorted(words - project.values[label]))


def pages_have_the_metrics(project):
    """What docs/metrics.md says is on the golden pages, and so are the names used here."""
    page = ''.join(read(path) for path in glob.glob(os.path.join(ROOT, 'tests/fixtures/pages/*.prom')))
    recorded = {rule['record'] for rule in project.records}
    used = {selector.metric for _, expr in project.expressions() for selector in analyse(expr)[0]}
    for metric in sorted(used - recorded - set(OWN_METRICS)):
        if not re.search(rf'^{metric}[ {{]', page, re.MULTILINE):
            yield f'{metric} is on no golden page'


# Dashboards

def dashboard_is_well(project, name):
    dashboard = project.dashboards[name]
    if dashboard['uid'] != name.removesuffix('.json') or dashboard['schemaVersion'] < 36:
        yield f'uid {dashboard["uid"]}, schemaVersion {dashboard["schemaVersion"]}'
    yield from variables_are_well(dashboard)
    ids = [panel['id'] for panel in dashboard['panels']]
    if len(set(ids)) != len(ids):
        yield 'an id of a panel twice'
    for panel in dashboard['panels']:
        yield from (f'{panel.get("title")}: {wrong}' for wrong in panel_is_well(panel))
    yield from overlaps(dashboard['panels'])


def variables_are_well(dashboard):
    variables = {variable['name']: variable for variable in dashboard['templating']['list']}
    if list(variables)[:3] != ['datasource', 'job', 'instance']:
        yield f'variables {list(variables)}'
        return
    if variables['datasource']['type'] != 'datasource' or variables['datasource']['query'] != 'prometheus':
        yield 'the variable datasource is none'
    for name in ('job', 'instance'):
        if not variables[name]['multi'] or variables[name]['allValue'] != '.+':
            yield f'the variable {name} is not multi with all of .+'


def panel_is_well(panel):
    for part in ('title', 'description'):
        if not panel.get(part):
            yield f'no {part}'
    if panel['fieldConfig']['defaults'].get('unit') not in UNITS:
        yield f'unit {panel["fieldConfig"]["defaults"].get("unit")}'
    if panel['type'] == 'text':
        return
    if panel['datasource'] != {'type': 'prometheus', 'uid': '${datasource}'}:
        yield 'another data source'
    if not panel['targets'] or len({target['refId'] for target in panel['targets']}) != len(panel['targets']):
        yield 'no targets, or a refId twice'
    for target in panel['targets']:
        yield from target_is_well(target['expr'])


def target_is_well(expr):
    for selector in analyse(expr)[0]:
        matchers = {(label, operator): value for label, operator, value in selector.matchers}
        if matchers.get(('instance', '=~'), '').rstrip('|') != '$instance':
            yield f'{selector} has no instance=~"$instance"'
        if not selector.metric.startswith('ALERTS') and matchers.get(('job', '=~')) != '$job':
            yield f'{selector} has no job=~"$job"'
    for function, window in re.findall(r'\b(i?rate|increase)\(.*?\[([^\]]*)\]', expr):
        if window != '$__rate_interval' and '[7d:15m]' not in expr and '[28d:15m]' not in expr:
            yield f'{function} over {window} instead of $__rate_interval'


def overlaps(panels):
    taken = {}
    for panel in panels:
        place = panel['gridPos']
        if place['x'] + place['w'] > 24:
            yield f'{panel["title"]}: wider than the page'
        for x in range(place['x'], place['x'] + place['w']):
            for y in range(place['y'], place['y'] + place['h']):
                other = taken.setdefault((x, y), panel['title'])
                if other is not panel['title']:
                    yield f'{panel["title"]}: lies over {other}'
                    return


VARIABLES = {'$__rate_interval': '5m', '$instance': '.+', '$job': '.+', '$port': '8080'}


def with_values(expr):
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    return expr


def dashboards_ask_well(project, scratch):
    """promtool understands every query of a dashboard, as a recording rule."""
    path = os.path.join(scratch, 'dashboards.yaml')
    exprs = [with_values(target['expr']) for dashboard in project.dashboards.values() for panel in dashboard['panels']
             for target in panel.get('targets', [])]
    rules = [{'record': f'query:{i}', 'expr': expr} for i, expr in enumerate(exprs)]
    write(path, json.dumps({'groups': [{'name': 'queries', 'rules': rules}]}))
    yield from (f'{expr}: a variable is left' for expr in exprs if '$' in expr)
    yield from complaints('promtool', 'check', 'rules', path)


def hours_are_told(project, scratch):
    """A port with one connection a second from 3 to 4 o'clock on a Thursday, the day on which time began."""
    values = [str(min(max(5 * 60 * i - 3 * 3600, 0), 3600)) for i in range(24 * 12 + 1)]
    samples = []
    for panel in project.dashboards['tcphealth-hours.json']['panels']:
        for target in panel.get('targets', []) if 'by hour' in panel['title'] or 'by day' in panel['title'] else []:
            name = target['legendFormat']
            # The rate at four looks back; the test ends with the first moment of Friday.
            used = [{'value': float(name in ('03', '04', 'Thu'))}]
            samples.append({'expr': f'sgn({with_values(target["expr"])})', 'eval_time': '24h',
                            'exp_samples': [] if name.isalpha() and name not in ('Thu', 'Fri') else used})
    labels = '{job="tcphealth",instance="x",role="server",port="8080"}'
    series = [{'series': name + labels, 'values': ' '.join(values)}
              for name in ('tcphealth_opened_connections_total', 'tcphealth_sent_bytes_total',
                           'tcphealth_received_bytes_total')]
    path = os.path.join(scratch, 'promtool', 'hours.json')
    write(path, json.dumps({'rule_files': ['rules.out.yaml'], 'evaluation_interval': '5m', 'tests': [
        {'interval': '5m', 'input_series': series, 'promql_expr_test': samples}]}))
    return complaints('promtool', 'test', 'rules', path)


def mute_example_is_valid(project, scratch):
    """What the dashboard about hours tells to add, with what the rest of the configuration has, by amtool."""
    content, = (panel['options']['content'] for panel in project.dashboards['tcphealth-hours.json']['panels']
                if panel['type'] == 'text')
    example, = re.findall(r'```yaml\n(.*?)```', with_values(content), re.DOTALL)
    if '\nroute:\n' not in example:
        yield 'no route in the example'
    path = os.path.join(scratch, 'mute.yml')
    write(path, example.replace('\nroute:\n', '\nroute:\n  receiver: tickets\n') + 'receivers: [{name: tickets}]\n')
    yield from complaints('amtool', 'check-config', path)


# Do the tests notice?

def thresholds(config, path=()):
    """(path, value) of every number of the configuration that decides when an alert fires."""
    for name, value in sorted(config.items()):
        if isinstance(value, dict):
            yield from thresholds(value, path + (name,))
        elif isinstance(value, (int, float)) and name != 'listenPort':
            yield path + (name,), value


def moved(value):
    """A little less and a little more than a threshold."""
    step = 1 if float(value).is_integer() and value < 200 else value / 20
    return [other for other in (value - step, value + step) if other > 0]


def override_of(path, value):
    """_config with one field changed, as jsonnet."""
    text = json.dumps(value)
    for depth, name in enumerate(reversed(path)):
        text = f'{{ {name}{"+" if depth else ""}: {text} }}'
    return f"((import 'mixin.libsonnet') + {{ _config+:: {text} }}).prometheusAlerts.groups"


def unnoticed(project, tests):
    """Moves each threshold by a little, and tells of those moves after which the unit tests still pass."""
    shipped = each_alone(project.groups)
    texts = {name: read(os.path.join(tests.folder, name)) for name in tests.names}
    for path, value in thresholds(project.config):
        for other in moved(value):
            changed = {name: content for name, content in each_alone(jsonnet(override_of(path, other))).items()
                       if content != shipped[name]}
            if changed and is_noticed(tests, texts, changed, shipped):
                continue
            yield f'{".".join(path)}: {other} instead of {value}, and every test passes'


def is_noticed(tests, texts, changed, shipped):
    """Whether a test that names one of the changed alerts fails with them."""
    every_one = {'bare-alerts.yaml': {'groups': [dict(group, name=name) for name, content in {**shipped, **changed}.items()
                                                 for group in content['groups']]}}
    for name, content in {**changed, **every_one}.items():
        write(os.path.join(tests.folder, name), json.dumps(content))
    alerts = [name[len('only-'):-len('.yaml')] for name in changed]
    status, _ = sh('promtool', 'test', 'rules', *(name for name, text in texts.items() if any(alert in text for alert in alerts)),
                   cwd=tests.folder)
    for name in changed:
        write(os.path.join(tests.folder, name), json.dumps(shipped[name]))
    return status != 0


def mutations(scratch):
    """The one check of --mutate."""
    project = Project()
    tests = UnitTests(project, scratch)
    return [('thresholds that move are noticed', lambda: unnoticed(project, tests))]


def every(scratch):
    """All checks, as (name, function)."""
    project = Project()
    tests = UnitTests(project, scratch)
    return [
        ('generated files', lambda: is_generated(scratch)),
        ('format of jsonnet', is_formatted),
        ('promtool check rules', rules_are_valid),
        *((f'promtool test rules {name}', lambda name=name: tests.check(name)) for name in tests.names),
        ('every alert has a unit test', lambda: every_alert_is_tested(project, tests)),
        ('descriptions', lambda: descriptions_are_as_agreed(project, tests)),
        ('cures of units', lambda: units_are_cured(tests)),
        ('conventions of alerts', lambda: alerts_keep_conventions(project)),
        ('descriptions name what hurts', lambda: alerts_name_what_hurts(project)),
        ('states alert on both sides', lambda: states_alert_on_both_sides(project)),
        ('pages are for impact', lambda: alerts_are_told_apart(project)),
        ('conventions of recording rules', lambda: records_keep_conventions(project)),
        ('links with one port only', lambda: links_need_one_port(project)),
        ('configuration', lambda: configuration_is_used(project)),
        ('runbooks', lambda: runbooks_exist(project)),
        ('metrics and labels', lambda: names_exist(project)),
        ('metrics on golden pages', lambda: pages_have_the_metrics(project)),
        *((f'dashboard {name}', lambda name=name: dashboard_is_well(project, name)) for name in project.dashboards),
        ('hours of use', lambda: hours_are_told(project, scratch)),
        ('example of a mute interval', lambda: mute_example_is_valid(project, scratch)),
        ('queries of dashboards', lambda: dashboards_ask_well(project, scratch)),
    ]
