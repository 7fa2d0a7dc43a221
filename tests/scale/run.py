#!/usr/bin/python3
"""One real Prometheus scrapes hundreds of real pages and evaluates all rules: the figures of docs/fleet.md.

    tests/scale/run.py [--instances 200] [--interval 10] [--seconds 210] [--no-rules]

Uses the configurations of docs/fleet.md, with other addresses and intervals. Runs as root, in its own network namespaces.
Takes five minutes, less with fewer --seconds. Exits with status 1 if a scrape or a rule fails, or if series are missing.
"""
import argparse
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), 'it'), HERE]
sys.dont_write_bytecode = True

import figures  # pylint: disable=wrong-import-position
import fleet  # pylint: disable=wrong-import-position
from tcph import exporter, netns, prom, web  # pylint: disable=wrong-import-position
from tcph.poll import eventually  # pylint: disable=wrong-import-position

LEAF, FEDERATION, RECEIVER = 9090, 9091, 9092
#: Two kinds of hosts, as Host() takes them: ports, and those of them with stuck connections. One of ten is of the second.
KINDS = ((12, 0), (12, 3))
GENERATED = os.path.join(exporter.ROOT, 'deploy/mixin/generated')


def document():
    with open(os.path.join(exporter.ROOT, 'docs/fleet.md'), encoding='utf-8') as file:
        return file.read()


def blocks():
    """{name: text} of the YAML blocks of docs/fleet.md, which begin with a comment that names them."""
    return dict(re.findall(r'```yaml\n# (\S+)\n(.*?)```', document(), re.DOTALL))


def substitute(text, pattern, replacement):
    changed, count = re.subn(pattern, lambda _: replacement, text)
    if not count:
        raise AssertionError(f'{pattern} is not in docs/fleet.md any more')
    return changed


class WithFlags:
    """A namespace in which programs get further flags."""

    def __init__(self, home, *flags):
        self._home, self._flags = home, flags

    def __getattr__(self, name):
        return getattr(self._home, name)

    def popen(self, *argv, **options):
        return self._home.popen(*argv, *self._flags, **options)


class Prometheus(prom.Prometheus):
    """With a configuration as text; `rules` is a list of rule files."""

    within = 120

    def _configure(self, targets, rules, scrape):
        config = substitute(scrape['text'], r'targets: \[[^]]*\]', f'targets: {json.dumps(targets)}')
        config = substitute(config, r'scrape_interval: 30s', f'scrape_interval: {scrape["interval"]}s')
        os.mkdir(self._path('rules'))
        for name, text in (rules or {}).items():
            with open(self._path('rules/' + name), 'w', encoding='utf-8') as file:
                file.write(text)
        with open(self._path('config.json'), 'w', encoding='utf-8') as file:
            file.write(config)
        done = subprocess.run(['promtool', 'check', 'config', self._path('config.json')], capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)

    def scalar(self, expression):
        found = self.query(expression)
        return found[0][1] if found else 0.0

    def own(self, name):
        """The sum of one of its own metrics."""
        page = web.request(self.host, self.port, '/metrics', timeout=20).body.decode()
        return sum(map(float, re.findall(rf'^{name}(?:\{{.*\}})? (\S+)$', page, re.MULTILINE)))

    def rules(self):
        """[(group, rule)]"""
        return [(group, rule) for group in self.api('rules')['groups'] for rule in group['rules']]


def rule_files():
    found = {os.path.basename(path): path for path in glob.glob(os.path.join(GENERATED, '*.yaml'))}
    texts = {}
    for name, path in found.items():
        with open(path, encoding='utf-8') as file:
            texts[name] = file.read()
    texts['fleet.yaml'] = blocks()['rules/fleet.yaml']
    return texts


def drops(text):
    """[(labels, regex)] of the relabelling that drops."""
    block = text.split('metric_relabel_configs:')[1].split('remote_write:')[0]
    return [(labels.split(', '), regex) for labels, regex in
            re.findall(r'source_labels: \[(.*)\]\n\s+regex: (\S+)\n\s+action: drop', block)]


def is_dropped(labels, rules):
    return any(re.fullmatch(regex, ';'.join(labels.get(name, '') for name in names)) for names, regex in rules)


def dropped_but_needed(text, rules):
    """Metrics that the relabelling drops, in part or all, and a rule names."""
    names = set(re.findall(r'\btcphealth_\w+', ''.join(rules.values()))) - {'tcphealth_exporter'}
    whole = [(['__name__'], regex.split(';')[0]) for _, regex in drops(text)]
    return [name for name in sorted(names) if is_dropped({'__name__': name}, whole)]


CLIENTS_OWN = {'tcphealth_failed_connects_total', 'tcphealth_ephemeral_ports_used_ratio'}


def shape(page, rules):
    """{part of a page: (series, series that the relabelling keeps)}, of a host whose port 8005 is used on both sides."""
    parts = {'series that each host has': [], 'series of a served port': [], 'series of a port that it connects to': []}
    fixed, served, client = parts.values()
    for name, labels in page.samples:
        labels = {'__name__': name, **dict(labels)}
        if 'port' not in labels:
            fixed.append(labels)
        elif labels['port'] == '8005' and (labels.get('role') == 'client' or name in CLIENTS_OWN):
            client.append(labels)
        elif labels['port'] == '8005':
            served.append(labels)
    return {part: (len(found), sum(not is_dropped(labels, rules) for labels in found)) for part, found in parts.items()}


class Run:
    """The programs, and what is measured."""

    def __init__(self, options, stack):
        self.options = options
        self.figures = {}
        self.complaints = []
        self._keep = stack.enter_context
        self._blocks = blocks()

    def start(self):
        self.home = self._keep(netns.Netns('fleet'))
        hosts = [self._keep(fleet.Host(*kind)) for kind in KINDS]
        stuck = 6 * KINDS[1][1]
        hosts[1].exporter.wait_for(lambda page: page.sum('tcphealth_stale_connections', reason='close_wait') == stuck)
        parts = shape(hosts[0].exporter.page(), drops(self._blocks['prometheus.yml']))
        for part, (all_, kept) in parts.items():
            self.figures.update({part: all_, part + ', kept': kept})
        page = len(hosts[0].exporter.request('/metrics').body)
        squeezed = len(hosts[0].exporter.request('/metrics', headers={'Accept-Encoding': 'gzip'}).body)
        self.figures.update({'bytes of a page': page, 'bytes of it with gzip': squeezed})
        self.complaints += figures.complaints(document()) + figures.drift(document(), parts.values(), page)
        self._keep(fleet.Fleet(self.home, hosts))
        self._prometheuses()

    def _prometheuses(self):
        text = substitute(self._blocks['prometheus.yml'], r'http://mimir.example\S*',
                          f'http://127.0.0.1:{RECEIVER}/api/v1/write')
        text = substitute(text, r'evaluation_interval: 30s', f'evaluation_interval: {self.options.interval}s')
        rules = {} if self.options.no_rules else rule_files()
        self.complaints += [f'relabelling drops {name}, which a rule needs' for name in dropped_but_needed(text, rules)]
        itself = 'scrape_configs: [{job_name: itself, scrape_interval: 30s, static_configs: [{targets: []}]}]'
        self.receiver = self._keep(Prometheus(WithFlags(self.home, '--web.enable-remote-write-receiver'),
                                              [f'127.0.0.1:{RECEIVER}'], port=RECEIVER, text=itself, interval=2))
        targets = [f'{fleet.address(number)}:{fleet.PORT}' for number in range(self.options.instances)]
        self.leaf = self._keep(Prometheus(self.home, targets, rules, LEAF, text=text, interval=self.options.interval))
        self.begun = time.monotonic()
        self.federation = self._keep(Prometheus(self.home, [f'127.0.0.1:{LEAF}'], port=FEDERATION, interval=2,
                                                text=self._blocks['federation.yml']))

    def measure(self):
        self._wait_until(self.options.seconds - min(self.options.seconds / 2, 3 * self.options.interval))
        began, samples, processor = time.monotonic(), self._appended(), self._processor()
        self._wait_until(self.options.seconds)
        took = time.monotonic() - began
        appended, processor = (self._appended() - samples) / took, (self._processor() - processor) / took
        groups = {group['name']: group['evaluationTime'] for group in self.leaf.api('rules')['groups']}
        series = self.leaf.own('prometheus_tsdb_head_series')
        memory = self.leaf.own('process_resident_memory_bytes')
        self.figures.update({
            'instances': self.leaf.scalar('sum(up{job="tcphealth"})'),
            'samples scraped of one': self.leaf.scalar('avg(scrape_samples_scraped)'),
            'of those stored': self.leaf.scalar('avg(scrape_samples_post_metric_relabeling)'),
            'longest scrape, seconds': self.leaf.scalar('max(scrape_duration_seconds)'),
            'series in the head': series,
            'samples appended a second': appended,
            'resident memory, MiB': memory / 2 ** 20,
            'KiB a series': memory / series / 1024,
            'CPUs used': processor,
            'CPU time to scrape and evaluate a host, ms': 1000 * processor * self.options.interval / self.options.instances,
            'evaluations left out': self.leaf.own('prometheus_rule_group_iterations_missed_total'),
            'rules': len(self.leaf.rules()),
            'longest evaluation of a group, seconds': max(groups.values(), default=0),
            'evaluation of the fleet rules, seconds': groups.get('tcphealth-fleet', 0),
            'samples in a window of 10m': self.leaf.scalar('max(count_over_time(up[10m]))'),
            'series of the fleet rules': self.leaf.scalar('count({__name__=~"fleet:.*"})'),
            'series that federation took': self.federation.scalar('count({__name__=~"fleet:.*|ALERTS"})'),
            'series written remotely': self.receiver.scalar('count({cluster="leaf-1"})'),
        })

    def _wait_until(self, seconds):
        eventually(lambda: time.monotonic() - self.begun >= seconds, timeout=seconds + 5, interval=0.2)

    def _appended(self):
        return self.leaf.own('prometheus_tsdb_head_samples_appended_total')

    def _processor(self):
        return self.leaf.own('process_cpu_seconds_total')

    def check(self):
        """What has to hold at any scale, in time: a busy machine may be late with a scrape or a rule."""
        self._expect('instances', lambda: self.leaf.scalar('sum(up{job="tcphealth"})'), self.options.instances)
        self._expect('rules that fail', self._failing_rules, [])
        if not self.options.no_rules:
            self._check_fleet()

    def _expect(self, what, find, expected):
        found = None

        def look():
            nonlocal found
            found = find()
            return found == expected

        try:
            eventually(look, timeout=6 * self.options.interval, interval=1)
        except AssertionError:
            self.complaints.append(f'{what}: {found} instead of {expected}')

    def _failing_rules(self):
        return [f'{rule["name"]}: {rule["health"]} {rule.get("lastError", "")}' for _, rule in self.leaf.rules()
                if rule['health'] != 'ok' or rule.get('lastError')]

    def _check_fleet(self):
        """What the fleet rules say is what the hosts say, there and wherever it was sent."""
        names = set(re.findall(r'record: (\S+)', blocks()['rules/fleet.yaml']))
        names -= {'fleet:tcphealth_failed_connects:rate5m'}  # nobody fails to connect
        stuck = sum(6 * KINDS[fleet.kind_of(number)][1] for number in range(self.options.instances))
        close_wait = 'sum(fleet:tcphealth_stale_connections:sum{reason="close_wait",role="server"})'
        for where, server in (('leaf', self.leaf), ('federation', self.federation), ('receiver', self.receiver)):
            self._expect(f'series that are missing at the {where}',
                         lambda server=server: [name for name in sorted(names) if not server.query(name)], [])
            self._expect(f'connections in CLOSE_WAIT at the {where}',
                         lambda server=server: server.scalar(close_wait), stuck)

    def tell(self):
        slowest = sorted(((rule['evaluationTime'], rule['name']) for _, rule in self.leaf.rules()), reverse=True)
        print('slowest rules: ' + ', '.join(f'{name} {seconds:.2f} s' for seconds, name in slowest[:6]))
        for name, value in self.figures.items():
            print(f'{name:45} {value:,.{2 if value % 1 and value < 1000 else 0}f}')
        print('\n'.join(self.complaints) or 'All hosts were scraped, all rules evaluated, and all figures add up.')


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--instances', type=int, default=200, help='hosts (200)')
    parser.add_argument('--interval', type=int, default=10, help='seconds between scrapes, and between evaluations (10)')
    parser.add_argument('--seconds', type=int, default=210, help='how long it runs until the end of the measurement (210)')
    parser.add_argument('--no-rules', action='store_true', help='scrape alone, to see what the rules cost')
    return parser.parse_args()


def stop(*_):
    raise SystemExit('the simulation was ended, or took too long')


def main():
    options = parse()
    if not netns.is_usable() or not shutil.which('prometheus'):
        print('the simulation needs root and a Prometheus')
        return 1
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    signal.alarm(options.seconds + 30 * options.interval + 180)
    netns.sweep()
    with contextlib.ExitStack() as stack:
        run = Run(options, stack)
        run.start()
        run.measure()
        run.check()
        run.tell()
    return 1 if run.complaints else 0


if __name__ == '__main__':
    sys.exit(main())
