#!/usr/bin/python3
"""A strict checker of metric pages: the text format 0.0.4, and OpenMetrics 1.0.0.

    tests/it/tcph/expo.py [--format text|openmetrics] FILE|-     prints problems, and exits with status 1 if there are any

Stricter than the formats where Prometheus tolerates a mistake, or where this project does not use a feature. Problems
include duplicate series, interleaved families, missing HELP or TYPE, timestamps, exemplars, comments and blank lines. It
knows gauges, counters and (in OpenMetrics) info families only.
"""
import argparse
import dataclasses
import re
import sys

TEXT = 'text'
OPENMETRICS = 'openmetrics'

_METRIC = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*')
_LABEL = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]*')
_NUMBER = re.compile(r'[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN')
_ESCAPES = {'\\': '\\', 'n': '\n', '"': '"'}
_TYPES = {TEXT: ('counter', 'gauge'), OPENMETRICS: ('counter', 'gauge', 'info')}


class _Problem(Exception):
    """What is wrong with one line."""


@dataclasses.dataclass
class Family:
    name: str
    type: str = ''
    help: str | None = None
    unit: str | None = None
    samples: int = 0


class Page:
    """A parsed page. Sample names are as written (with _total), so both formats read alike."""

    def __init__(self):
        self.families = {}
        self.samples = {}   # (name, frozenset of label pairs) -> float
        self.problems = []  # (line number, text)

    def value(self, name, /, **labels):
        """The value of exactly that series, or None. Label values may be numbers: port=8080."""
        return self.samples.get((name, frozenset((key, str(value)) for key, value in labels.items())))

    def series(self, name, /, **labels):
        """[(labels, value)] of all series of that name which have at least these labels."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        return [(dict(pairs), value) for (sample, pairs), value in self.samples.items()
                if sample == name and wanted <= pairs]

    def sum(self, name, /, **labels):
        """The sum of those series; 0 if there is none."""
        return sum(value for _, value in self.series(name, **labels))


def parse(data, form=None):
    """Parses the bytes of a page. What is wrong is in page.problems. Without `form`, a last line # EOF tells."""
    form = form or (OPENMETRICS if data.rstrip().endswith(b'# EOF') else TEXT)
    return _Parser(form).parse(data)


def check(data, form=None):
    """parse(), and AssertionError with all problems if there are any."""
    page = parse(data, form)
    if page.problems:
        lines = [f'line {number}: {text}' for number, text in page.problems[:20]]
        raise AssertionError(f'{len(page.problems)} problems with the page:\n' + '\n'.join(lines))
    return page


class _Parser:
    def __init__(self, form):
        self.form = form
        self.page = Page()
        self.family = None
        self.ended = False

    def parse(self, data):
        lines = data.split(b'\n')
        if lines.pop() != b'':
            self._note(len(lines) + 1, 'no line feed at the end')
        for number, line in enumerate(lines, 1):
            try:
                self._line(line.decode('utf-8'))
            except UnicodeDecodeError as error:
                self._note(number, f'invalid UTF-8: {error}')
            except _Problem as problem:
                self._note(number, str(problem))
        self._close_family(len(lines))
        if self.form == OPENMETRICS and not self.ended:
            self._note(len(lines), 'no # EOF at the end')
        if not self.page.samples:
            self._note(len(lines), 'no sample')
        return self.page

    def _note(self, number, text):
        self.page.problems.append((number, text))

    def _line(self, line):
        if self.ended:
            raise _Problem('something after # EOF')
        if line.strip() == '':
            raise _Problem('blank line')
        if '\r' in line:
            raise _Problem('carriage return')
        if line == '# EOF' and self.form == OPENMETRICS:
            self.ended = True
        elif line.startswith('#'):
            self._metadata(line)
        else:
            self._sample(line)

    def _metadata(self, line):
        found = re.fullmatch(r'# (HELP|TYPE|UNIT) (\S+) ?(.*)', line)
        if not found or (found[1] == 'UNIT' and self.form == TEXT):
            raise _Problem(f'neither metadata nor a sample: {line!r}')
        keyword, name, rest = found.groups()
        if not _METRIC.fullmatch(name):
            raise _Problem(f'invalid name {name!r}')
        self._enter(name)
        {'HELP': self._help, 'TYPE': self._type, 'UNIT': self._unit}[keyword](rest)

    def _enter(self, name):
        """The family that the metadata is about becomes the one that samples may belong to."""
        if self.family and self.family.name == name:
            if self.family.samples:
                raise _Problem(f'metadata of {name} after its samples')
            return
        if name in self.page.families:
            raise _Problem(f'family {name} again: its lines must stand together')
        self._close_family(None)
        self.family = self.page.families[name] = Family(name)

    def _close_family(self, number):
        family = self.family
        if family and family.help is None:
            self._note(number, f'no HELP for {family.name}')
        if family and not family.type:
            self._note(number, f'no TYPE for {family.name}')

    def _help(self, text):
        if self.family.help is not None:
            raise _Problem('second HELP')
        self.family.help = _unescape(text, '\\n"' if self.form == OPENMETRICS else '\\n')
        if not text.strip():
            raise _Problem('empty HELP')

    def _type(self, text):
        family = self.family
        if family.type:
            raise _Problem('second TYPE')
        family.type = text
        if text not in _TYPES[self.form]:
            raise _Problem(f'type {text!r} is none of {", ".join(_TYPES[self.form])}')
        has_total = family.name.endswith('_total')
        if self.form == TEXT and text == 'counter' and not has_total:
            raise _Problem(f'counter {family.name} without _total')
        if has_total and not (self.form == TEXT and text == 'counter'):
            raise _Problem(f'_total in the name of {text} family {family.name}')

    def _unit(self, text):
        if self.family.unit is not None:
            raise _Problem('second UNIT')
        self.family.unit = text
        if not text or not self.family.name.endswith('_' + text):
            raise _Problem(f'unit {text!r} is not the end of the name')

    def _sample(self, line):
        name, labels, rest = _split_sample(line)
        key = (name, frozenset(labels))
        value = _number(rest)
        self._place(name, value)
        if key in self.page.samples:
            raise _Problem(f'duplicate series {name}{sorted(labels)}')
        self.page.samples[key] = value

    def _place(self, name, value):
        """Checks that a sample of that name may stand here."""
        family = self.family
        if not family or name != self._sample_name(family):
            raise _Problem(f'sample {name} outside its family')
        family.samples += 1
        if family.type == 'counter' and not 0 <= value < float('inf'):
            raise _Problem(f'counter with value {value}')
        if family.type == 'info' and value != 1:
            raise _Problem(f'info with value {value}')

    def _sample_name(self, family):
        if self.form == OPENMETRICS:
            return family.name + {'counter': '_total', 'info': '_info'}.get(family.type, '')
        return family.name


def _split_sample(line):
    """name, [(label, value)], and the text after the one space."""
    found = _METRIC.match(line)
    if not found:
        raise _Problem(f'neither metadata nor a sample: {line!r}')
    at = found.end()
    labels = []
    if line[at:at + 1] == '{':
        labels, at = _read_labels(line, at + 1)
    if line[at:at + 1] != ' ':
        raise _Problem('no space before the value')
    return found[0], labels, line[at + 1:]


def _read_labels(line, at):
    labels = []
    while line[at:at + 1] != '}':
        found = _LABEL.match(line, at)
        if not found or line[found.end():found.end() + 2] != '="':
            raise _Problem(f'invalid label at column {at + 1}')
        value, at = _read_quoted(line, found.end() + 2)
        _check_label(found[0], value, labels)
        labels.append((found[0], value))
        if line[at:at + 1] == ',' and line[at + 1:at + 2] != '}':
            at += 1
        elif line[at:at + 1] != '}':
            raise _Problem(f'neither , nor }} at column {at + 1}')
    if not labels:
        raise _Problem('empty braces')
    return labels, at + 1


def _check_label(name, value, before):
    if name.startswith('__'):
        raise _Problem(f'reserved label {name}')
    if name in (earlier for earlier, _ in before):
        raise _Problem(f'label {name} twice')
    if '\0' in value:
        raise _Problem(f'a NUL in label {name}')


def _read_quoted(line, at):
    """The value of a label whose opening quote is before `at`, and where its closing quote ends."""
    found = re.compile(r'(?:[^"\\]|\\.)*').match(line, at)
    if line[found.end():found.end() + 1] != '"':
        raise _Problem('label value without end')
    return _unescape(found[0], '\\n"'), found.end() + 1


def _unescape(text, allowed):
    def one(found):
        if not found[1] or found[1] not in allowed:
            raise _Problem(f'invalid escape {found[0]!r}')
        return _ESCAPES[found[1]]

    return re.sub(r'\\(.?)', one, text)


def _number(text):
    if not _NUMBER.fullmatch(text):
        raise _Problem(f'not one number: {text!r}')
    return float(text.replace('Inf', 'inf'))


def main():
    options = argparse.ArgumentParser(description='Checks a page of metrics.')
    options.add_argument('--format', choices=(TEXT, OPENMETRICS), help='by default, # EOF tells')
    options.add_argument('file', help='a file, or - for standard input')
    options = options.parse_args()
    if options.file == '-':
        data = sys.stdin.buffer.read()
    else:
        with open(options.file, 'rb') as file:
            data = file.read()
    page = parse(data, options.format)
    for number, text in page.problems:
        print(f'{options.file}:{number}: {text}')
    print(f'{len(page.families)} families, {len(page.samples)} samples, {len(page.problems)} problems')
    return 1 if page.problems else 0


if __name__ == '__main__':
    sys.exit(main())
