"""Sends every query of the shipped dashboards to a Prometheus, and reports those without data, or their results."""
import datetime
import glob
import json
import os
import re
import time

from tcph import exporter

#: Values of the dashboards' variables; the time range of the demonstration is a minute.
VARIABLES = {'$__rate_interval': '10s', '$instance': '.+', '$job': '.+'}
SPANS = {'[7d:15m]': '[1m:1s]', '[28d:15m]': '[1m:1s]'}

#: Panels that count faults, and show 0 if the query returns nothing. The series that they count must exist.
COUNT_FAULTS = {
    'Hosts not monitored': 'all exporters answer',
    'Blind': 'all samples succeed',
    'Without netlink': 'all exporters have netlink',
    'Without events': 'all exporters receive events',
}
SELECTOR = re.compile(r'[a-z_]+\{[^}]*\}')


def dashboards():
    """{file name: dashboard}"""
    found = {}
    for path in sorted(glob.glob(os.path.join(exporter.ROOT, 'grafana/dashboards/*.json'))):
        with open(path, encoding='utf-8') as file:
            found[os.path.basename(path)] = json.load(file)
    return found


def with_values(expr, port, spans=SPANS):
    for old, new in (*VARIABLES.items(), *spans.items(), ('$port', str(port))):
        expr = expr.replace(old, new)
    if '$' in expr:
        raise AssertionError(f'a variable is left in {expr}')
    return expr


def is_of_another_time(expr):
    """Whether it asks for an hour or a day that is not now. Near the turn of the hour either may be."""
    now = time.time()
    times = [datetime.datetime.fromtimestamp(moment, datetime.timezone.utc) for moment in (now - 60, now)]
    for function, present in (('hour', {moment.hour for moment in times}),
                              ('day_of_week', {moment.isoweekday() % 7 for moment in times})):
        found = re.search(function + r'\(\) == (\d+)', expr)
        if found and int(found[1]) not in present:
            return True
    return False


def answers(prometheus, dashboard, port, span, spans=SPANS):
    """{id of a panel: {refId: result}}, for `span`, which has `from` and `to` in milliseconds and a step in seconds."""
    start, end = span['from'] / 1000, span['to'] / 1000

    def ask(target):
        expr = with_values(target['expr'], port, spans)
        if target['range']:
            return prometheus.api('query_range', query=expr, start=start, end=end, step=span['step'])['result']
        return prometheus.api('query', query=expr, time=end)['result']

    return {panel['id']: {target['refId']: ask(target) for target in panel['targets']}
            for panel in dashboard['panels'] if 'targets' in panel}


class Asker:
    """Asks `prometheus` about the ports in turn; `asked` and `excused` count queries, for those who want to know."""

    def __init__(self, prometheus, ports):
        self.prometheus = prometheus
        self.ports = ports
        self.asked = 0
        self.excused = {}

    def complaints(self):
        """A line for each query without data that ought to have some."""
        for name, dashboard in dashboards().items():
            yield from (f'{name}: variable {wrong}' for wrong in self._variables(dashboard))
            for panel in dashboard['panels']:
                for target in panel.get('targets', []):
                    yield from (f'{name}: {panel["title"]}: {wrong}' for wrong in self._target(panel, target))

    def _variables(self, dashboard):
        """label_values(SELECTOR, LABEL)"""
        for variable in dashboard['templating']['list']:
            if variable['type'] != 'query':
                continue
            selector, label = re.fullmatch(r'label_values\((.*), (\w+)\)', variable['query']['query']).groups()
            if not self._has_data(f'count by ({label}) ({selector})'):
                yield variable['name']

    def _target(self, panel, target):
        expr = target['expr']
        self.asked += 1
        if is_of_another_time(expr):
            self.excused['another hour or day'] = self.excused.get('another hour or day', 0) + 1
        elif not self._has_data(expr, target['range']):
            yield from self._excuse(panel['title'], expr)

    def _excuse(self, title, expr):
        if title not in COUNT_FAULTS:
            yield f'no data: {expr}'
            return
        self.excused[COUNT_FAULTS[title]] = 1
        for selector in SELECTOR.findall(expr):
            if not self._has_data(selector):
                yield f'no data: {selector}'

    def _has_data(self, expr, is_range=False):
        ports = self.ports if '$port' in expr else self.ports[:1]
        return any(self._ask(with_values(expr, port), is_range) for port in ports)

    def _ask(self, expr, is_range):
        if not is_range:
            return self.prometheus.api('query', query=expr)['result']
        now = time.time()
        return self.prometheus.api('query_range', query=expr, start=now - 30, end=now, step=1)['result']
