#!/usr/bin/python3
"""Evaluates the figures of a benchmark run: the targets, a summary, and the documents that show the tables.

    report.py judge FIGURES               prints the targets: met, or missed by how much and why
    report.py summary FIGURES             prints the short table of README.md
    report.py publish OUTPUT DOCUMENT...  copies the tables of a run's output into the documents

FIGURES has lines `NAME VALUE`. In the output and in the documents, a table is between `<!-- bench: NAME -->` and
`<!-- end -->`.
"""
import dataclasses
import re
import sys
from typing import Callable

SIZES = 1000, 10000, 100000, 1000000
OTHERS = {'ss_tan': '`ss -tan`', 'ss_tani': '`ss -tani`', 'node_exporter': 'node_exporter', 'collectd': 'collectd',
          'zabbix': 'Zabbix'}
RATE = 20000
PART = re.compile(r'<!-- bench: (\S+) -->\n(.*?)<!-- end -->\n', re.DOTALL)


class Missing(Exception):
    """A figure that this run has not measured."""


class Figures(dict):
    def __missing__(self, name):
        raise Missing(name)

    @classmethod
    def read(cls, path):
        with open(path, encoding='utf-8') as file:
            return cls((name, float(value)) for name, value in (line.split() for line in file))


@dataclasses.dataclass
class Target:
    """`figure` shall be at most `limit` (at least, where `least`)."""
    what: str
    limit: float
    figure: Callable[[Figures], float]
    text: str = '{:.3g}'
    least: bool = False
    why: Callable[[Figures], str] = lambda f: ''
    note: Callable[[Figures], str] = lambda f: ''

    def excess(self, f):
        """By what part of the limit it is missed; 0 or less: met."""
        value = self.figure(f)
        if self.limit == 0:
            return value
        return 1 - value / self.limit if self.least else value / self.limit - 1

    def verdict(self, f):
        try:
            if self.excess(f) <= 0:
                return 'met' + self.note(f)
            by = f' by {self.excess(f):.0%}' if self.limit else ''
        except Missing:
            return 'not measured'
        try:
            return f'**missed**{by}{self.note(f)}{self.why(f)}'
        except Missing:
            return f'**missed**{by}'

    def row(self, f):
        sign = '≥' if self.least else '≤'
        try:
            value = self.text.format(self.figure(f))
        except Missing:
            value = ''
        return f'| {self.what} | {sign} {self.text.format(self.limit)} | {value} | {self.verdict(f)} |'


def user_space(size):
    def why(f):
        return (f': user space takes {f["replay.counted_ns"]:.0f} ns a socket from memory, '
                f'the raw drain {f[f"{size}.sample.raw_ns"]:.0f}')
    return why


def sockets(size):
    return f'{size:,} sockets'


def sample_targets(size):
    yield Target(f'full sample / raw drain, {sockets(size)}', 1.10 if size < 10000 else 1.05,
                 lambda f: f[f'{size}.sample.ratio'], '{:.3f}', why=user_space(size))


def tick_targets(size):
    yield Target(f'states sample / raw drain, {sockets(size)}', 0.15, lambda f: f[f'{size}.sample.states'],
                 '{:.3f}', why=lambda f: f': a raw drain of these states alone takes {f[f"{size}.sample.states_raw"]:.3f}')


def other_targets(size):
    for key, limit in ('ss_tani', 0.22), ('node_exporter', 0.6):
        yield Target(f'a sample and its pages / {OTHERS[key]}, {sockets(size)}', limit,
                     lambda f, key=key: f[f'{size}.exporter.ratio'] / f[f'{size}.{key}.ratio'], '{:.2f}',
                     why=lambda f: f': of it {1 / f[f"{size}.exporter.ratio"]:.0%} is the raw drain')


def page_targets():
    for key, what in ('small', 'a page of 100 kB'), ('large', 'of 50,000 series'):
        yield Target(f'rendering, ns a series, {what}', 15, lambda f, key=key: f[f'render.{key}.ns'], '{:.1f}')
    yield Target('CPU time of a scrape of 100 kB: promhttp’s / this', 100, lambda f: f['scrape.promhttp.ratio'], '{:.0f}', True,
                 why=lambda f: f': a bare server’s is {f["scrape.promhttp.cpu_us"] / f["scrape.bare.cpu_us"]:.0f}')
    yield Target('p99 of a scrape of 100 kB, µs', 100, lambda f: f['scrape.exporter.p99_us'], '{:.0f}',
                 why=lambda f: f': p50 is {f["scrape.exporter.p50_us"]:.0f}; p99 without sampling is '
                               f'{f["scrape.hourly.p99_us"]:.0f}, of a bare server {f["scrape.bare.p99_us"]:.0f}')


def live_targets():
    for kind, what in ('rr', 'a busy connection'), ('connects', 'connects'):
        yield Target(f'p50 of {what} beside samples / beside nothing', 1.02,
                     lambda f, kind=kind: f[f'live.{kind}.samples.p50_ratio'], '{:.3f}',
                     why=lambda f, kind=kind: f': beside a spin {f[f"live.{kind}.spin.p50_ratio"]:.3f}')
        yield Target(f'p99 of {what} beside samples / upper quartile beside a spin', 1,
                     lambda f, kind=kind: f[f'live.{kind}.samples.p99'] / f[f'live.{kind}.spin.p99_high'], '{:.2f}')


def made(key):
    def note(f):
        rate = f[f'events.{key}.rate']
        return '' if rate >= 0.95 * RATE else f', for the {rate:,.0f} a second that this machine could make'
    return note


def event_targets():
    for key, what in (('with', 'with the buffer privilege'), ('stopped', 'the same, the reader stopped for a second')):
        yield Target(f'{RATE:,} short connections a second, {what}: closes not counted', 0,
                     lambda f, key=key: f[f'events.{key}.missing'], '{:.0f}', note=made(key))
    for key, what in (('without', 'without the privilege'), ('small', 'a buffer of 208 KiB, the reader stopped')):
        yield Target(f'{what}: closes neither counted nor announced as lost', 0,
                     lambda f, key=key: max(0, f[f'events.{key}.missing'] - f[f'events.{key}.lost']), '{:.0f}',
                     note=lambda f, key=key: f' ({f[f"events.{key}.lost"]:,.0f} were lost)' + made(key)(f))
        yield Target(f'{what}: counts that disagree with the table afterwards', 0,
                     lambda f, key=key: f[f'events.{key}.disagreement'], '{:.0f}')


def targets(f):
    sizes = [size for size in SIZES if f'{size}.sample.ratio' in f]
    large = [size for size in sizes if size >= 10000]
    for of_size, of in (sample_targets, sizes), (tick_targets, large), (other_targets, sizes):
        for size in of:
            yield from of_size(size)
    yield Target('resident at 1,000,000 sockets, the whole program, MB', 80, lambda f: f['1000000.exporter.mb'], '{:.1f}')
    yield Target('resident when they have gone, the sampling modules, MB', 8, lambda f: f['1000000.sample.mb_gone'], '{:.1f}')
    yield from page_targets()
    yield from live_targets()
    yield from event_targets()


def judge(f):
    print('| target | limit | this run | |\n|---|---:|---:|---|')
    for target in targets(f):
        print(target.row(f))


def cell(f, size, key):
    try:
        return f'{f[f"{size}.{key}.ratio"]:.2f}'
    except Missing:
        return '–'


def summary(f):
    print('| sockets | raw drain, CPU ms | this exporter | ' + ' | '.join(OTHERS.values()) + ' | resident, MB |')
    print('| ---: |' + ' ---: |' * (len(OTHERS) + 3))
    for size in SIZES:
        if f'{size}.exporter.ratio' not in f:
            continue
        raw_ms = f[f'{size}.exporter.cpu_ms'] / f[f'{size}.exporter.ratio']
        ratios = [f'**{cell(f, size, "exporter")}**', *(cell(f, size, key) for key in OTHERS)]
        print(f'| {size:,} | {raw_ms:.1f} | ' + ' | '.join(ratios) + f' | {f[f"{size}.exporter.mb"]:.0f} |')
    verdicts = [target.verdict(f) for target in targets(f)]
    met, missed = (sum(verdict.startswith(how) for verdict in verdicts) for how in ('met', '**missed'))
    print(f'\nThat run met {met} of {met + missed} targets; '
          '[docs/benchmarks.md](docs/benchmarks.md#targets) lists them and explains the misses.')


def publish(output, documents):
    with open(output, encoding='utf-8') as file:
        parts = dict(PART.findall(file.read()))
    if not parts:
        sys.exit(f'{output}: no table of a benchmark')
    for path in documents:
        with open(path, encoding='utf-8') as file:
            text = file.read()
        # What this run has not measured stays.
        text = PART.sub(lambda m: f'<!-- bench: {m[1]} -->\n{parts.get(m[1], m[2])}<!-- end -->\n', text)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)


def main():
    commands = {'judge': judge, 'summary': summary}
    if len(sys.argv) == 3 and sys.argv[1] in commands:
        commands[sys.argv[1]](Figures.read(sys.argv[2]))
    elif len(sys.argv) > 3 and sys.argv[1] == 'publish':
        publish(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(__doc__.strip())


if __name__ == '__main__':
    main()
