#!/usr/bin/python3
"""Checks the values of the Helm chart.

    chart.py names CHART    do they have the names of prometheus-node-exporter's (values/node-exporter.txt)?
    chart.py read CHART     does a template read each?
    chart.py pods FILE      prints the values that docs/install.md gives for the namespaces of pods
"""
import os
import re
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
#: What Kubernetes defines, not the chart; templates copy it as it is.
COPIED = ('securityContext', 'containerSecurityContext', 'resources', 'nodeSelector', 'attachMetadata', 'httpGet',
          'rollingUpdate', 'env', 'affinity')
#: Read at once by a template, whatever is in it.
WHOLE = {'livenessProbe', 'readinessProbe', 'updateStrategy'}


def text_of(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def values(tree, above=()):
    """(names above, name) of each, but for what is copied."""
    for name, value in tree.items():
        yield above, name
        if isinstance(value, dict) and name not in COPIED:
            yield from values(value, above + (name,))


def known():
    """{(names above, name)}"""
    found = set()
    for line in text_of(HERE, 'values/node-exporter.txt').splitlines():
        if not line.startswith('#'):
            above, _, inside = line.partition(':')
            path = tuple(above.split('.'))
            found |= {(path[:-1], path[-1])} | {(path, name) for name in inside.split()}
    return found


def names(chart):
    mine, theirs = yaml.safe_load(text_of(chart, 'values.yaml')), known()
    return ['.'.join((*above, name)) for above, name in values(mine) if (above, name) not in theirs]


def read(chart):
    """A template says .Values.a.b, or .b inside `with .Values.a`, or "b" of a list of names."""
    folder = os.path.join(chart, 'templates')
    text = ''.join(text_of(folder, name) for name in os.listdir(folder))
    mine = yaml.safe_load(text_of(chart, 'values.yaml'))
    return ['.'.join((*above, name)) for above, name in values(mine) if not WHOLE.intersection(above)
            and not re.search(rf'[."]{name}\b' if above else rf'\.Values\.{name}\b', text)]


def pods(document):
    print(re.search(r'^### Pods$.*?```yaml\n(.*?)```', text_of(document), re.DOTALL | re.MULTILINE)[1])


if __name__ == '__main__':
    wrong = {'names': names, 'read': read, 'pods': pods}[sys.argv[1]](sys.argv[2])
    print(*wrong or (), sep='\n')
    sys.exit(1 if wrong else 0)
