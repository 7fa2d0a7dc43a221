"""The names in a PromQL expression: metrics, matchers, grouping labels. Not a parser: promtool checks the syntax."""
import re

TOKEN = re.compile(r'''
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<number>(?<![\w$])\d[\w.]*)
  | (?P<name>[A-Za-z_:$][\w:$]*)
  | (?P<operator>=~|!~|!=|==|[=(){},\[\]])
''', re.VERBOSE)
GROUPING = {'by', 'without', 'on', 'ignoring', 'group_left', 'group_right'}
AGGREGATIONS = {'sum', 'min', 'max', 'avg', 'count', 'topk', 'bottomk', 'quantile', 'group', 'stddev', 'stdvar'}
WORDS = GROUPING | AGGREGATIONS | {'and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan', 'atan2'}


class Selector:
    """A metric with its matchers, as (label, operator, value)."""

    def __init__(self, metric):
        self.metric = metric
        self.matchers = []

    def __str__(self):
        return self.metric + '{' + ','.join(f'{label}{op}"{value}"' for label, op, value in self.matchers) + '}'


def _tokens(expr):
    return [(match.lastgroup, match.group()) for match in TOKEN.finditer(expr)]


def _until(tokens, start, closing):
    end = start
    while tokens[end][1] != closing or tokens[end][0] == 'string':
        end += 1
    return end


def _matchers(tokens):
    for i in range(0, len(tokens), 4):
        (_, label), (_, operator), (_, value) = tokens[i:i + 3]
        yield label, operator, value[1:-1].replace('\\"', '"')


def analyse(expr):
    """The selectors of an expression, and the labels by which it groups or matches."""
    tokens = _tokens(expr) + [('end', '')]
    selectors, labels, i = [], set(), 0
    while i < len(tokens):
        kind, text = tokens[i]
        following = tokens[i + 1][1] if i + 1 < len(tokens) else ''
        if kind == 'name' and text.lower() in GROUPING and following == '(':
            end = _until(tokens, i, ')')
            labels.update(name for kind, name in tokens[i + 2:end] if kind == 'name')
            i = end
        elif text == '[':
            i = _until(tokens, i, ']')
        elif kind == 'name' and text.lower() not in WORDS and following != '(':
            selectors.append(Selector(text))
            if following == '{':
                end = _until(tokens, i + 1, '}')
                selectors[-1].matchers = list(_matchers(tokens[i + 2:end]))
                i = end
        i += 1
    return selectors, labels
