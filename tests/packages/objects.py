#!/usr/bin/python3
"""Extracts parts of a file of Kubernetes objects.

    objects.py types FILE    TypeScript: each object as a constant of its type
    objects.py rules FILE    the spec of each PrometheusRule, as promtool reads rules
    objects.py args FILE     the arguments of the exporter's container, one per line
"""
import json
import sys

import yaml

MODELS = {
    'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
}


def load(path):
    with open(path, encoding='utf-8') as file:
        return [one for one in yaml.safe_load_all(file) if one]


# The constants are checked by the compiler, and by the schemas when the file is run.
def types(objects):
    for i, one in enumerate(objects):
        api, kind = one['apiVersion'], one['kind']
        module = f"{MODELS.get(api, 'kubernetes-models/' + api)}/{kind}"
        print(f'import {{ {kind} as Model{i}, type I{kind} as Type{i} }} from {json.dumps(module)};')
        print(f'const object{i}: Type{i} = {json.dumps(one, indent=2)};')
        print(f'new Model{i}(object{i}).validate();')


def rules(objects):
    for one in objects:
        if one['kind'] == 'PrometheusRule':
            yaml.safe_dump(one['spec'], sys.stdout)


def args(objects):
    for one in objects:
        if one['kind'] == 'DaemonSet':
            print(*one['spec']['template']['spec']['containers'][0]['args'], sep='\n')


if __name__ == '__main__':
    {'types': types, 'rules': rules, 'args': args}[sys.argv[1]](load(sys.argv[2]))
