#!/usr/bin/python3
"""Counts the instructions of a full sample, which do not depend on the load of the machine.

    instructions.py BUILD

Runs BUILD/bench/bench_instructions under callgrind twice for each population in instructions.txt. The difference between the
longer and the shorter run, divided by samples and sockets, may exceed the figure there by MARGIN. The last line is
`N passed, N failed`.
"""
import os
import re
import subprocess
import sys
import tempfile

REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'instructions.txt')
FEW, MANY = 4, 14  # samples; the first ones make the memory of the sockets
MARGIN = 0.05


def count(program, population, samples):
    """Instructions of the whole run, and sockets of a sample."""
    with tempfile.NamedTemporaryFile(mode='r', encoding='utf-8') as out:
        done = subprocess.run(['valgrind', '--quiet', '--tool=callgrind', f'--callgrind-out-file={out.name}',
                               program, population, str(samples)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
        return int(re.search(r'^summary: (\d+)', out.read(), re.M).group(1)), int(done.stdout)


def per_socket(program, population):
    (few, _), (many, sockets) = (count(program, population, samples) for samples in (FEW, MANY))
    return (many - few) / (MANY - FEW) / sockets


def references():
    with open(REFERENCE, encoding='utf-8') as file:
        return [line.split() for line in file if not line.startswith('#')]


def main():
    if len(sys.argv) != 2:
        sys.exit('usage: instructions.py BUILD')
    program = os.path.join(sys.argv[1], 'bench', 'bench_instructions')
    passed = failed = 0
    for population, reference in references():
        figure = per_socket(program, population)
        growth = round(figure) / int(reference) - 1
        good = growth <= MARGIN
        passed, failed = passed + good, failed + (not good)
        print(f'{"ok  " if good else "FAIL"} {population}: {figure:.0f} instructions a socket and sample, '
              f'{growth:+.1%} of the {reference} before')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
